//! Typing into the caller's terminal.

use super::kernel;
use crate::attack::attempt::{Attempt, Group, Need, Stdin};
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{done, open, probe};
use crate::attack::verdict::{Step, Tried};

/// TIOCSTI.
const TIOCSTI: u64 = 0x5412;
/// TIOCLINUX.
const TIOCLINUX: u64 = 0x541c;
/// TIOCSETD.
const TIOCSETD: u64 = 0x5423;
/// TIOCCONS.
const TIOCCONS: u64 = 0x541d;
/// Bits that the kernel's `unsigned int` request does not have, and a filter that compares 64 bits stumbles over.
const HIGH: u64 = 0x1234_5678_0000_0000;

/// TIOCSTI works for ordinary users on their own terminal only where this is on.
const TYPING: &[Need] = &[Need::Sysctl { path: "dev/tty/legacy_tiocsti", lowest: 1, highest: 1 }];

const fn terminal(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Kernel, name, what, run).stdin(Stdin::Terminal).needs(TYPING)
}

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    terminal("type", "type into the caller's terminal (TIOCSTI)", |_| {
        done(sys!(libc::SYS_ioctl, 0, TIOCSTI, &b"x"[..]), "TIOCSTI")
    }),
    terminal("type-with-high-bits", "the same with bits above the 32 that the kernel looks at", |_| {
        done(sys!(libc::SYS_ioctl, 0, HIGH | TIOCSTI, &b"x"[..]), "TIOCSTI")
    }),
    terminal("type-by-dev-tty", "type into /dev/tty", |_| {
        let tty = open("/dev/tty".as_ref(), libc::O_RDWR | libc::O_NOCTTY).attack("open /dev/tty")?;
        done(sys!(libc::SYS_ioctl, &tty, TIOCSTI, &b"x"[..]), "TIOCSTI")
    }),
    terminal("type-by-reopening", "type into the terminal behind /proc/self/fd/0", |_| {
        let tty = open("/proc/self/fd/0".as_ref(), libc::O_RDWR | libc::O_NOCTTY).attack("open")?;
        done(sys!(libc::SYS_ioctl, &tty, TIOCSTI, &b"x"[..]), "TIOCSTI")
    }),
    // The console's driver alone knows the request; a pseudo terminal's says that it does not, after every check.
    kernel("paste", "paste the console's selection into the terminal (TIOCLINUX)", |_| {
        probe(sys!(libc::SYS_ioctl, 0, TIOCLINUX, &[3][..]), &[libc::ENOTTY], "TIOCLINUX")
    })
    .stdin(Stdin::Terminal),
    kernel("paste-with-high-bits", "the same with bits above the 32 that the kernel looks at", |_| {
        probe(sys!(libc::SYS_ioctl, 0, HIGH | TIOCLINUX, &[3][..]), &[libc::ENOTTY], "TIOCLINUX")
    })
    .stdin(Stdin::Terminal),
    kernel("line-discipline", "load another line discipline for the terminal (the one that it has)", |_| {
        done(sys!(libc::SYS_ioctl, 0, TIOCSETD, &0_u32.to_ne_bytes()[..]), "TIOCSETD")
    })
    .stdin(Stdin::Terminal),
    kernel("take-the-console", "redirect the console's output to the terminal", |_| {
        done(sys!(libc::SYS_ioctl, 0, TIOCCONS, 0), "TIOCCONS")
    })
    .stdin(Stdin::Terminal)
    .needs(&[Need::Root]),
];
