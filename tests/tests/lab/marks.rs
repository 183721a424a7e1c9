//! What of ours stands on the lab's files: SIDs and labels that nobody else makes, looked for where the lab keeps descriptors.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the lab keeps a file's descriptor.
const ATTRIBUTE: &CStr = c"user.winlab.sd";
/// S-1-16-6144, the level of commands, as a descriptor has it.
const MEDIUM_LOW: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 16, 0, 0x18, 0, 0];
/// How an S-1-5-21-a-b-c-d, five numbers and no account's, begins.
const WRITE_SID: [u8; 12] = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];

/// Objects at and below `top` whose descriptors name a write SID or the level of commands.
///
/// Accounts of the lab have five numbers too; theirs end with one below 2000, which a random one hardly does.
pub fn marks(top: &Path) -> Vec<PathBuf> {
    let mut marked = Vec::new();
    let mut todo = vec![top.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.is_symlink() {
            let entries = fs::read_dir(&path).expect("a folder of the test");
            todo.extend(entries.map(|entry| entry.expect("a name").path()));
        }
        if descriptor(&path).is_some_and(|bytes| is_marked(&bytes)) {
            marked.push(path);
        }
    }
    marked.sort();
    marked
}

/// The descriptor of a file, where it has one of its own.
pub fn descriptor(path: &Path) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let len = rustix::fs::lgetxattr(path, ATTRIBUTE, &mut buffer).ok()?;
    buffer.truncate(len);
    Some(buffer)
}

fn is_marked(bytes: &[u8]) -> bool {
    let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let is_random = |at: &[u8]| {
        let last = at.get(24..28).and_then(|last| last.try_into().ok()).map(u32::from_le_bytes);
        at.starts_with(&WRITE_SID) && last.is_some_and(|last| last >= 2000)
    };
    has(&MEDIUM_LOW) || (0..bytes.len()).any(|at| is_random(&bytes[at..]))
}
