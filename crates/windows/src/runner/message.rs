//! The messages, and their bytes: a kind, then fields in the order in which they stand here.
//!
//! The kinds of the two directions differ, so that a message that comes back is none.

use super::error::{Failure, ProtocolError};
use super::frame;
use super::request::SpawnRequest;
use super::wire::{Put, Take};
use super::{DATA, Ended, VERSION};

/// Bytes of the nonce.
pub const NONCE: usize = 16;

/// What both sides say first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
    /// The sender's process id.
    pub process: u32,
    /// What the launcher made up for this session and gave to the runner when it started it.
    pub nonce: [u8; NONCE],
}

impl Hello {
    /// Of this version.
    pub fn new(process: u32, nonce: [u8; NONCE]) -> Self {
        Self { version: VERSION, process, nonce }
    }

    /// Whether it is the one that was expected. All of the nonce is compared, however soon it differs.
    ///
    /// # Errors
    /// [`ProtocolError::Version`], [`ProtocolError::Stranger`].
    pub fn check(&self, expected: &Self) -> Result<(), ProtocolError> {
        if self.version != expected.version {
            return Err(ProtocolError::Version(self.version));
        }
        if self.process != expected.process {
            return Err(ProtocolError::Stranger("a process"));
        }
        let differ = self.nonce.iter().zip(expected.nonce).fold(0, |bits, (a, b)| bits | (a ^ b));
        if differ == 0 { Ok(()) } else { Err(ProtocolError::Stranger("a nonce")) }
    }
}

/// The size of a console, in letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// One of the streams that a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; all of a console's.
    Output,
    /// Standard error.
    Errors,
}

impl Stream {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Output, Self::Errors];

    /// Its place in a pair.
    pub fn index(self) -> usize {
        match self {
            Self::Output => 0,
            Self::Errors => 1,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Output => 1,
            Self::Errors => 2,
        }
    }

    fn take(take: &mut Take<'_>) -> Result<Self, ProtocolError> {
        match take.u8()? {
            1 => Ok(Self::Output),
            2 => Ok(Self::Errors),
            _ => Err(ProtocolError::Value("a stream")),
        }
    }
}

/// What a launcher can do to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends its whole tree.
    Kill,
    /// Ctrl-C, for a command with a console.
    Interrupt,
}

/// The end of a frame: bytes of a stream, without a copy of their own.
#[derive(Debug, Clone)]
pub struct Payload {
    frame: Vec<u8>,
    from: usize,
}

impl Payload {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.frame[self.from..]
    }

    /// How many; at least one.
    pub fn len(&self) -> usize {
        self.frame.len() - self.from
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts those of another behind.
    pub fn append(&mut self, other: &Self) {
        self.frame.extend_from_slice(other.bytes());
    }

    /// Takes as many of the first as there is room for; how many.
    pub fn read(&mut self, room: &mut [u8]) -> usize {
        let count = room.len().min(self.len());
        room[..count].copy_from_slice(&self.bytes()[..count]);
        self.from += count;
        count
    }
}

impl From<Vec<u8>> for Payload {
    fn from(frame: Vec<u8>) -> Self {
        Self { frame, from: 0 }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload {}

/// From launcher to runner. `command` is a number that the launcher gives, each greater than the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToRunner {
    /// First of all.
    Hello(Hello),
    /// Start a command.
    Spawn {
        /// Its number.
        command: u32,
        /// Everything about it.
        request: Box<SpawnRequest>,
    },
    /// Bytes for its standard input.
    Input {
        /// Which command.
        command: u32,
        /// The bytes.
        data: Payload,
    },
    /// Its standard input ends.
    InputEnd {
        /// Which command.
        command: u32,
    },
    /// So many bytes of a stream have been read.
    Credit {
        /// Which command.
        command: u32,
        /// Which stream.
        stream: Stream,
        /// How many.
        bytes: u32,
    },
    /// Nobody reads a stream any more.
    OutputClosed {
        /// Which command.
        command: u32,
        /// Which stream.
        stream: Stream,
    },
    /// The console has another size.
    Resize {
        /// Which command.
        command: u32,
        /// The size.
        size: Size,
    },
    /// Kill, or Ctrl-C.
    Signal {
        /// Which command.
        command: u32,
        /// Which.
        signal: Signal,
    },
}

/// From runner to launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromRunner {
    /// First of all.
    Hello(Hello),
    /// A command runs.
    Started {
        /// Which command.
        command: u32,
        /// Its process id.
        process: u32,
    },
    /// A command could not be started, or its end not be seen: nothing of it runs, and no more is said of it.
    Failed {
        /// Which command.
        command: u32,
        /// Why.
        failure: Box<Failure>,
    },
    /// Bytes that it wrote.
    Output {
        /// Which command.
        command: u32,
        /// Which stream.
        stream: Stream,
        /// The bytes.
        data: Payload,
    },
    /// A stream has ended.
    OutputEnd {
        /// Which command.
        command: u32,
        /// Which stream.
        stream: Stream,
    },
    /// So many bytes of its input have been written.
    Credit {
        /// Which command.
        command: u32,
        /// How many.
        bytes: u32,
    },
    /// It reads no more input.
    InputClosed {
        /// Which command.
        command: u32,
    },
    /// It has ended, and all that it started. Output may still follow.
    Exit {
        /// Which command.
        command: u32,
        /// How.
        ended: Ended,
    },
}

/// The kinds.
mod kind {
    pub const HELLO: u8 = 0x01;
    pub const SPAWN: u8 = 0x02;
    pub const INPUT: u8 = 0x03;
    pub const INPUT_END: u8 = 0x04;
    pub const CREDIT: u8 = 0x05;
    pub const OUTPUT_CLOSED: u8 = 0x06;
    pub const RESIZE: u8 = 0x07;
    pub const SIGNAL: u8 = 0x08;
    /// Set in all that a runner says.
    pub const RUNNER: u8 = 0x80;
    pub const STARTED: u8 = RUNNER | 0x02;
    pub const OUTPUT: u8 = RUNNER | 0x03;
    pub const OUTPUT_END: u8 = RUNNER | 0x04;
    pub const INPUT_CLOSED: u8 = RUNNER | 0x06;
    pub const EXIT: u8 = RUNNER | 0x07;
    pub const FAILED: u8 = RUNNER | 0x08;
}

/// Bytes before the payload in a frame of output: length, kind, command, stream.
pub const OUTPUT_HEAD: usize = frame::HEAD + 1 + 4 + 1;

/// Starts every hello: a program that speaks something else is told from one of another version.
const MAGIC: [u8; 4] = *b"cxsb";

fn whole(build: impl FnOnce(&mut Put)) -> Result<Vec<u8>, ProtocolError> {
    let mut put = Put(frame::begin(64));
    build(&mut put);
    let mut bytes = put.0;
    frame::finish(&mut bytes)?;
    Ok(bytes)
}

fn put_hello(put: &mut Put, hello: &Hello) {
    put.0.extend_from_slice(&MAGIC);
    put.u16(hello.version);
    put.u32(hello.process);
    put.0.extend_from_slice(&hello.nonce);
}

/// The fields of another version may differ: they are not looked at.
fn take_hello(take: &mut Take<'_>) -> Result<Hello, ProtocolError> {
    if take.fixed()? != MAGIC {
        return Err(ProtocolError::Value("a greeting"));
    }
    let version = take.u16()?;
    if version != VERSION {
        return Err(ProtocolError::Version(version));
    }
    Ok(Hello { version, process: take.u32()?, nonce: take.fixed()? })
}

/// The bytes behind what was taken so far; one to [`DATA`] of them.
fn payload(frame: Vec<u8>, left: usize) -> Result<Payload, ProtocolError> {
    match left {
        0 => Err(ProtocolError::Short),
        1..=DATA => Ok(Payload { from: frame.len() - left, frame }),
        _ => Err(ProtocolError::TooLong("a piece of a stream")),
    }
}

/// A credit of nothing would make one side busy at the other's word.
fn credit(take: &mut Take<'_>) -> Result<u32, ProtocolError> {
    match take.u32()? {
        0 => Err(ProtocolError::Value("a credit")),
        bytes => Ok(bytes),
    }
}

impl ToRunner {
    /// A whole frame.
    ///
    /// # Errors
    /// [`ProtocolError::FrameLength`].
    pub fn frame(&self) -> Result<Vec<u8>, ProtocolError> {
        whole(|put| match self {
            Self::Hello(hello) => {
                put.u8(kind::HELLO);
                put_hello(put, hello);
            }
            Self::Spawn { command, request } => {
                put.u8(kind::SPAWN);
                put.u32(*command);
                request.put(put);
            }
            Self::Input { command, data } => {
                put.u8(kind::INPUT);
                put.u32(*command);
                put.0.extend_from_slice(data.bytes());
            }
            Self::InputEnd { command } => {
                put.u8(kind::INPUT_END);
                put.u32(*command);
            }
            Self::Credit { command, stream, bytes } => {
                put.u8(kind::CREDIT);
                put.u32(*command);
                put.u8(stream.byte());
                put.u32(*bytes);
            }
            Self::OutputClosed { command, stream } => {
                put.u8(kind::OUTPUT_CLOSED);
                put.u32(*command);
                put.u8(stream.byte());
            }
            Self::Resize { command, size } => {
                put.u8(kind::RESIZE);
                put.u32(*command);
                put.u16(size.columns);
                put.u16(size.rows);
            }
            Self::Signal { command, signal } => {
                put.u8(kind::SIGNAL);
                put.u32(*command);
                put.u8(match signal {
                    Signal::Kill => 1,
                    Signal::Interrupt => 2,
                });
            }
        })
    }

    /// Reads a frame, without its length.
    ///
    /// # Errors
    /// [`ProtocolError`].
    pub fn decode(frame: Vec<u8>) -> Result<Self, ProtocolError> {
        let mut take = Take::new(&frame);
        let kind = take.u8()?;
        if kind == kind::HELLO {
            let hello = take_hello(&mut take)?;
            take.end()?;
            return Ok(Self::Hello(hello));
        }
        let command = take.u32()?;
        let message = match kind {
            kind::SPAWN => {
                let request = Box::new(SpawnRequest::take(&mut take)?);
                Self::Spawn { command, request }
            }
            kind::INPUT => {
                let left = take.left();
                return Ok(Self::Input { command, data: payload(frame, left)? });
            }
            kind::INPUT_END => Self::InputEnd { command },
            kind::CREDIT => {
                Self::Credit { command, stream: Stream::take(&mut take)?, bytes: credit(&mut take)? }
            }
            kind::OUTPUT_CLOSED => Self::OutputClosed { command, stream: Stream::take(&mut take)? },
            kind::RESIZE => Self::Resize { command, size: Size { columns: take.u16()?, rows: take.u16()? } },
            kind::SIGNAL => {
                let signal = match take.u8()? {
                    1 => Signal::Kill,
                    2 => Signal::Interrupt,
                    _ => return Err(ProtocolError::Value("a signal")),
                };
                Self::Signal { command, signal }
            }
            other => return Err(ProtocolError::Kind(other)),
        };
        take.end()?;
        Ok(message)
    }
}

impl FromRunner {
    /// A whole frame.
    ///
    /// # Errors
    /// [`ProtocolError::FrameLength`].
    pub fn frame(&self) -> Result<Vec<u8>, ProtocolError> {
        whole(|put| match self {
            Self::Hello(hello) => {
                put.u8(kind::RUNNER | kind::HELLO);
                put_hello(put, hello);
            }
            Self::Started { command, process } => {
                put.u8(kind::STARTED);
                put.u32(*command);
                put.u32(*process);
            }
            Self::Failed { command, failure } => {
                put.u8(kind::FAILED);
                put.u32(*command);
                failure.put(put);
            }
            Self::Output { command, stream, data } => {
                put.u8(kind::OUTPUT);
                put.u32(*command);
                put.u8(stream.byte());
                put.0.extend_from_slice(data.bytes());
            }
            Self::OutputEnd { command, stream } => {
                put.u8(kind::OUTPUT_END);
                put.u32(*command);
                put.u8(stream.byte());
            }
            Self::Credit { command, bytes } => {
                put.u8(kind::RUNNER | kind::CREDIT);
                put.u32(*command);
                put.u32(*bytes);
            }
            Self::InputClosed { command } => {
                put.u8(kind::INPUT_CLOSED);
                put.u32(*command);
            }
            Self::Exit { command, ended } => {
                put.u8(kind::EXIT);
                put.u32(*command);
                let code = match ended {
                    Ended::Code(code) => Some(*code),
                    Ended::TimedOut => None,
                };
                put.option(code, Put::u32);
            }
        })
    }

    /// Fills in what stands before `len` bytes of output that are behind [`OUTPUT_HEAD`] bytes of room.
    ///
    /// # Errors
    /// [`ProtocolError::FrameLength`].
    pub fn head_output(frame: &mut [u8], command: u32, stream: Stream) -> Result<(), ProtocolError> {
        frame[frame::HEAD] = kind::OUTPUT;
        frame[frame::HEAD + 1..frame::HEAD + 5].copy_from_slice(&command.to_le_bytes());
        frame[frame::HEAD + 5] = stream.byte();
        frame::finish(frame)
    }

    /// Reads a frame, without its length.
    ///
    /// # Errors
    /// [`ProtocolError`].
    pub fn decode(frame: Vec<u8>) -> Result<Self, ProtocolError> {
        let mut take = Take::new(&frame);
        let kind = take.u8()?;
        if kind == kind::RUNNER | kind::HELLO {
            let hello = take_hello(&mut take)?;
            take.end()?;
            return Ok(Self::Hello(hello));
        }
        let command = take.u32()?;
        const CREDIT: u8 = kind::RUNNER | kind::CREDIT;
        let message = match kind {
            kind::STARTED => Self::Started { command, process: take.u32()? },
            kind::FAILED => Self::Failed { command, failure: Box::new(Failure::take(&mut take)?) },
            kind::OUTPUT => {
                let stream = Stream::take(&mut take)?;
                let left = take.left();
                return Ok(Self::Output { command, stream, data: payload(frame, left)? });
            }
            kind::OUTPUT_END => Self::OutputEnd { command, stream: Stream::take(&mut take)? },
            CREDIT => Self::Credit { command, bytes: credit(&mut take)? },
            kind::INPUT_CLOSED => Self::InputClosed { command },
            kind::EXIT => {
                let code = take.option(Take::u32)?;
                Self::Exit { command, ended: code.map_or(Ended::TimedOut, Ended::Code) }
            }
            other => return Err(ProtocolError::Kind(other)),
        };
        take.end()?;
        Ok(message)
    }
}
