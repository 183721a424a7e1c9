//! More power than the command started with.

use std::process::Command;

use super::attempt::{Attempt, Group, Need};
use super::call::{half_words, sys};
use super::scene::Scene;
use super::tools::{done, in_child_done};
use super::verdict::{Step, Stop, Tried};

const ROOT: &[Need] = &[Need::Root];
const NOBODY: u32 = 65534;

const fn identity(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Identity, name, what, run)
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    identity("capabilities", "hold a capability", |_| holds(&["CapEff:", "CapPrm:"])).needs(ROOT),
    identity("capabilities-handed-on", "hold an inheritable or ambient capability", |_| {
        // Outside, root may raise one to hand it on.
        let _refused = raise_ambient();
        holds(&["CapInh:", "CapAmb:"])
    })
    .needs(ROOT),
    identity("capability-bound", "be able to get a capability by execve(2) (the bounding set)", |_| {
        holds(&["CapBnd:"])
    })
    // Without a user namespace an ordinary user cannot empty it; no_new_privs makes it meaningless.
    .open_without_namespaces(),
    identity("new-privileges", "be able to get privileges by execve(2) (no_new_privs is off)", |_| {
        match status("NoNewPrivs:")?.as_str() {
            "0" => Ok("no_new_privs is off".into()),
            value => Err(Stop::denied(format!("no_new_privs is {value}"))),
        }
    }),
    identity("no-filter", "run without a seccomp filter", |_| match status("Seccomp:")?.as_str() {
        "0" => Ok("there is no filter".into()),
        mode => Err(Stop::denied(format!("seccomp mode {mode}"))),
    }),
    identity("set-user-id-program", "become another user by a set-user-id program", |s| {
        let Some(program) = &s.setuid_program else {
            return Err(Stop::skipped("nobody set up a set-user-id program of another user"));
        };
        let output = Command::new(program).arg("-u").output().attack("starting the program")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let own = rustix::process::getuid().as_raw().to_string();
        match text.as_str() {
            "" => Err(Stop::denied(format!("it did not start: {}", output.status))),
            same if same == own => Err(Stop::denied(format!("it ran as user {same}"))),
            other => Ok(format!("it ran as user {other}")),
        }
    }),
    identity("other-user", "become another user by setuid(2)", |_| {
        in_child_done("setuid", || sys!(libc::SYS_setuid, NOBODY))
    })
    .needs(ROOT),
    identity("other-user-by-setresuid", "become another user by setresuid(2)", |_| {
        in_child_done("setresuid", || sys!(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY))
    })
    .needs(ROOT),
    identity("other-group", "become another group", |_| {
        in_child_done("setgid", || sys!(libc::SYS_setgid, NOBODY))
    })
    .needs(ROOT),
    identity(
        "drop-groups",
        "give up supplementary groups, which may be a way past a mode that shuts them out",
        |_| in_child_done("setgroups", || sys!(libc::SYS_setgroups, 0, 0)),
    )
    .needs(ROOT),
    identity("other-groups", "take supplementary groups", |_| {
        in_child_done("setgroups", || sys!(libc::SYS_setgroups, 1, &half_words(&[NOBODY])))
    })
    .needs(ROOT),
    identity("raise-limits", "raise a hard limit", |_| {
        let mut limit = [0; 16];
        sys!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, 0, limit.as_mut_slice()).ready("prlimit64")?;
        in_child_done("prlimit64", || {
            let lower = super::call::words(&[0, 0]);
            sys!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, &lower, 0)?;
            let higher = super::call::words(&[0, 4096]);
            sys!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, &higher, 0)
        })
    })
    .needs(&[Need::Root, Need::Facility]),
    identity("map-more-users", "write the user map of the sandbox' namespace", |_| {
        let written = std::fs::OpenOptions::new().write(true).open("/proc/self/uid_map");
        written.attack("/proc/self/uid_map").map(|_| "opened for writing".into())
    })
    .open_without_namespaces(),
    identity("keep-capabilities", "keep capabilities across a change of user (securebits)", |_| {
        const SECBIT_KEEP_CAPS: u32 = 1 << 4;
        in_child_done("PR_SET_SECUREBITS", || {
            sys!(libc::SYS_prctl, libc::PR_SET_SECUREBITS, SECBIT_KEEP_CAPS, 0, 0, 0)
        })
    })
    .needs(ROOT),
    identity("real-time", "run in real time, ahead of everybody", |_| {
        done(sys!(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &half_words(&[1])), "sched_setscheduler")
    })
    .needs(&[Need::Root, Need::Facility]),
];

/// A field of /proc/self/status.
fn status(field: &str) -> Result<String, Stop> {
    let status = std::fs::read_to_string("/proc/self/status").ready("/proc/self/status")?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    value.map(|value| value.trim().to_owned()).ok_or_else(|| Stop::broken(format!("no field {field}")))
}

fn holds(sets: &[&str]) -> Tried {
    for set in sets {
        let value = status(set)?;
        if value.bytes().any(|digit| digit != b'0') {
            return Ok(format!("{set} {value}"));
        }
    }
    Err(Stop::denied("none"))
}

/// Makes CAP_CHOWN inheritable, then ambient.
fn raise_ambient() -> Result<(), Stop> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = half_words(&[VERSION_3, 0]);
    let mut sets = [0; 24];
    sys!(libc::SYS_capget, &header, sets.as_mut_slice()).ready("capget")?;
    // Effective, permitted, inheritable of the lower half; CAP_CHOWN is bit 0.
    sets[8] |= 1;
    sys!(libc::SYS_capset, &header, &sets[..]).attack("capset")?;
    const PR_CAP_AMBIENT: i32 = 47;
    const PR_CAP_AMBIENT_RAISE: i32 = 2;
    sys!(libc::SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0).attack("PR_CAP_AMBIENT_RAISE")?;
    Ok(())
}
