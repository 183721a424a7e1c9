//! The runner's side: starts what the launcher asks for, moves bytes between the commands and the channel, and ends with the channel.
//!
//! The thread that reads the channel never waits for anything else, so that neither side can make the other wait for ever: whatever
//! may wait (starting, reading and writing a command's streams, waiting for its end) is done by threads of the command.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::error::{Broken, Failure, ProtocolError};
use super::flow::{End, Inbox, Outlet, lock};
use super::message::{FromRunner, Hello, OUTPUT_HEAD, Signal, Size, Stream, ToRunner};
use super::request::{Connection, SpawnRequest};
use super::{COMMANDS, DATA, Ended, frame};

/// A running command, as the system has it. All methods are called from several threads.
pub trait Child: Send + Sync {
    /// Waits for its end and that of all that it started.
    ///
    /// # Errors
    /// The system's.
    fn wait(&self) -> Result<Ended, Failure>;
    /// Kills all of it.
    fn kill(&self);
    /// Ctrl-C, where it has a console.
    fn interrupt(&self);
    /// The console has another size.
    fn resize(&self, size: Size);
}

/// What an engine has started.
pub struct Begun {
    /// The command.
    pub child: Arc<dyn Child>,
    /// Its process id.
    pub process: u32,
    /// Its standard input, if it is piped.
    pub input: Option<Box<dyn Write + Send>>,
    /// Its standard output and error, if they are piped. Of a console all comes by the first.
    pub outputs: [Option<Box<dyn Read + Send>>; 2],
}

/// What starts commands.
pub trait Engine: Send + Sync + 'static {
    /// Starts one.
    ///
    /// # Errors
    /// [`Failure`]: then nothing of it runs.
    fn start(&self, request: &SpawnRequest) -> Result<Begun, Failure>;
}

/// A stack for threads that move bytes: the piece that they move is on the heap.
const STACK: usize = 256 << 10;

/// Greets back the launcher that is expected, then serves it until its channel ends. When this returns, nothing of any command runs.
///
/// # Errors
/// [`Broken`], except for the orderly end.
pub fn serve<E: Engine>(
    mut from: impl Read,
    to: impl Write + Send + 'static,
    engine: E,
    mine: Hello,
    theirs: &Hello,
) -> Result<(), Broken> {
    let mut to: Box<dyn Write + Send> = Box::new(to);
    let heard = frame::read(&mut from)?.ok_or(Broken::Closed).and_then(|frame| Ok(ToRunner::decode(frame)?));
    if matches!(heard, Ok(_) | Err(Broken::Protocol(ProtocolError::Version(_)))) {
        // A launcher of another version is told ours, so that it can say what is wrong.
        frame::write(&mut to, &FromRunner::Hello(mine).frame()?)?;
    }
    match heard? {
        ToRunner::Hello(hello) => hello.check(theirs)?,
        _ => return Err(ProtocolError::Turn("a message before the greeting").into()),
    }
    let session = Arc::new(Session {
        engine,
        channel: Mutex::new(Some(to)),
        table: Mutex::default(),
        changed: Condvar::new(),
    });
    let ended = session.listen(&mut from);
    session.end();
    ended
}

struct Session<E> {
    engine: E,
    channel: Mutex<Option<Box<dyn Write + Send>>>,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    /// The greatest number that was heard.
    last: u32,
    commands: HashMap<u32, Arc<Command>>,
}

/// A command, from its request to the end of its last thread.
struct Command {
    input: Inbox,
    outputs: [Outlet; 2],
    control: Mutex<Control>,
}

#[derive(Default)]
struct Control {
    child: Option<Arc<dyn Child>>,
    /// Asked for before it ran.
    kill: bool,
    size: Option<Size>,
}

impl Command {
    fn kill(&self) {
        let mut control = lock(&self.control);
        control.kill = true;
        if let Some(child) = &control.child {
            child.kill();
        }
    }

    /// Nothing goes in or out any more.
    fn cut(&self) {
        self.input.end(End::Cut);
        self.outputs.iter().for_each(Outlet::close);
    }

    /// What was asked for while it was being started is done now.
    fn runs(&self, child: &Arc<dyn Child>) {
        let mut control = lock(&self.control);
        control.child = Some(child.clone());
        if let Some(size) = control.size.take() {
            child.resize(size);
        }
        if control.kill {
            child.kill();
        }
    }
}

impl<E: Engine> Session<E> {
    fn listen(self: &Arc<Self>, from: &mut impl Read) -> Result<(), Broken> {
        while let Some(frame) = frame::read(from)? {
            self.hear(ToRunner::decode(frame)?)?;
        }
        Ok(())
    }

    fn hear(self: &Arc<Self>, message: ToRunner) -> Result<(), ProtocolError> {
        let command = match &message {
            ToRunner::Hello(_) => return Err(ProtocolError::Turn("a second greeting")),
            ToRunner::Spawn { command, .. }
            | ToRunner::Input { command, .. }
            | ToRunner::InputEnd { command }
            | ToRunner::Credit { command, .. }
            | ToRunner::OutputClosed { command, .. }
            | ToRunner::Resize { command, .. }
            | ToRunner::Signal { command, .. } => *command,
        };
        if let ToRunner::Spawn { request, .. } = message {
            return self.spawn(command, request);
        }
        let found = {
            let table = lock(&self.table);
            if command > table.last {
                return Err(ProtocolError::Turn("a message about a command that was never asked for"));
            }
            table.commands.get(&command).cloned()
        };
        // One that has ended: the launcher did not know yet.
        let Some(found) = found else { return Ok(()) };
        match message {
            ToRunner::Input { data, .. } => found.input.push(data).or_else(|error| match error {
                // It was ended by us.
                ProtocolError::Turn(_) => Ok(()),
                other => Err(other),
            })?,
            ToRunner::InputEnd { .. } => {
                found.input.end(End::Whole);
            }
            ToRunner::Credit { stream, bytes, .. } => found.outputs[stream.index()].credit(bytes)?,
            ToRunner::OutputClosed { stream, .. } => found.outputs[stream.index()].close(),
            ToRunner::Resize { size, .. } => {
                let mut control = lock(&found.control);
                match &control.child {
                    Some(child) => child.resize(size),
                    None => control.size = Some(size),
                }
            }
            ToRunner::Signal { signal: Signal::Kill, .. } => found.kill(),
            ToRunner::Signal { signal: Signal::Interrupt, .. } => {
                let child = lock(&found.control).child.clone();
                if let Some(child) = child {
                    child.interrupt();
                }
            }
            ToRunner::Hello(_) | ToRunner::Spawn { .. } => unreachable!("dealt with above"),
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, number: u32, request: Box<SpawnRequest>) -> Result<(), ProtocolError> {
        let command = Arc::new(Command {
            input: Inbox::default(),
            outputs: Default::default(),
            control: Mutex::default(),
        });
        {
            let mut table = lock(&self.table);
            if number <= table.last {
                return Err(ProtocolError::Turn("a command's number that was used before"));
            }
            if table.commands.len() >= COMMANDS {
                return Err(ProtocolError::TooLong("a list of commands"));
            }
            table.last = number;
            table.commands.insert(number, command.clone());
        }
        let session = self.clone();
        let thread = move || {
            session.carry(number, &command, &request);
            // Before it is told that this command is over: nothing of it is held then.
            drop((command, request));
            session.forget(number);
        };
        let started = thread::Builder::new().name("command".to_owned()).stack_size(STACK).spawn(thread);
        if let Err(error) = started {
            self.failed(number, &system("start a thread", &error));
            self.forget(number);
        }
        Ok(())
    }

    /// A command's whole life.
    fn carry(&self, number: u32, command: &Command, request: &SpawnRequest) {
        if lock(&command.control).kill {
            let words = "it was killed before it ran";
            return self
                .failed(number, &Failure::new("run.killed", "start the program", words, "start it again"));
        }
        let begun = match self.engine.start(request) {
            Ok(begun) => begun,
            Err(failure) => return self.failed(number, &failure),
        };
        command.runs(&begun.child);
        self.say(&FromRunner::Started { command: number, process: begun.process });
        let child = begun.child;
        let ended = thread::scope(|scope| {
            let pump = |name: &str| thread::Builder::new().name(name.to_owned()).stack_size(STACK);
            let input = begun.input.map(|input| {
                pump("input").spawn_scoped(scope, move || self.move_input(number, command, input))
            });
            let (input, mut missing) = match input.transpose() {
                Ok(input) => (input, None),
                Err(error) => (None, Some(error)),
            };
            for (stream, output) in Stream::BOTH.into_iter().zip(begun.outputs) {
                match output {
                    Some(output) => {
                        let moved = move || self.move_output(number, stream, command, output);
                        missing = missing.or(pump("output").spawn_scoped(scope, moved).err());
                    }
                    // Of a console: its output is both.
                    None if request.streams[stream.index() + 1] == Connection::Piped => {
                        self.say(&FromRunner::OutputEnd { command: number, stream });
                    }
                    None => {}
                }
            }
            let ended = match missing {
                None => child.wait(),
                Some(error) => Err(system("start a thread", &error)),
            };
            match &ended {
                Ok(ended) => {
                    command.input.end(End::Cut);
                    // Nothing may be said of its input behind this.
                    let _said_all = input.map(thread::ScopedJoinHandle::join);
                    self.say(&FromRunner::Exit { command: number, ended: *ended });
                }
                Err(_) => {
                    child.kill();
                    command.cut();
                }
            }
            ended
        });
        // After the threads' end: nothing may be said of a command behind this.
        if let Err(failure) = ended {
            self.failed(number, &failure);
        }
    }

    /// From the channel to the command.
    fn move_input(&self, number: u32, command: &Command, mut input: Box<dyn Write + Send>) {
        loop {
            match command.input.take() {
                Ok(data) => {
                    if input.write_all(data.bytes()).and_then(|()| input.flush()).is_err() {
                        command.input.close();
                        // The end of the command is the end of its input, without a word of its own.
                        if command.input.end(End::Cut) {
                            self.say(&FromRunner::InputClosed { command: number });
                        }
                        return;
                    }
                    if let Some(bytes) = command.input.used(data.len()) {
                        self.say(&FromRunner::Credit { command: number, bytes });
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// From the command to the channel.
    fn move_output(&self, number: u32, stream: Stream, command: &Command, mut output: Box<dyn Read + Send>) {
        let outlet = &command.outputs[stream.index()];
        let mut frame = vec![0; OUTPUT_HEAD + DATA];
        while let Some(room) = outlet.reserve(DATA) {
            let count = match output.read(&mut frame[OUTPUT_HEAD..OUTPUT_HEAD + room]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    outlet.put_back(room);
                    continue;
                }
                // A pipe whose last writer is gone.
                Err(_) => 0,
            };
            if count == 0 {
                break;
            }
            outlet.put_back(room - count);
            let whole = &mut frame[..OUTPUT_HEAD + count];
            let headed = FromRunner::head_output(whole, number, stream).map_err(Broken::from);
            if headed.and_then(|()| self.write(whole)).is_err() {
                return;
            }
        }
        // Before the end is told, so that a command that still writes sees it as soon as its launcher.
        drop(output);
        self.say(&FromRunner::OutputEnd { command: number, stream });
    }

    fn failed(&self, command: u32, failure: &Failure) {
        self.say(&FromRunner::Failed { command, failure: Box::new(failure.clone()) });
    }

    /// A launcher that cannot be told is gone: the thread that reads sees it too.
    fn say(&self, message: &FromRunner) {
        let _gone = message.frame().map_err(Broken::from).and_then(|frame| self.write(&frame));
    }

    fn write(&self, frame: &[u8]) -> Result<(), Broken> {
        let mut channel = lock(&self.channel);
        let written = frame::write(channel.as_mut().ok_or(Broken::Closed)?, frame);
        if written.is_err() {
            *channel = None;
            drop(channel);
            // Whoever does not listen gets no commands.
            let commands: Vec<_> = lock(&self.table).commands.values().cloned().collect();
            for command in commands {
                command.kill();
                command.cut();
            }
        }
        Ok(written?)
    }

    fn forget(&self, number: u32) {
        lock(&self.table).commands.remove(&number);
        self.changed.notify_all();
    }

    /// Kills everything, and waits until it is gone.
    fn end(&self) {
        let table = lock(&self.table);
        for command in table.commands.values() {
            command.kill();
            command.cut();
        }
        let left = |table: &mut Table| !table.commands.is_empty();
        drop(self.changed.wait_while(table, left).unwrap_or_else(PoisonError::into_inner));
    }
}

fn system(stage: &str, error: &io::Error) -> Failure {
    let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
    let system = crate::host::SystemError { code, text: error.to_string() };
    let message = format!("{stage}: {error}");
    Failure::new("run.system", stage, message, "close other programs, and try again").with_system(system)
}
