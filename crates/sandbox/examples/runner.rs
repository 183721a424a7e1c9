//! Many commands from one process, on Windows: what the tests of the elevated tier in the lab start.
//!
//! `many N`: one after the other, with the open handles every tenth part; `parallel N`: at a time; `throughput MIB`: through the sandbox
//! and through a plain pipe; `connect HOST:PORT`, `source MIB`, `sink`: what such commands do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever runs it")]

fn main() -> std::process::ExitCode {
    #[cfg(windows)]
    return here::main();
    #[cfg(not(windows))]
    {
        eprintln!("the elevated tier is Windows'");
        std::process::ExitCode::FAILURE
    }
}

#[cfg(windows)]
mod here {
    use std::io::{Read, Write};
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    use codex_sandbox::{Exit, Policy, Sandbox, Stdio};

    type Tried<T> = Result<T, Box<dyn std::error::Error>>;

    /// Bytes that are written at a time.
    const PIECE: usize = 64 << 10;

    pub fn main() -> ExitCode {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let number = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(1);
        let done = match words.first().map(String::as_str) {
            Some("many") => many(number),
            Some("parallel") => parallel(number),
            Some("throughput") => throughput(number),
            Some("connect") => connect(&words[1]),
            Some("source") => source(number),
            Some("sink") => sink(),
            _ => Err("see the first lines of this example".into()),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("failed: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn many(count: usize) -> Tried<()> {
        let sandbox = Sandbox::new(Policy::default())?;
        let begun = Instant::now();
        for number in 1..=count {
            let output = sandbox.command("cmd").args(["/c", "echo hi"]).output()?;
            if output.stdout != b"hi\r\n" {
                return Err(format!("command {number}: {:?}", String::from_utf8_lossy(&output.stdout)).into());
            }
            if number % (count / 10).max(1) == 0 {
                println!("{number} handles {:?}", sandbox.open_handles());
            }
        }
        println!("{:.2} ms each", begun.elapsed().as_secs_f64() * 1000.0 / count as f64);
        Ok(())
    }

    fn parallel(count: usize) -> Tried<()> {
        let sandbox = Sandbox::new(Policy::default())?;
        let one = |number: usize| -> Tried<()> {
            let line = format!("echo {number}& exit {number}");
            let output =
                sandbox.command("cmd").args(["/c", &line]).output().map_err(|error| error.to_string())?;
            let wanted = (format!("{number}\r\n").into_bytes(), Exit::Code(number as i32));
            let got = (output.stdout, output.outcome.exit);
            if got == wanted { Ok(()) } else { Err(format!("{number}: {got:?}").into()) }
        };
        std::thread::scope(|scope| {
            let one = &one;
            let all: Vec<_> = (1..=count)
                .map(|number| scope.spawn(move || one(number).map_err(|error| error.to_string())))
                .collect();
            all.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic".to_owned())?)
        })?;
        println!("{count} at a time, runners: {}", sandbox.open_handles().len() - 1);
        Ok(())
    }

    fn throughput(mib: usize) -> Tried<()> {
        let own = std::env::current_exe()?;
        let sandbox = Sandbox::new(Policy::default())?;
        let rate = |begun: Instant| mib as f64 / begun.elapsed().as_secs_f64();
        for round in 1..=5 {
            let mut plain = std::process::Command::new(&own);
            plain.args(["source", &mib.to_string()]).stdout(std::process::Stdio::piped());
            let begun = Instant::now();
            let mut child = plain.spawn()?;
            drain(child.stdout.take().ok_or("no pipe")?, mib)?;
            child.wait()?;
            let plain = rate(begun);
            let mut command = sandbox.command(own.as_os_str());
            command.args(["source", &mib.to_string()]).stdin(Stdio::Null).stdout(Stdio::Piped);
            let begun = Instant::now();
            let mut child = command.spawn()?;
            drain(child.stdout.take().ok_or("no pipe")?, mib)?;
            child.wait()?;
            let ours = rate(begun);
            println!(
                "{round}: plain pipe {plain:.0} MiB/s, sandbox {ours:.0} MiB/s, {:.0} %",
                ours / plain * 100.0
            );
        }
        Ok(())
    }

    fn drain(mut from: impl Read, mib: usize) -> Tried<()> {
        let (mut piece, mut all) = (vec![0; PIECE], 0);
        loop {
            match from.read(&mut piece)? {
                0 if all == mib << 20 => return Ok(()),
                0 => return Err(format!("{all} bytes").into()),
                count => all += count,
            }
        }
    }

    fn source(mib: usize) -> Tried<()> {
        let piece = vec![7; PIECE];
        let mut out = std::io::stdout().lock();
        for _ in 0..(mib << 20) / PIECE {
            out.write_all(&piece)?;
        }
        Ok(())
    }

    fn sink() -> Tried<()> {
        let all = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
        println!("{all}");
        Ok(())
    }

    fn connect(to: &str) -> Tried<()> {
        let address = to.parse()?;
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))?.write_all(b"hello")?;
        println!("connected");
        Ok(())
    }
}
