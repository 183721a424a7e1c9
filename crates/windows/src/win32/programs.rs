//! What stands at a path, for those who look for programs.

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FindClose, FindFirstFileW, WIN32_FIND_DATAW,
};
use windows_sys::Win32::System::SystemServices::IO_REPARSE_TAG_APPEXECLINK;

use super::wide::WideString;
use crate::launch::program::{FileKind, Files};

/// The disks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disks;

impl Files for Disks {
    /// FindFirstFile tells the reparse tag of an alias that nobody may open. Links are followed for their kind alone.
    fn kind(&self, path: &str) -> Option<FileKind> {
        // These would be patterns, not names.
        if path.contains(['*', '?', '<', '>', '"', '|']) && !path.starts_with(r"\\?\") {
            return None;
        }
        let wide = WideString::new(path).ok()?;
        let mut found = WIN32_FIND_DATAW::default();
        // SAFETY: the path lives through the call; `found` is written.
        let search: HANDLE = unsafe { FindFirstFileW(wide.as_ptr(), &raw mut found) };
        if search == INVALID_HANDLE_VALUE {
            return None;
        }
        // SAFETY: opened above, closed once.
        unsafe { FindClose(search) };
        let has = |attribute| found.dwFileAttributes & attribute != 0;
        let tag = has(FILE_ATTRIBUTE_REPARSE_POINT).then_some(found.dwReserved0);
        if tag == Some(IO_REPARSE_TAG_APPEXECLINK) {
            return Some(FileKind::StoreAlias);
        }
        if tag.is_some() {
            let target = std::fs::metadata(path).ok()?;
            return Some(if target.is_dir() { FileKind::Folder } else { FileKind::File });
        }
        Some(if has(FILE_ATTRIBUTE_DIRECTORY) { FileKind::Folder } else { FileKind::File })
    }
}
