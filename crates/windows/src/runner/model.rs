//! Launcher and runner in one process, joined by pipes, with real processes as commands: what holds of them on every system.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::process::{Command as Program, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nt_security::{Acl, Sid};

use super::error::{Broken, Failure, ProtocolError};
use super::message::{FromRunner, Hello, Payload, Size, Stream, ToRunner};
use super::request::{Connection, SpawnRequest};
use super::server::{Begun, Child, Engine, serve};
use super::{Client, Ended, Remote, VERSION, WINDOW, frame};
use crate::launch::Prepared;
use crate::launch::steps::Recipe;
use crate::plan::data::{DesktopPlan, JobPlan, TokenRecipe};

/// Everything that a runner holds, counted.
#[derive(Default, Clone)]
struct Counts {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Counted<T>(T, Counts);

impl<T> Counted<T> {
    fn new(value: T, counts: &Counts) -> Self {
        let now = counts.now.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most.fetch_max(now, Ordering::SeqCst);
        Self(value, counts.clone())
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.1.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Starts `sh -c COMMAND_LINE`.
struct Shell(Counts);

struct Process(Mutex<std::process::Child>);

impl Counted<Process> {
    fn child(&self) -> std::sync::MutexGuard<'_, std::process::Child> {
        self.0.0.lock().expect("no thread panics here")
    }
}

impl Child for Counted<Process> {
    fn wait(&self) -> Result<Ended, Failure> {
        loop {
            if let Some(status) = self.child().try_wait().expect("our child") {
                // 137 is what a shell calls SIGKILL.
                return Ok(Ended::Code(status.code().unwrap_or(137).cast_unsigned()));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill(&self) {
        let _gone = self.child().kill();
    }

    fn interrupt(&self) {}

    fn resize(&self, _: Size) {}
}

impl Engine for Shell {
    fn start(&self, request: &SpawnRequest) -> Result<Begun, Failure> {
        if request.command.command_line == "slow" {
            thread::sleep(Duration::from_millis(200));
        }
        if request.command.command_line == "refuse" {
            return Err(Failure::new("run.refused", "start the program", "refused", "do not ask"));
        }
        let stdio = |at: usize| match request.streams[at] {
            Connection::Null => Stdio::null(),
            Connection::Piped => Stdio::piped(),
        };
        let mut program = Program::new("sh");
        program.arg("-c").arg(format!("exec {}", request.command.command_line));
        let mut child =
            program.stdin(stdio(0)).stdout(stdio(1)).stderr(stdio(2)).spawn().expect("there is a shell");
        let counts = &self.0;
        let input = child.stdin.take().map(|input| Box::new(Counted::new(input, counts)) as _);
        let output = child.stdout.take().map(|output| Box::new(Counted::new(output, counts)) as _);
        let errors = child.stderr.take().map(|errors| Box::new(Counted::new(errors, counts)) as _);
        let process = child.id();
        let child = Arc::new(Counted::new(Process(Mutex::new(child)), counts));
        Ok(Begun { child, process, input, outputs: [output, errors] })
    }
}

const NONCE: [u8; 16] = [3; 16];
const LAUNCHER: u32 = 11;
const RUNNER: u32 = 22;

/// Channels of both sides.
fn channels() -> ((PipeReader, PipeWriter), (PipeReader, PipeWriter)) {
    let (from_launcher, to_runner) = std::io::pipe().expect("a pipe");
    let (from_runner, to_launcher) = std::io::pipe().expect("a pipe");
    ((from_runner, to_runner), (from_launcher, to_launcher))
}

struct Both {
    client: Client,
    runner: JoinHandle<Result<(), Broken>>,
    counts: Counts,
}

fn both() -> Both {
    let counts = Counts::default();
    let ((from_runner, to_runner), (from_launcher, to_launcher)) = channels();
    let engine = Shell(counts.clone());
    let (launcher, own) = (Hello::new(LAUNCHER, NONCE), Hello::new(RUNNER, NONCE));
    let runner = thread::spawn(move || serve(from_launcher, to_launcher, engine, own, &launcher));
    let client = Client::connect(from_runner, to_runner, launcher, &own).expect("they greet");
    Both { client, runner, counts }
}

impl Both {
    /// Soon: what is told of the end last is heard a moment after the end.
    fn holds_nothing(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.client.held() != (0, 0) || self.counts.now.load(Ordering::SeqCst) != 0 {
            assert!(Instant::now() < end, "held: {:?}, {:?}", self.client.held(), self.counts.now);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The launcher goes; the runner must.
    fn end(self) {
        drop(self.client);
        self.runner.join().expect("no panic").expect("an orderly end");
        assert_eq!(self.counts.now.load(Ordering::SeqCst), 0, "nothing is left of any command");
    }
}

pub fn request(line: &str, streams: [Connection; 3]) -> SpawnRequest {
    let empty = String::new;
    SpawnRequest {
        command: Prepared {
            application: empty(),
            command_line: line.to_owned(),
            block: vec![0, 0],
            cwd: empty(),
            notices: Vec::new(),
        },
        recipe: Recipe {
            token: TokenRecipe {
                from: empty(),
                flags: Vec::new(),
                restricting: Vec::new(),
                privileges: Vec::new(),
                integrity: 0x1800,
                integrity_name: empty(),
            },
            restricting: Vec::new(),
            default_dacl: Acl::default(),
            job: JobPlan {
                kill_on_close: true,
                no_breakaway: true,
                memory: None,
                processes: None,
                wall_clock_ms: None,
            },
            desktop: DesktopPlan { private: false, sddl: None },
            run: Sid::constant(5, [21, 1, 2, 3]),
        },
        streams,
        console: None,
    }
}

const PIPED: [Connection; 3] = [Connection::Piped; 3];
const OUTPUT: [Connection; 3] = [Connection::Null, Connection::Piped, Connection::Null];

fn start(both: &Both, line: &str) -> Remote {
    both.client.spawn(request(line, PIPED)).expect("it starts")
}

fn read(remote: &Remote, stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    remote.output(stream).read_to_end(&mut all).expect("whole");
    all
}

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

#[test]
fn streams_and_exit_codes() {
    let both = both();
    let remote = start(&both, "sh -c 'echo out; echo err >&2; exit 7'");
    assert_eq!(read(&remote, Stream::Output), b"out\n");
    assert_eq!(read(&remote, Stream::Errors), b"err\n");
    assert_eq!(remote.wait().expect("it ends"), Ended::Code(7));
    drop(remote);
    let refused = both.client.spawn(request("refuse", PIPED)).expect_err("it says no");
    assert_eq!((refused.code.as_str(), &*refused.remedy), ("run.refused", "do not ask"));
    both.holds_nothing();
    both.end();
}

#[test]
fn much_of_everything_byte_for_byte() {
    let both = both();
    let remote = start(&both, "tee /dev/stderr");
    let sent = noise(24 << 20, 0x9E37_79B9_7F4A_7C15);
    let (output, errors) = thread::scope(|scope| {
        scope.spawn(|| remote.input().write_all(&sent).expect("it reads all"));
        let output = scope.spawn(|| read(&remote, Stream::Output));
        let errors = scope.spawn(|| read(&remote, Stream::Errors));
        (output.join().expect("no panic"), errors.join().expect("no panic"))
    });
    assert!(output == sent && errors == sent, "{} and {} bytes", output.len(), errors.len());
    assert_eq!(remote.wait().expect("it ends"), Ended::Code(0));
    drop(remote);
    both.end();
}

#[test]
fn sixty_four_commands_at_a_time() {
    let both = both();
    thread::scope(|scope| {
        for number in 1..=64_u64 {
            let both = &both;
            scope.spawn(move || {
                let remote = start(both, "cat");
                let sent = noise(300_000, number);
                let read = thread::scope(|scope| {
                    scope.spawn(|| remote.input().write_all(&sent).expect("it reads"));
                    read(&remote, Stream::Output)
                });
                assert!(read == sent, "command {number}");
                assert_eq!(remote.wait().expect("it ends"), Ended::Code(0));
            });
        }
    });
    both.holds_nothing();
    both.end();
}

#[test]
fn a_thousand_commands_leave_nothing() {
    let both = both();
    for number in 0..1000 {
        let remote = both.client.spawn(request("echo hi", OUTPUT)).expect("it starts");
        assert_eq!(read(&remote, Stream::Output), b"hi\n", "command {number}");
        assert_eq!(remote.wait().expect("it ends"), Ended::Code(0));
    }
    // Of the last one the runner may still be tidying up.
    assert!(both.counts.most.load(Ordering::SeqCst) <= 6, "{}", both.counts.most.load(Ordering::SeqCst));
    both.holds_nothing();
    both.end();
}

#[test]
fn a_slow_reader_holds_the_command_up_and_fills_no_memory() {
    let both = both();
    let remote = both.client.spawn(request("yes", OUTPUT)).expect("it starts");
    let mut output = remote.output(Stream::Output);
    let end = Instant::now() + Duration::from_secs(20);
    while both.client.held().1 < WINDOW && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(both.client.held().1, WINDOW, "as much as was asked for, and no more");
    let mut some = vec![0; 3 * WINDOW];
    output.read_exact(&mut some).expect("it goes on");
    assert!(some.chunks(2).all(|pair| pair == b"y\n"));
    // `yes` ends when nobody reads it any more.
    drop(output);
    assert!(remote.wait_for(Duration::from_secs(20)).expect("no failure").is_some());
    drop(remote);
    both.end();
}

#[test]
fn a_command_that_does_not_read_holds_its_writer_up_and_its_end_lets_go() {
    let both = both();
    let remote = start(&both, "sleep 1");
    let error = remote.input().write_all(&vec![0; 4 * WINDOW]).expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(remote.wait().expect("it ends"), Ended::Code(0));
    // One that closes its input and goes on.
    let remote = start(&both, "sh -c 'exec <&-; sleep 1; echo done'");
    let error = remote.input().write_all(&vec![0; 4 * WINDOW]).expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(read(&remote, Stream::Output), b"done\n");
    drop(remote);
    both.end();
}

#[test]
fn commands_are_killed_at_any_moment() {
    let both = both();
    for pause in [0, 1, 5, 20, 100] {
        let remote = start(&both, "sleep 1000");
        thread::sleep(Duration::from_millis(pause));
        remote.kill();
        assert_eq!(remote.wait().expect("it ends"), Ended::Code(137));
        // Once more, when there is nothing to kill.
        remote.kill();
    }
    // While it is being started, by the end of the session.
    let Both { client, runner, counts } = both;
    let client = Arc::new(client);
    let asking = client.clone();
    let asked = thread::spawn(move || asking.spawn(request("slow", PIPED)).map(|remote| remote.id()));
    thread::sleep(Duration::from_millis(50));
    client.close();
    // Whether it is told of the start or of the end first, it does not wait for ever, and nothing is left.
    if let Err(failure) = asked.join().expect("no panic") {
        assert!(["runner.lost", "run.killed"].contains(&failure.code.as_str()), "{failure:?}");
    }
    drop(client);
    runner.join().expect("no panic").expect("an orderly end");
    assert_eq!(counts.now.load(Ordering::SeqCst), 0);
}

#[test]
fn the_runner_ends_with_its_launcher_and_takes_the_commands_along() {
    let both = both();
    let remotes: Vec<_> = (0..8).map(|_| start(&both, "sleep 1000")).collect();
    let processes: Vec<u32> = remotes.iter().map(Remote::id).collect();
    let begun = Instant::now();
    both.end();
    assert!(begun.elapsed() < Duration::from_secs(20));
    for process in processes {
        assert!(!std::path::Path::new(&format!("/proc/{process}")).exists(), "{process} runs");
    }
    for remote in remotes {
        match remote.wait() {
            Ok(ended) => assert_eq!(ended, Ended::Code(137)),
            Err(failure) => assert_eq!(failure.code, "runner.lost"),
        }
    }
}

#[test]
fn a_runner_that_dies_is_seen_by_all_who_wait() {
    let ((from_runner, to_runner), (mut from_launcher, mut to_launcher)) = channels();
    let own = Hello::new(RUNNER, NONCE);
    let say = |to: &mut PipeWriter, message: FromRunner| {
        frame::write(to, &message.frame().expect("short")).expect("the launcher listens");
    };
    say(&mut to_launcher, FromRunner::Hello(own));
    let client =
        Client::connect(from_runner, to_runner, Hello::new(LAUNCHER, NONCE), &own).expect("they greet");
    let remote = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in ["greeting", "request"] {
                frame::read(&mut from_launcher).expect("a frame").expect("a frame");
            }
            say(&mut to_launcher, FromRunner::Started { command: 1, process: 5 });
        });
        client.spawn(request("x", OUTPUT))
    });
    let remote = remote.expect("it runs");
    let mut output = remote.output(Stream::Output);
    say(
        &mut to_launcher,
        FromRunner::Output { command: 1, stream: Stream::Output, data: Payload::from(b"half".to_vec()) },
    );
    drop(to_launcher);
    let mut half = Vec::new();
    let cut = output.read_to_end(&mut half).expect_err("this is not all");
    assert_eq!((half.as_slice(), cut.kind()), (&b"half"[..], ErrorKind::ConnectionAborted));
    assert_eq!(remote.wait().expect_err("the runner is gone").code, "runner.lost");
    assert_eq!(client.spawn(request("x", OUTPUT)).expect_err("the runner is gone").code, "runner.lost");
}

#[test]
fn strangers_are_refused_on_both_sides() {
    let good = Hello::new(RUNNER, NONCE);
    let strangers = [
        (Hello { process: 1, ..good }, ProtocolError::Stranger("a process")),
        (Hello { nonce: [4; 16], ..good }, ProtocolError::Stranger("a nonce")),
        (Hello { version: VERSION + 1, ..good }, ProtocolError::Version(VERSION + 1)),
    ];
    for (hello, wanted) in strangers {
        let bytes = FromRunner::Hello(hello).frame().expect("short");
        let mine = Hello::new(LAUNCHER, NONCE);
        let error =
            Client::connect(std::io::Cursor::new(bytes), std::io::sink(), mine, &good).expect_err("refused");
        assert!(matches!(error, Broken::Protocol(error) if error == wanted), "{error}");
        let bytes = ToRunner::Hello(hello).frame().expect("short");
        let engine = Shell(Counts::default());
        let error = serve(bytes.as_slice(), std::io::sink(), engine, mine, &good).expect_err("refused");
        assert!(matches!(error, Broken::Protocol(error) if error == wanted), "{error}");
    }
}

#[test]
fn a_request_that_the_runner_would_not_take_ends_nothing() {
    let both = both();
    let mut long = request("echo hi", OUTPUT);
    long.command.block = vec![1, 0];
    assert_eq!(both.client.spawn(long).expect_err("no end").code, "runner.request");
    let mut nul = request("echo hi", OUTPUT);
    nul.command.cwd = "a\0b".to_owned();
    assert_eq!(both.client.spawn(nul).expect_err("a NUL").code, "runner.request");
    let remote = both.client.spawn(request("echo hi", OUTPUT)).expect("the session goes on");
    assert_eq!(read(&remote, Stream::Output), b"hi\n");
    drop(remote);
    both.end();
}
