//! Other doors to the same calls: the 32-bit and the x32 system-call tables.

use crate::attack::attempt::Attempt;

#[cfg(not(target_arch = "x86_64"))]
pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[];

#[cfg(target_arch = "x86_64")]
pub(in crate::attack) use x86_64::ATTEMPTS;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::io;
    use std::path::Path;

    use super::Attempt;
    use crate::attack::attempt::{Group, Need};
    use crate::attack::call::sys;
    use crate::attack::scene::Scene;
    use crate::attack::tools::{CWD, c, done, in_child_done};
    use crate::attack::verdict::Tried;

    /// Numbers of the 32-bit table (arch/x86/entry/syscalls/syscall_32.tbl).
    const MKDIR_32: u32 = 39;
    const CREAT_32: u32 = 8;
    const SOCKET_32: u32 = 359;
    /// __X32_SYSCALL_BIT.
    const X32: i64 = 0x4000_0000;

    const fn entry(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
        Attempt::seen_outside(Group::Kernel, name, what, run).needs(&[Need::Facility])
    }

    pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
        entry("int-80-mkdir", "make a folder outside through the 32-bit entry (int 0x80)", |s| {
            by_int_80("mkdir by int 0x80", MKDIR_32, &s.theirs("new"), 0o755)
        }),
        entry("int-80-creat", "make a .git file through the 32-bit entry", |s| {
            by_int_80("creat by int 0x80", CREAT_32, &s.ours("plain/.git"), 0o644)
        }),
        Attempt::seen_inside(
            Group::Kernel,
            "int-80-socket",
            "open a socket for kernel events (netlink) through the 32-bit entry",
            |_| {
                let number = |value: i32| value.cast_unsigned();
                in_child_done("socket by int 0x80", || {
                    // SAFETY: no pointer is passed.
                    unsafe { int_80(SOCKET_32, number(libc::AF_NETLINK), number(libc::SOCK_RAW), 15) }
                })
            },
        )
        .needs(&[Need::Facility]),
        entry("x32-mkdir", "make a folder outside through the x32 table", |s| {
            done(sys!(X32 | libc::SYS_mkdir, &c(&s.theirs("new")), 0o755), "mkdir by x32")
        }),
        entry("x32-mkdirat", "make .git through the x32 table", |s| {
            done(sys!(X32 | libc::SYS_mkdirat, CWD, &c(&s.ours("plain/.git")), 0o755), "mkdirat by x32")
        }),
    ];

    /// In a child: a kernel without the 32-bit entry ends the process by a signal.
    fn by_int_80(what: &str, number: u32, path: &Path, mode: u32) -> Tried {
        in_child_done(what, || {
            let address = low_copy(c(path).as_bytes_with_nul())?;
            // SAFETY: the address is that of a NUL-terminated text.
            unsafe { int_80(number, address, mode, 0) }
        })
    }

    /// A copy of the bytes below 4 GiB.
    fn low_copy(bytes: &[u8]) -> io::Result<u32> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
        // SAFETY: a new mapping at a free place, of the size that is then copied into it.
        unsafe {
            let address = libc::mmap(std::ptr::null_mut(), bytes.len(), protection, flags, -1, 0);
            if address == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), bytes.len());
            u32::try_from(address as usize).map_err(io::Error::other)
        }
    }

    /// A system call through the 32-bit entry.
    ///
    /// # Safety
    /// As for the system call.
    unsafe fn int_80(number: u32, a: u32, b: u32, c: u32) -> io::Result<i64> {
        let result: i32;
        // SAFETY: rbx, which the compiler keeps for itself, is put back; older kernels clobber r8 to r11.
        unsafe {
            asm!(
                "xchg {a}, rbx",
                "int 0x80",
                "xchg {a}, rbx",
                a = inout(reg) u64::from(a) => _,
                inlateout("eax") number => result,
                in("ecx") b,
                in("edx") c,
                lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
            );
        }
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result.into()) }
    }
}
