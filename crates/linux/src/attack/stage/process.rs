//! A process of an outsider: a sleep(1) with the attempts' signal blocked, so that one that arrives stays to be seen.

use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::read_text;

/// The signal that attempts send. Ignored by default, so that even a successful `kill -1` harms nobody; blocked by the victim,
/// so that it stays pending there.
pub const SIGNAL: i32 = libc::SIGURG;
/// What lies at the address that attempts try to overwrite.
pub const VICTIM_WORD: u64 = 0x6564_6973_7475_6f21;

/// The running process; dropping ends it.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    address: u64,
    before: State,
}

/// What an attempt could change about it.
#[derive(Debug, PartialEq, Eq)]
struct State {
    pending: bool,
    nice: String,
    policy: String,
    core_limit: String,
    oom_score: String,
    affinity: String,
    word: Option<u64>,
}

impl State {
    fn of(pid: u32, address: u64) -> Self {
        let proc = |file: &str| read_text(format!("/proc/{pid}/{file}"));
        let status = proc("status");
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned()
        };
        let pending = ["SigPnd:", "ShdPnd:"]
            .iter()
            .any(|set| u64::from_str_radix(&field(set), 16).is_ok_and(|set| set & (1 << (SIGNAL - 1)) != 0));
        let stat = proc("stat");
        // proc_pid_stat(5): the name may hold spaces; after it field 19 is the nice value, 41 the policy.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let number = |at: usize| fields.get(at - 3).copied().unwrap_or("").to_owned();
        Self {
            pending,
            nice: number(19),
            policy: number(41),
            core_limit: proc("limits")
                .lines()
                .find(|line| line.starts_with("Max core"))
                .unwrap_or("")
                .to_owned(),
            oom_score: proc("oom_score_adj"),
            affinity: field("Cpus_allowed:"),
            word: read_word(pid, address),
        }
    }
}

impl Victim {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new("sleep");
        // It ends by itself if the stage is killed.
        command.arg("900").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure makes two async-signal-safe calls on its own stack.
        unsafe {
            command.pre_exec(|| {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, SIGNAL);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                Ok(())
            });
        }
        let child = command.spawn()?;
        let pid = child.id();
        let address = stack(pid).unwrap_or(0);
        // Where even our own child's memory is closed to us, the attempts on it are judged by nothing, and find address 0.
        let address = if write_word(pid, address).is_ok() { address } else { 0 };
        Ok(Self { before: State::of(pid, address), child, address })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Where [`VICTIM_WORD`] lies; 0 where it could not be put.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// What changed.
    pub fn changes(&mut self) -> Vec<String> {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return vec!["the process ended".to_owned()];
        }
        let now = State::of(self.child.id(), self.address);
        let before = &self.before;
        let changed = [
            (now.pending != before.pending, "a signal for the process arrived"),
            (now.nice != before.nice, "the process' nice value changed"),
            (now.policy != before.policy, "the process' scheduling policy changed"),
            (now.core_limit != before.core_limit, "the process' limits changed"),
            (now.oom_score != before.oom_score, "the process' OOM score changed"),
            (now.affinity != before.affinity, "the process' CPU affinity changed"),
            (now.word != before.word, "the process' memory changed"),
        ];
        changed.into_iter().filter(|(changed, _)| *changed).map(|(_, what)| what.to_owned()).collect()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The lowest address of the stack's mapping: nothing uses it.
fn stack(pid: u32) -> Option<u64> {
    let maps = read_text(format!("/proc/{pid}/maps"));
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    u64::from_str_radix(line.split('-').next()?, 16).ok()
}

fn write_word(pid: u32, address: u64) -> io::Result<()> {
    let memory = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"))?;
    memory.write_all_at(&VICTIM_WORD.to_ne_bytes(), address)
}

fn read_word(pid: u32, address: u64) -> Option<u64> {
    let mut word = [0; 8];
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.read_exact_at(&mut word, address).ok()?;
    Some(u64::from_ne_bytes(word))
}
