//! kill(0, …) where Landlock cannot keep signals inside: the caller's process group holds the launcher and its neighbours.

use rustix::io::Errno;

use super::notify::{Answer, Call};
use super::{Broker, Handled};
use crate::sys;

impl Broker<'_> {
    /// Sends the signal to those members of the caller's process group that run in this sandbox.
    pub(super) fn handle_kill(&mut self, call: &Call) -> Handled {
        let signal = call.int(1);
        let group = self.process_group(call.tid).ok_or(Errno::SRCH)?;
        let mut result = Err(Errno::SRCH);
        for pid in self.members() {
            if self.process_group(pid) == Some(group) {
                result = sys::kill(pid, signal).or(result);
            }
        }
        result.map(|()| Answer::Value(0))
    }

    /// Processes of this sandbox, ourselves left out. Only a /proc of our own shows them and nobody else.
    fn members(&self) -> Vec<i32> {
        if self.proc_writable.is_none() {
            return Vec::new();
        }
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| *pid != std::process::id().cast_signed()).collect()
    }

    fn process_group(&self, pid: i32) -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in parentheses: state, ppid, pgrp.
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
    }
}
