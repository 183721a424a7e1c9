//! How fast bytes go through a runner's channel, against a plain pipe of the same command in the same run (Linux).
//!
//! `cargo run --release -p codex-sandbox-windows --example channel -- [MIB] [ROUNDS]`. Launcher and runner are two processes' worth of
//! threads, joined by pipes; the command is a real process (`head -c … /dev/zero`, `cat`).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever runs it")]

fn main() {
    #[cfg(unix)]
    here::main();
    #[cfg(not(unix))]
    eprintln!("on Windows: the example `runner` of codex-sandbox");
}

#[cfg(unix)]
mod here {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::Instant;

    use codex_sandbox_windows::launch::Prepared;
    use codex_sandbox_windows::launch::steps::Recipe;
    use codex_sandbox_windows::plan::data::{DesktopPlan, JobPlan, TokenRecipe};
    use codex_sandbox_windows::runner::message::Stream;
    use codex_sandbox_windows::runner::server::{Begun, Child, Engine, serve};
    use codex_sandbox_windows::runner::{Client, Connection, Ended, Failure, Hello, Size, SpawnRequest};
    use nt_security::{Acl, Sid};

    struct Shell;
    struct Process(Mutex<std::process::Child>);

    impl Child for Process {
        fn wait(&self) -> Result<Ended, Failure> {
            self.0.lock().expect("one waits").wait().expect("our child");
            Ok(Ended::Code(0))
        }
        fn kill(&self) {}
        fn interrupt(&self) {}
        fn resize(&self, _: Size) {}
    }

    fn program(line: &str) -> Command {
        let mut program = Command::new("sh");
        program.arg("-c").arg(format!("exec {line}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        program
    }

    impl Engine for Shell {
        fn start(&self, request: &SpawnRequest) -> Result<Begun, Failure> {
            let mut child = program(&request.command.command_line).spawn().expect("a shell");
            let input = child.stdin.take().map(|input| Box::new(input) as _);
            let output = child.stdout.take().map(|output| Box::new(output) as _);
            let process = child.id();
            Ok(Begun { child: Arc::new(Process(Mutex::new(child))), process, input, outputs: [output, None] })
        }
    }

    fn request(line: String) -> SpawnRequest {
        let token = TokenRecipe {
            from: String::new(),
            flags: Vec::new(),
            restricting: Vec::new(),
            privileges: Vec::new(),
            integrity: 0,
            integrity_name: String::new(),
        };
        let job = JobPlan {
            kill_on_close: true,
            no_breakaway: true,
            memory: None,
            processes: None,
            wall_clock_ms: None,
        };
        let (application, cwd) = (String::new(), String::new());
        SpawnRequest {
            command: Prepared {
                application,
                command_line: line,
                block: vec![0, 0],
                cwd,
                notices: Vec::new(),
            },
            recipe: Recipe {
                token,
                restricting: Vec::new(),
                default_dacl: Acl::default(),
                job,
                desktop: DesktopPlan { private: false, sddl: None },
                run: Sid::constant(5, [21, 1, 2, 3]),
            },
            streams: [Connection::Piped, Connection::Piped, Connection::Null],
            console: None,
        }
    }

    const PIECE: usize = 64 << 10;

    fn drain(mut from: impl Read, wanted: usize) {
        let (mut piece, mut all) = (vec![0; PIECE], 0);
        while all < wanted {
            let count = from.read(&mut piece).expect("a pipe");
            assert!(count > 0, "{all} bytes");
            all += count;
        }
    }

    fn fill(mut to: impl Write, wanted: usize) {
        let piece = vec![7; PIECE];
        for _ in 0..wanted / PIECE {
            to.write_all(&piece).expect("it reads");
        }
    }

    pub fn main() {
        let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<usize>().ok());
        let (mib, rounds) = (numbers.next().unwrap_or(512), numbers.next().unwrap_or(7));
        let wanted = mib << 20;
        let ((from_runner, to_launcher), (from_launcher, to_runner)) =
            (std::io::pipe().expect("a pipe"), std::io::pipe().expect("a pipe"));
        let hello = Hello::new(1, [1; 16]);
        let runner = thread::spawn(move || serve(from_launcher, to_launcher, Shell, hello, &hello));
        let client = Client::connect(from_runner, to_runner, hello, &hello).expect("it greets");
        let rate = |begun: Instant| mib as f64 / begun.elapsed().as_secs_f64();
        let (mut out, mut through) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let source = format!("head -c {wanted} /dev/zero");
            let begun = Instant::now();
            let mut child = program(&source).spawn().expect("a shell");
            drain(child.stdout.take().expect("piped"), wanted);
            child.wait().expect("it ends");
            let plain = rate(begun);
            let begun = Instant::now();
            let remote = client.spawn(request(source)).expect("it starts");
            drain(remote.output(Stream::Output), wanted);
            remote.wait().expect("it ends");
            out.push((plain, rate(begun)));

            let begun = Instant::now();
            let mut child = program("cat").spawn().expect("a shell");
            let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
            thread::scope(|scope| {
                scope.spawn(|| fill(input, wanted));
                drain(output, wanted);
            });
            child.wait().expect("it ends");
            let plain = rate(begun);
            let begun = Instant::now();
            let remote = client.spawn(request("cat".to_owned())).expect("it starts");
            thread::scope(|scope| {
                let input = remote.input();
                scope.spawn(|| fill(input, wanted));
                drain(remote.output(Stream::Output), wanted);
            });
            remote.wait().expect("it ends");
            through.push((plain, rate(begun)));
        }
        show("output alone", &mut out);
        show("in and out (cat)", &mut through);
        drop(client);
        runner.join().expect("no panic").expect("an orderly end");
    }

    /// Medians.
    fn show(what: &str, pairs: &mut [(f64, f64)]) {
        let middle = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let plain = middle(&mut pairs.iter().map(|pair| pair.0).collect());
        let ours = middle(&mut pairs.iter().map(|pair| pair.1).collect());
        let share = middle(&mut pairs.iter().map(|pair| pair.1 / pair.0 * 100.0).collect());
        println!(
            "{what}: plain pipe {plain:.0} MiB/s, channel {ours:.0} MiB/s, {share:.0} % (medians of {})",
            pairs.len()
        );
    }
}
