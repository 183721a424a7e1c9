//! The resolver's questions, answered by the machine.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use codex_sandbox_policy::resolve::{Kind, PathFacts};

/// [`PathFacts`] of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostPaths;

/// The most that [`PathFacts::read_small`] reads.
const SMALL: u64 = 4096;

impl PathFacts for HostPaths {
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let kind = std::fs::symlink_metadata(path).ok()?.file_type();
        Some(if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File
        } else if kind.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Other
        })
    }

    fn read_small(&self, path: &Path) -> io::Result<Vec<u8>> {
        // A FIFO in the place of a pointer file must not block us.
        if !std::fs::symlink_metadata(path)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(SMALL).read_to_end(&mut content)?;
        Ok(content)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }
}
