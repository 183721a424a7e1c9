//! Any message comes back as it was, and any bytes are a message or an error.

use std::io::Write;
use std::sync::Arc;

use nt_security::{AccessMask, Ace, Acl, Sid};
use proptest::prelude::*;

use super::error::Failure;
use super::message::{FromRunner, Hello, Payload, Signal, Size, Stream, ToRunner};
use super::request::{Connection, SpawnRequest};
use super::server::{Begun, Engine, serve};
use super::{Client, DATA, Ended, frame};
use crate::host::SystemError;
use crate::launch::Prepared;
use crate::launch::steps::Recipe;
use crate::plan::data::{DesktopPlan, JobPlan, TokenFlag, TokenRecipe};

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,40}"
}

fn sid() -> impl Strategy<Value = Sid> {
    (0_u64..1 << 48, prop::collection::vec(any::<u32>(), 1..=15))
        .prop_map(|(authority, words)| Sid::new(authority, &words).expect("at most 15 words"))
}

/// Variables, each with its NUL, and the last NUL.
fn block() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(prop::collection::vec(1_u16.., 1..20), 0..8).prop_map(|variables| {
        let mut block: Vec<u16> =
            variables.into_iter().flat_map(|variable| variable.into_iter().chain([0])).collect();
        if block.is_empty() {
            block.push(0);
        }
        block.push(0);
        block
    })
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let flags = prop::sample::subsequence(
        vec![TokenFlag::DisableMaxPrivilege, TokenFlag::LuaToken, TokenFlag::WriteRestricted],
        0..=3,
    );
    let token = (flags, prop::collection::vec(text(), 0..4), any::<u32>());
    let acl = prop::collection::vec((sid(), any::<bool>(), any::<u32>()), 0..6);
    let job = (any::<bool>(), any::<bool>(), any::<[Option<u64>; 3]>());
    let desktop = (any::<bool>(), prop::option::of(text()));
    (token, prop::collection::vec(sid(), 0..10), acl, job, desktop, sid()).prop_map(
        |(token, restricting, aces, job, desktop, run)| {
            let (flags, privileges, integrity) = token;
            let ace = |(sid, allow, mask): (Sid, bool, u32)| {
                let mask = AccessMask(mask);
                if allow { Ace::allow(mask, sid) } else { Ace::deny(mask, sid) }
            };
            let (kill_on_close, no_breakaway, [memory, processes, wall_clock_ms]) = job;
            Recipe {
                token: TokenRecipe {
                    from: String::new(),
                    flags,
                    restricting: Vec::new(),
                    privileges,
                    integrity,
                    integrity_name: String::new(),
                },
                restricting,
                default_dacl: Acl::new(aces.into_iter().map(ace).collect()),
                job: JobPlan { kill_on_close, no_breakaway, memory, processes, wall_clock_ms },
                desktop: DesktopPlan { private: desktop.0, sddl: desktop.1 },
                run,
            }
        },
    )
}

pub fn request() -> impl Strategy<Value = SpawnRequest> {
    let command = (text(), text(), block(), text());
    let stream = prop_oneof![Just(Connection::Null), Just(Connection::Piped)];
    let streams = [stream.clone(), stream.clone(), stream];
    (command, recipe(), streams, prop::option::of(size())).prop_map(|(command, recipe, streams, console)| {
        let (application, command_line, block, cwd) = command;
        let command = Prepared { application, command_line, block, cwd, notices: Vec::new() };
        SpawnRequest { command, recipe, streams, console }
    })
}

fn size() -> impl Strategy<Value = Size> {
    (any::<u16>(), any::<u16>()).prop_map(|(columns, rows)| Size { columns, rows })
}

fn hello() -> impl Strategy<Value = Hello> {
    (any::<u32>(), any::<[u8; 16]>()).prop_map(|(process, nonce)| Hello::new(process, nonce))
}

fn payload() -> impl Strategy<Value = Payload> {
    let len = prop_oneof![1_usize..100, DATA - 3..=DATA];
    (len, any::<u8>()).prop_map(|(len, byte)| Payload::from(vec![byte; len]))
}

fn stream() -> impl Strategy<Value = Stream> {
    prop::sample::select(Stream::BOTH.to_vec())
}

fn to_runner() -> impl Strategy<Value = ToRunner> {
    let command = any::<u32>;
    prop_oneof![
        hello().prop_map(ToRunner::Hello),
        (command(), request())
            .prop_map(|(command, request)| ToRunner::Spawn { command, request: Box::new(request) }),
        (command(), payload()).prop_map(|(command, data)| ToRunner::Input { command, data }),
        command().prop_map(|command| ToRunner::InputEnd { command }),
        (command(), stream(), 1_u32..).prop_map(|(command, stream, bytes)| ToRunner::Credit {
            command,
            stream,
            bytes
        }),
        (command(), stream()).prop_map(|(command, stream)| ToRunner::OutputClosed { command, stream }),
        (command(), size()).prop_map(|(command, size)| ToRunner::Resize { command, size }),
        (command(), prop::sample::select(vec![Signal::Kill, Signal::Interrupt]))
            .prop_map(|(command, signal)| ToRunner::Signal { command, signal }),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    let system = prop::option::of(
        (any::<u32>(), text()).prop_map(|(code, text)| Box::new(SystemError { code, text })),
    );
    ("[a-z.-]{1,30}", "[a-z ]{1,30}", prop::option::of(text()), system, text(), text()).prop_map(
        |(code, stage, object, system, remedy, message)| Failure {
            code,
            stage,
            object: object.map(Into::into),
            system,
            remedy: remedy.into(),
            message,
        },
    )
}

fn from_runner() -> impl Strategy<Value = FromRunner> {
    let command = any::<u32>;
    let ended = prop_oneof![any::<u32>().prop_map(Ended::Code), Just(Ended::TimedOut)];
    prop_oneof![
        hello().prop_map(FromRunner::Hello),
        (command(), any::<u32>()).prop_map(|(command, process)| FromRunner::Started { command, process }),
        (command(), failure())
            .prop_map(|(command, failure)| FromRunner::Failed { command, failure: Box::new(failure) }),
        (command(), stream(), payload()).prop_map(|(command, stream, data)| FromRunner::Output {
            command,
            stream,
            data
        }),
        (command(), stream()).prop_map(|(command, stream)| FromRunner::OutputEnd { command, stream }),
        (command(), 1_u32..).prop_map(|(command, bytes)| FromRunner::Credit { command, bytes }),
        command().prop_map(|command| FromRunner::InputClosed { command }),
        (command(), ended).prop_map(|(command, ended)| FromRunner::Exit { command, ended }),
    ]
}

/// The frame without its length, as it is decoded.
fn body(frame: &[u8]) -> Vec<u8> {
    frame[frame::HEAD..].to_vec()
}

/// Starts nothing.
struct Refusing;

impl Engine for Refusing {
    fn start(&self, _: &SpawnRequest) -> Result<Begun, Failure> {
        Err(Failure::new("run.refused", "start", "refused", ""))
    }
}

const NONCE: [u8; 16] = [9; 16];

proptest! {
    #[test]
    fn messages_to_the_runner_come_back(message in to_runner()) {
        let frame = message.frame().expect("short enough");
        prop_assert_eq!(ToRunner::decode(body(&frame)), Ok(message));
        prop_assert!(FromRunner::decode(body(&frame)).is_err(), "the other direction's");
    }

    #[test]
    fn messages_of_the_runner_come_back(message in from_runner()) {
        let frame = message.frame().expect("short enough");
        prop_assert_eq!(FromRunner::decode(body(&frame)), Ok(message));
        prop_assert!(ToRunner::decode(body(&frame)).is_err(), "the other direction's");
    }

    #[test]
    fn cut_and_longer_messages_are_refused(message in to_runner(), at in any::<prop::sample::Index>()) {
        let whole = body(&message.frame().expect("short enough"));
        let cut = whole[..at.index(whole.len())].to_vec();
        let longer = [&whole[..], &[0]].concat();
        if let ToRunner::Input { .. } = message {
            // Data has no end of its own: the frame's length is its.
            prop_assert_eq!(ToRunner::decode(longer).is_ok(), whole.len() < DATA + 5);
        } else {
            prop_assert!(ToRunner::decode(cut).is_err());
            prop_assert!(ToRunner::decode(longer).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..=9) {
        for kind in [kind, kind | 0x80] {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if let Ok(message) = ToRunner::decode(bytes.clone()) {
                let again = message.frame().expect("short enough");
                prop_assert_eq!(ToRunner::decode(body(&again)), Ok(message));
            }
            if let Ok(message) = FromRunner::decode(bytes.clone()) {
                let again = message.frame().expect("short enough");
                prop_assert_eq!(FromRunner::decode(body(&again)), Ok(message));
            }
        }
    }

    /// Whatever a launcher sends in its session, the runner ends when it is over.
    #[test]
    fn a_hostile_launcher_ends_its_session_and_no_more(messages in prop::collection::vec(to_runner(), 0..20)) {
        let hello = Hello::new(1, NONCE);
        let mut bytes = ToRunner::Hello(hello).frame().expect("short");
        for message in messages {
            bytes.extend(message.frame().expect("short enough"));
        }
        let _ended = serve(bytes.as_slice(), std::io::sink(), Refusing, Hello::new(2, NONCE), &hello);
    }

    /// Whatever a runner sends, a command that waits for it ends.
    #[test]
    fn a_hostile_runner_ends_the_session_and_no_more(messages in prop::collection::vec(from_runner(), 0..20), wanted in request()) {
        let hello = Hello::new(2, NONCE);
        let (from, mut to) = std::io::pipe().expect("a pipe");
        to.write_all(&FromRunner::Hello(hello).frame().expect("short")).expect("room");
        let client = Client::connect(from, std::io::sink(), Hello::new(1, NONCE), &hello).expect("it greets");
        let client = Arc::new(client);
        let asked = { let client = client.clone(); std::thread::spawn(move || client.spawn(wanted).and_then(|remote| remote.wait())) };
        for message in messages {
            // The first command's number is 1: what is about it is what matters.
            let frame = about_one(message).frame().expect("short enough");
            if to.write_all(&frame).is_err() { break; }
        }
        drop(to);
        let ended = asked.join().expect("no panic");
        prop_assert!(client.held().1 <= 2 * super::WINDOW);
        let _either = ended;
    }
}

fn about_one(message: FromRunner) -> FromRunner {
    let command = 1;
    match message {
        FromRunner::Hello(hello) => FromRunner::Hello(hello),
        FromRunner::Started { process, .. } => FromRunner::Started { command, process },
        FromRunner::Failed { failure, .. } => FromRunner::Failed { command, failure },
        FromRunner::Output { stream, data, .. } => FromRunner::Output { command, stream, data },
        FromRunner::OutputEnd { stream, .. } => FromRunner::OutputEnd { command, stream },
        FromRunner::Credit { bytes, .. } => FromRunner::Credit { command, bytes },
        FromRunner::InputClosed { .. } => FromRunner::InputClosed { command },
        FromRunner::Exit { ended, .. } => FromRunner::Exit { command, ended },
    }
}
