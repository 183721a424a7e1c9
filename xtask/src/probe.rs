//! Measuring loops that `bench` runs inside and outside the sandbox: `probe LOOP COUNT [PATH]` prints nanoseconds a turn.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs the loop that the arguments name.
///
/// # Errors
/// The arguments are wrong, or a turn of the loop failed.
pub fn run(args: &[String]) -> Result<()> {
    let [kind, count, path] = args else { bail!("usage: xtask probe LOOP COUNT PATH") };
    let count: u32 = count.parse().context("COUNT is a number")?;
    let nanoseconds = match kind.as_str() {
        "read" => time(count, || File::open(path).map(drop))?,
        "stat" => time(count, || fs::metadata(path).map(drop))?,
        "write" => time(count, || OpenOptions::new().write(true).open(path).map(drop))?,
        "create" => {
            let new = format!("{path}.new");
            time(count, || File::create_new(&new).and_then(|_file| fs::remove_file(&new)))?
        }
        "mkdir" => {
            let new = format!("{path}.dir");
            time(count, || fs::create_dir(&new).and_then(|()| fs::remove_dir(&new)))?
        }
        "unix" => unix(count, path)?,
        "tcp" => tcp(count)?,
        other => bail!("no loop {other:?}"),
    };
    println!("{nanoseconds}");
    Ok(())
}

/// The mean time of a turn, in nanoseconds, after a tenth of them to warm up.
fn time(count: u32, mut turn: impl FnMut() -> std::io::Result<()>) -> Result<u64> {
    for _ in 0..count / 10 {
        turn()?;
    }
    let began = Instant::now();
    for _ in 0..count {
        turn()?;
    }
    Ok((began.elapsed().as_nanos() / u128::from(count.max(1))) as u64)
}

/// Connects to a listener of its own, and takes the connection: a queue that overflows would be what is measured.
fn unix(count: u32, path: &str) -> Result<u64> {
    let socket = format!("{path}.sock");
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {socket}"))?;
    let nanoseconds = time(count, || {
        let _connected = UnixStream::connect(&socket)?;
        listener.accept().map(drop)
    });
    fs::remove_file(&socket)?;
    nanoseconds
}

fn tcp(count: u32) -> Result<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    time(count, || {
        let _connected = TcpStream::connect(address)?;
        listener.accept().map(drop)
    })
}
