//! Whether git may be given an index that a command wrote.
//!
//! Git checks the names of entries when it adds them to an index, and trusts an index that it reads: one with the entry
//! `.git/hooks/post-checkout` or `../../.bashrc` makes the user's own `git checkout .` write there. So under `git = "commit"`
//! an index is looked through before it gets its name. Format: gitformat-index(5).

use std::collections::HashSet;

use crate::names::ProtectedNames;

/// Why an index is not taken. The text completes "the index …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is no index, or ends too early.
    #[error("is not in the format of versions 2 to 4 ({0})")]
    Format(&'static str),
    /// An entry's name leads to where git keeps code, or out of the work tree.
    #[error("has an entry that git would not make: {0:?}")]
    Name(String),
    /// Something without which the entries are not all.
    #[error("has the extension {0}, without which it is not whole")]
    Extension(String),
}

/// Length of an object's name in a repository of the usual format.
pub const SHA1: usize = 20;
/// The same with `extensions.objectFormat = sha256`.
pub const SHA256: usize = 32;

/// The length of object names in a repository with this configuration file.
pub fn hash_length(config: &[u8]) -> usize {
    let text = config.to_ascii_lowercase();
    let mut lines = text.split(|byte| *byte == b'\n');
    let contains = |line: &[u8], word: &[u8]| line.windows(word.len()).any(|window| window == word);
    let sha256 = lines.any(|line| contains(line, b"objectformat") && contains(line, b"sha256"));
    if sha256 { SHA256 } else { SHA1 }
}

const HEADER: usize = 12;
/// Times, device, inode, mode, owner, size.
const STAT: usize = 40;
const MODE_AT: usize = 24;
const NAME_MASK: u16 = 0xfff;
const EXTENDED: u16 = 0x4000;
const STAGES: u16 = 0x3000;
const S_IFDIR: u32 = 0o040_000;
const S_IFMT: u32 = 0o170_000;

/// Looks through an index, and gives what git may have of it: header and entries, with a new checksum. The extensions are what
/// git remembers for speed (trees, untracked files) or could read other entries by; git makes them anew.
///
/// `hash` is the length of the repository's object names: [`SHA1`], or [`SHA256`].
///
/// # Errors
/// [`IndexError`]: git would read entries from it that it would not have written.
pub fn clean(bytes: &[u8], hash: usize) -> Result<Vec<u8>, IndexError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(4)? != b"DIRC" {
        return Err(IndexError::Format("no signature"));
    }
    let version = reader.u32()?;
    if !(2..=4).contains(&version) {
        return Err(IndexError::Format("another version"));
    }
    let count = reader.u32()?;
    let end = bytes.len().checked_sub(hash).filter(|end| *end >= HEADER);
    let end = end.ok_or(IndexError::Format("no checksum"))?;
    let mut names = Names::default();
    let mut name = Vec::new();
    for _ in 0..count {
        let entry = entry(&mut reader, version, hash, &mut name)?;
        if reader.at > end {
            return Err(IndexError::Format("an entry in the checksum"));
        }
        names.add(&name, &entry)?;
    }
    let mut cleaned = bytes[..reader.at].to_vec();
    if extensions(&mut reader, end)? {
        cleaned.extend(SPARSE);
    }
    let sum = checksum(&cleaned, hash);
    cleaned.extend(sum);
    Ok(cleaned)
}

/// The extension that says that entries may be folders.
const SPARSE: &[u8] = b"sdir\0\0\0\0";

fn checksum(bytes: &[u8], hash: usize) -> Vec<u8> {
    use sha2::Digest;
    if hash == SHA256 { sha2::Sha256::digest(bytes).to_vec() } else { sha1::Sha1::digest(bytes).to_vec() }
}

struct Entry {
    mode: u32,
    stage: u16,
}

/// Reads one entry. Git takes the length of a name from the flags at some times and from its NUL at others, so both must agree.
fn entry(
    reader: &mut Reader<'_>,
    version: u32,
    hash: usize,
    name: &mut Vec<u8>,
) -> Result<Entry, IndexError> {
    let start = reader.at;
    let stat = reader.take(STAT)?;
    let mode = u32::from_be_bytes(stat[MODE_AT..MODE_AT + 4].try_into().expect("four bytes"));
    reader.take(hash)?;
    let flags = reader.u16()?;
    if flags & EXTENDED != 0 {
        if version < 3 {
            return Err(IndexError::Format("extended flags in version 2"));
        }
        reader.u16()?;
    }
    if version == 4 {
        let strip = reader.varint()?;
        let kept = name.len().checked_sub(strip).ok_or(IndexError::Format("a prefix that is not there"))?;
        name.truncate(kept);
    } else {
        name.clear();
    }
    name.extend_from_slice(reader.until_nul()?);
    let length = usize::from(flags & NAME_MASK);
    if length != name.len().min(usize::from(NAME_MASK)) {
        return Err(IndexError::Format("a name of another length"));
    }
    if version < 4 {
        // One to eight NULs; the first has been read.
        let size = reader.at - 1 - start;
        let padded = (size + 8) & !7;
        let padding = reader.take(padded - size - 1)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(IndexError::Format("padding that is not empty"));
        }
    }
    Ok(Entry { mode, stage: flags & STAGES })
}

/// The names so far.
#[derive(Default)]
struct Names {
    last: Option<(Vec<u8>, u16)>,
    files: HashSet<Vec<u8>>,
}

impl Names {
    fn add(&mut self, name: &[u8], entry: &Entry) -> Result<(), IndexError> {
        let refuse = || IndexError::Name(String::from_utf8_lossy(name).into_owned());
        // A folder of a sparse index has its slash at the end.
        let plain =
            if entry.mode & S_IFMT == S_IFDIR { name.strip_suffix(b"/").unwrap_or(name) } else { name };
        if plain.is_empty() || !plain.split(|byte| *byte == b'/').all(is_harmless) {
            return Err(refuse());
        }
        let key = (name.to_vec(), entry.stage);
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(IndexError::Format("entries out of order"));
        }
        if entry.stage == 0 {
            // A file, or a link, above another entry.
            let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            if slashes.map(|(at, _)| &name[..at]).any(|above| self.files.contains(above)) {
                return Err(refuse());
            }
            self.files.insert(name.to_vec());
        }
        self.last = Some(key);
        Ok(())
    }
}

/// As git's own test of names (read-cache.c has the rule, core.protectHFS and core.protectNTFS the reasons), on every system.
fn is_harmless(component: &[u8]) -> bool {
    if component.is_empty() || component == b"." || component == b".." || component.contains(&b'\\') {
        return false;
    }
    // NTFS ends a name at a stream, and drops spaces and dots at its end.
    let stem = component.split(|byte| *byte == b':').next().unwrap_or_default();
    let kept = stem.iter().rposition(|byte| *byte != b' ' && *byte != b'.').map_or(0, |at| at + 1);
    let git = ProtectedNames::new([".git", "git~1"]);
    git.find(&stem[..kept]).is_none() && git.find(component).is_none()
}

/// What follows the entries: whether it is a sparse index. Extensions in small letters cannot be left out
/// (gitformat-index(5)).
fn extensions(reader: &mut Reader<'_>, end: usize) -> Result<bool, IndexError> {
    let mut sparse = false;
    while reader.at < end {
        let name = reader.take(4)?;
        let size = reader.u32()? as usize;
        reader.take(size)?;
        match name {
            b"sdir" => sparse = true,
            [b'A'..=b'Z', ..] => {}
            _ => return Err(IndexError::Extension(String::from_utf8_lossy(name).into_owned())),
        }
    }
    if reader.at == end { Ok(sparse) } else { Err(IndexError::Format("an extension in the checksum")) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], IndexError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(IndexError::Format("it ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, IndexError> {
        self.take(2).map(|bytes| u16::from_be_bytes(bytes.try_into().expect("two bytes")))
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        self.take(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    /// Up to the next NUL, which is taken too.
    fn until_nul(&mut self) -> Result<&'a [u8], IndexError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == 0);
        let name = self.take(length.ok_or(IndexError::Format("a name without an end"))?)?;
        self.at += 1;
        Ok(name)
    }

    /// The "offset encoding" of gitformat-pack(5).
    fn varint(&mut self) -> Result<usize, IndexError> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            value = value
                .checked_add(1)
                .and_then(|value| value.checked_mul(128))
                .and_then(|value| value.checked_add(usize::from(byte & 0x7f)))
                .ok_or(IndexError::Format("a number that is too large"))?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
