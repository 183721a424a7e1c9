//! System calls by number, so that an attempt makes exactly the call that it names (a C library often makes another).

use std::ffi::{CStr, CString, c_long};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// One argument of a system call.
pub(super) enum Arg<'a> {
    /// A number, a flag word, a descriptor's number, an address.
    Int(i64),
    /// Bytes that the kernel reads.
    In(&'a [u8]),
    /// Bytes that the kernel writes.
    Out(&'a mut [u8]),
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Arg<'_> {
            fn from(value: $integer) -> Self {
                Self::Int(value as i64)
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64, usize);

impl<'a> From<&'a CStr> for Arg<'a> {
    fn from(text: &'a CStr) -> Self {
        Self::In(text.to_bytes_with_nul())
    }
}

impl<'a> From<&'a CString> for Arg<'a> {
    fn from(text: &'a CString) -> Self {
        Self::In(text.as_bytes_with_nul())
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::In(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Arg<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::In(bytes)
    }
}

impl<'a> From<&'a mut [u8]> for Arg<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self::Out(bytes)
    }
}

impl From<BorrowedFd<'_>> for Arg<'_> {
    fn from(fd: BorrowedFd<'_>) -> Self {
        Self::Int(fd.as_raw_fd().into())
    }
}

impl From<&OwnedFd> for Arg<'_> {
    fn from(fd: &OwnedFd) -> Self {
        Self::Int(fd.as_raw_fd().into())
    }
}

impl From<&File> for Arg<'_> {
    fn from(file: &File) -> Self {
        Self::Int(file.as_raw_fd().into())
    }
}

/// Makes the call. Buffers must have the size that the call's man page asks for; calls that change the caller's own memory map
/// or control flow (mmap, munmap, clone with CLONE_VM, …) are made where they are used, not here.
pub(super) fn call<const N: usize>(number: c_long, args: [Arg<'_>; N]) -> io::Result<i64> {
    let mut words = [0_i64; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = match arg {
            Arg::Int(value) => value,
            Arg::In(bytes) => bytes.as_ptr() as i64,
            Arg::Out(bytes) => bytes.as_mut_ptr() as i64,
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: every pointer comes from a borrow that outlives the call, of the size that the caller vouches for (above); no
    // call made through here touches memory that it is not given.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `sys!(number, arg, …)`: see [`call`].
macro_rules! sys {
    ($number:expr $(, $arg:expr)* $(,)?) => {
        $crate::attack::call::call($number, [$($crate::attack::call::Arg::from($arg)),*])
    };
}
pub(super) use sys;

/// Takes a descriptor that a call just returned.
pub(super) fn own(fd: i64) -> OwnedFd {
    // SAFETY: only called with the result of a call that makes a new descriptor, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Structures made of 64-bit words, as the kernel reads them.
pub(super) fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Structures made of 32-bit words, as the kernel reads them.
pub(super) fn half_words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
