//! A command under a filter that refuses new namespaces.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use crate::say;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `CLONE_NEWNS` … `CLONE_NEWNET`, clone(2).
const NAMESPACES: [u64; 7] =
    [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// What the filter refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// New namespaces.
    Namespaces,
    /// And Landlock.
    AllSandboxing,
}

/// landlock_create_ruleset, on every architecture.
const LANDLOCK: i64 = 444;

/// System call numbers of clone, unshare, setns, clone3.
#[cfg(target_arch = "x86_64")]
const CALLS: [i64; 4] = [56, 272, 308, 435];
#[cfg(target_arch = "aarch64")]
const CALLS: [i64; 4] = [220, 97, 268, 435];

/// Becomes the command.
pub fn run(command: &[OsString], refused: Refused) -> ExitCode {
    let Some((program, args)) = command.split_first() else {
        say("no command after --");
        return ExitCode::from(2);
    };
    let error = match install(refused) {
        Ok(()) => Command::new(program).args(args).exec().to_string(),
        Err(error) => error,
    };
    say(&error);
    ExitCode::from(2)
}

fn install(refused: Refused) -> Result<(), String> {
    // `clone3` hides its flags in memory: filters answer that there is no such call, and callers fall back to `clone`.
    // One action for each filter; two filters together are what is wanted.
    let mut missing = BTreeMap::from([(CALLS[3], Vec::new())]);
    if refused == Refused::AllSandboxing {
        missing.insert(LANDLOCK, Vec::new());
    }
    for (calls, errno) in [(flagged_calls()?, EPERM), (missing, ENOSYS)] {
        let filter = SeccompFilter::new(
            calls,
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            std::env::consts::ARCH.try_into().map_err(|error| format!("{error}"))?,
        );
        let program: BpfProgram =
            filter.and_then(TryInto::try_into).map_err(|error| format!("cannot make the filter: {error}"))?;
        apply_filter(&program).map_err(|error| format!("cannot install the filter: {error}"))?;
    }
    Ok(())
}

fn flagged_calls() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let [clone, unshare, setns, _] = CALLS;
    let rules = NAMESPACES.map(|flag| {
        // Argument 0 holds the flags of both.
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| format!("cannot make the filter: {error}"))
    });
    let rules = rules.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(BTreeMap::from([(clone, rules.clone()), (unshare, rules), (setns, Vec::new())]))
}
