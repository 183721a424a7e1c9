//! The launcher's side: starts commands over one channel, from any thread, and reads and writes their streams.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Broken, Failure, ProtocolError};
use super::flow::{End, Inbox, Outlet, lock};
use super::message::{FromRunner, Hello, Payload, Signal, Size, Stream, ToRunner};
use super::request::{Connection, SpawnRequest};
use super::{COMMANDS, DATA, Ended, frame};

/// A session with a runner. Dropping it ends the runner and all its commands.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once the session is closed.
    channel: Mutex<Option<Box<dyn Write + Send>>>,
    table: Mutex<Table>,
    /// The last number that was given out; held while a spawn is sent, so that numbers rise on the channel too.
    last: Mutex<u32>,
}

#[derive(Default)]
struct Table {
    commands: HashMap<u32, Arc<State>>,
    broken: Option<Failure>,
}

/// A command, as far as the runner has told.
#[derive(Debug)]
struct State {
    life: Mutex<Life>,
    changed: Condvar,
    input: Outlet,
    outputs: [Inbox; 2],
}

#[derive(Debug, Default)]
struct Life {
    started: Option<u32>,
    ended: Option<Result<Ended, Failure>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Client {
    /// Greets the runner and waits for its answer; whoever calls this sees to it that the channel breaks if none comes.
    ///
    /// # Errors
    /// [`Broken`]: no runner, a stranger, or one of another version.
    pub fn connect(
        mut from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        mine: Hello,
        theirs: &Hello,
    ) -> Result<Self, Broken> {
        let mut to: Box<dyn Write + Send> = Box::new(to);
        frame::write(&mut to, &ToRunner::Hello(mine).frame()?)?;
        match FromRunner::decode(frame::read(&mut from)?.ok_or(Broken::Closed)?)? {
            FromRunner::Hello(hello) => hello.check(theirs)?,
            _ => return Err(ProtocolError::Turn("a message before the greeting").into()),
        }
        let shared =
            Arc::new(Shared { channel: Mutex::new(Some(to)), table: Mutex::default(), last: Mutex::new(0) });
        let reader = shared.clone();
        thread::Builder::new()
            .name("runner".to_owned())
            .spawn(move || reader.listen(from))
            .map_err(Broken::Io)?;
        Ok(Self { shared })
    }

    /// Starts a command, and waits until it runs.
    ///
    /// # Errors
    /// [`Failure`]: then nothing of it runs.
    pub fn spawn(&self, request: SpawnRequest) -> Result<Remote, Failure> {
        request.check().map_err(|error| {
            let message = format!("the command cannot be told to the runner: it has {error}");
            Failure::new(
                "runner.request",
                "ask the runner",
                message,
                "make its arguments and environment shorter",
            )
        })?;
        let piped = request.streams.map(|stream| stream == Connection::Piped);
        let inbox = |piped| if piped { Inbox::default() } else { Inbox::ended() };
        let state = Arc::new(State {
            life: Mutex::default(),
            changed: Condvar::new(),
            input: Outlet::default(),
            outputs: [inbox(piped[1]), inbox(piped[2])],
        });
        let command = self.shared.ask(&state, request)?;
        let remote = Remote { shared: self.shared.clone(), command, state };
        remote.started()?;
        Ok(remote)
    }

    /// Whether the session is over, and why.
    pub fn broken(&self) -> Option<Failure> {
        lock(&self.shared.table).broken.clone()
    }

    /// Commands of which something may still come, and the bytes that are held for them.
    pub fn held(&self) -> (usize, usize) {
        let table = lock(&self.shared.table);
        let bytes = table.commands.values().flat_map(|state| state.outputs.each_ref()).map(Inbox::held).sum();
        (table.commands.len(), bytes)
    }

    /// Ends the session: the runner sees the end of its channel, kills what it started, and goes.
    pub fn close(&self) {
        // Someone who is writing holds it while the runner does not read: then the runner is ended from outside, which ends the writing.
        if let Ok(mut channel) = self.shared.channel.try_lock() {
            *channel = None;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn send(&self, message: &ToRunner) -> Result<(), Failure> {
        let sent = message.frame().map_err(Broken::from).and_then(|bytes| self.write(&bytes));
        sent.map_err(|error| Failure::lost(&error))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Broken> {
        let mut channel = lock(&self.channel);
        let to = channel.as_mut().ok_or(Broken::Closed)?;
        frame::write(to, bytes).inspect_err(|_| *channel = None).map_err(Broken::from)
    }

    fn ask(&self, state: &Arc<State>, request: SpawnRequest) -> Result<u32, Failure> {
        let mut last = lock(&self.last);
        let used_up = || {
            Failure::new(
                "runner.busy",
                "ask the runner",
                "the runner has too many commands",
                "wait for some to end",
            )
        };
        let command = last.checked_add(1).ok_or_else(used_up)?;
        {
            let mut table = lock(&self.table);
            if let Some(failure) = &table.broken {
                return Err(failure.clone());
            }
            if table.commands.len() >= COMMANDS {
                return Err(used_up());
            }
            table.commands.insert(command, state.clone());
        }
        *last = command;
        let request = Box::new(request);
        self.send(&ToRunner::Spawn { command, request }).inspect_err(|_| {
            lock(&self.table).commands.remove(&command);
        })?;
        Ok(command)
    }

    /// Reads until the session ends, and tells everyone who waits.
    fn listen(&self, mut from: impl Read) {
        let mut listen = || -> Result<(), Broken> {
            while let Some(frame) = frame::read(&mut from)? {
                self.hear(FromRunner::decode(frame)?)?;
            }
            Ok(())
        };
        let failure = Failure::lost(&listen().err().unwrap_or(Broken::Closed));
        let commands = {
            let mut table = lock(&self.table);
            table.broken = Some(failure.clone());
            std::mem::take(&mut table.commands)
        };
        commands.values().for_each(|state| state.cut(&failure));
        // The runner is gone, or not to be listened to: it must not wait for more.
        if let Ok(mut channel) = self.channel.try_lock() {
            *channel = None;
        }
    }

    fn hear(&self, message: FromRunner) -> Result<(), ProtocolError> {
        let (command, state) = match &message {
            FromRunner::Hello(_) => return Err(ProtocolError::Turn("a second greeting")),
            FromRunner::Started { command, .. }
            | FromRunner::Failed { command, .. }
            | FromRunner::Output { command, .. }
            | FromRunner::OutputEnd { command, .. }
            | FromRunner::Credit { command, .. }
            | FromRunner::InputClosed { command }
            | FromRunner::Exit { command, .. } => {
                let table = lock(&self.table);
                (*command, table.commands.get(command).cloned())
            }
        };
        let state = state.ok_or(ProtocolError::Turn("a message about a command that is over"))?;
        if state.hear(message)? {
            lock(&self.table).commands.remove(&command);
        }
        Ok(())
    }
}

impl State {
    /// Whether nothing more can come.
    fn hear(&self, message: FromRunner) -> Result<bool, ProtocolError> {
        let mut life = lock(&self.life);
        let early = life.started.is_none();
        match message {
            FromRunner::Started { process, .. } if early => life.started = Some(process),
            FromRunner::Failed { failure, .. } if life.ended.is_none() => {
                self.finish(&mut life, Err(*failure), End::Cut);
                return Ok(true);
            }
            _ if early => return Err(ProtocolError::Turn("a message about a command that does not run")),
            FromRunner::Output { stream, data, .. } => self.outputs[stream.index()].push(data)?,
            FromRunner::OutputEnd { stream, .. } => {
                if !self.outputs[stream.index()].end(End::Whole) {
                    return Err(ProtocolError::Turn("a second end of a stream"));
                }
            }
            FromRunner::Credit { bytes, .. } => self.input.credit(bytes)?,
            FromRunner::InputClosed { .. } => self.input.close(),
            FromRunner::Exit { ended, .. } if life.ended.is_none() => {
                life.ended = Some(Ok(ended));
                self.input.close();
            }
            _ => return Err(ProtocolError::Turn("a second start or end of a command")),
        }
        self.changed.notify_all();
        Ok(life.ended.is_some() && self.outputs.iter().all(Inbox::has_ended))
    }

    fn finish(&self, life: &mut Life, ended: Result<Ended, Failure>, end: End) {
        life.ended.get_or_insert(ended);
        self.input.close();
        for output in &self.outputs {
            output.end(end);
        }
        self.changed.notify_all();
    }

    /// The session broke.
    fn cut(&self, failure: &Failure) {
        self.finish(&mut lock(&self.life), Err(failure.clone()), End::Cut);
    }
}

/// A command that the runner started. Dropping it kills its whole tree.
#[derive(Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    command: u32,
    state: Arc<State>,
}

impl Remote {
    /// Waits until it runs, or does not.
    fn started(&self) -> Result<u32, Failure> {
        let wait = |life: &mut Life| life.started.is_none() && life.ended.is_none();
        let life = self.state.changed.wait_while(lock(&self.state.life), wait);
        let life = life.unwrap_or_else(PoisonError::into_inner);
        match (life.started, &life.ended) {
            (Some(process), _) => Ok(process),
            (None, Some(Err(failure))) => Err(failure.clone()),
            // `hear` takes no exit before a start.
            (None, _) => Err(Failure::lost(&Broken::Closed)),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        lock(&self.state.life).started.unwrap_or_default()
    }

    /// Its standard input, if it is piped. To be asked for once: dropping it ends the input.
    pub fn input(&self) -> Input {
        Input { shared: self.shared.clone(), command: self.command, state: self.state.clone() }
    }

    /// What it writes, if it is piped. To be asked for once: dropping it tells the command that nobody reads.
    pub fn output(&self, stream: Stream) -> Output {
        Output {
            shared: self.shared.clone(),
            command: self.command,
            stream,
            state: self.state.clone(),
            current: None,
        }
    }

    /// Waits for the end of the command and of all that it started. Output may still be unread.
    ///
    /// # Errors
    /// [`Failure`]: the session broke.
    pub fn wait(&self) -> Result<Ended, Failure> {
        loop {
            if let Some(ended) = self.wait_for(Duration::from_secs(3600))? {
                return Ok(ended);
            }
        }
    }

    /// As [`Self::wait`], but not longer than this.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_for(&self, most: Duration) -> Result<Option<Ended>, Failure> {
        let end = Instant::now() + most;
        let mut life = lock(&self.state.life);
        while life.ended.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let woken = self.state.changed.wait_timeout(life, left);
            life = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        life.ended.clone().transpose()
    }

    /// Kills its whole tree; [`Self::wait`] then tells.
    pub fn kill(&self) {
        self.signal(Signal::Kill);
    }

    /// Ctrl-C, for a command with a console.
    pub fn interrupt(&self) {
        self.signal(Signal::Interrupt);
    }

    fn signal(&self, signal: Signal) {
        if lock(&self.state.life).ended.is_none() {
            // Where the session is broken, nothing of the command runs.
            let _over = self.shared.send(&ToRunner::Signal { command: self.command, signal });
        }
    }

    /// The console has another size.
    pub fn resize(&self, size: Size) {
        if lock(&self.state.life).ended.is_none() {
            let _over = self.shared.send(&ToRunner::Resize { command: self.command, size });
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Standard input of a command.
#[derive(Debug)]
pub struct Input {
    shared: Arc<Shared>,
    command: u32,
    state: Arc<State>,
}

impl Write for Input {
    /// Waits while the command does not read. Broken once it cannot.
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let count = self.state.input.reserve(data.len().min(DATA)).ok_or(io::ErrorKind::BrokenPipe)?;
        let data = Payload::from(data[..count].to_vec());
        let sent = self.shared.send(&ToRunner::Input { command: self.command, data });
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.state.input.close();
        if lock(&self.state.life).ended.is_none() {
            let _over = self.shared.send(&ToRunner::InputEnd { command: self.command });
        }
    }
}

/// What a command writes.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Shared>,
    command: u32,
    stream: Stream,
    state: Arc<State>,
    current: Option<Payload>,
}

impl Output {
    fn inbox(&self) -> &Inbox {
        &self.state.outputs[self.stream.index()]
    }

    /// The next bytes, as they came; `None` at the end.
    ///
    /// # Errors
    /// ConnectionAborted: the session broke, and this may not be all.
    pub fn next_piece(&mut self) -> io::Result<Option<Payload>> {
        match self.inbox().take() {
            Ok(data) => Ok(Some(data)),
            Err(End::Whole) => Ok(None),
            Err(End::Cut) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// So many bytes of what [`Self::next_piece`] gave are done with: the command may write as many more.
    pub fn done(&self, bytes: usize) {
        if let Some(bytes) = self.inbox().used(bytes) {
            let (command, stream) = (self.command, self.stream);
            let _over = self.shared.send(&ToRunner::Credit { command, stream, bytes });
        }
    }
}

impl Read for Output {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        if self.current.is_none() {
            self.current = self.next_piece()?;
        }
        let Some(current) = &mut self.current else { return Ok(0) };
        let count = current.read(room);
        if current.is_empty() {
            self.current = None;
        }
        self.done(count);
        Ok(count)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let inbox = self.inbox();
        inbox.close();
        if !inbox.has_ended() {
            let (command, stream) = (self.command, self.stream);
            let _over = self.shared.send(&ToRunner::OutputClosed { command, stream });
        }
    }
}
