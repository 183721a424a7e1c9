//! What a folder holds, and where a link leads: structures of variable length, read with checks at every offset.

use windows_sys::Wdk::Storage::FileSystem::{
    FileIdBothDirectoryInformation, NtFsControlFile, NtQueryDirectoryFile,
};
use windows_sys::Win32::Foundation::STATUS_NO_MORE_FILES;
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::Ioctl::FSCTL_GET_REPARSE_POINT;

use super::error::Win32Error;
use super::files::FileHandle;
use super::kinds;
use crate::host::{Entry, HostResult};

/// FILE_ATTRIBUTE_DIRECTORY
const DIRECTORY: u32 = 0x10;
/// Offset of FileName in FILE_ID_BOTH_DIR_INFORMATION.
const NAME: usize = 104;

pub(super) fn list(folder: &FileHandle) -> HostResult<Vec<Entry>> {
    // 64 KiB at a time, aligned for the structures.
    let mut buffer = vec![0u64; 8192];
    let (mut entries, mut restart) = (Vec::new(), true);
    loop {
        let mut status_block = IO_STATUS_BLOCK::default();
        let size = size_of_val(buffer.as_slice()) as u32;
        // SAFETY: the buffer has `size` bytes; the handle is a synchronous one of a folder, so the call is over when it returns.
        let status = unsafe {
            NtQueryDirectoryFile(
                folder.raw(),
                std::ptr::null_mut(),
                None,
                std::ptr::null(),
                &raw mut status_block,
                buffer.as_mut_ptr().cast(),
                size,
                FileIdBothDirectoryInformation,
                false,
                std::ptr::null(),
                restart,
            )
        };
        restart = false;
        if status == STATUS_NO_MORE_FILES {
            return Ok(entries);
        }
        if status < 0 {
            return Err(folder.failed("list", &Win32Error::of_status("NtQueryDirectoryFile", status)));
        }
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
        let filled = status_block.Information.min(bytes.len());
        read_entries(&bytes[..filled], &mut entries);
    }
}

fn read_entries(bytes: &[u8], entries: &mut Vec<Entry>) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(next) = u32_at(rest, 0) else { return };
        entries.extend(read_entry(rest));
        if next == 0 {
            return;
        }
        at += next as usize;
    }
}

fn read_entry(entry: &[u8]) -> Option<Entry> {
    let (attributes, tag) = (u32_at(entry, 56)?, u32_at(entry, 64)?);
    let len = u32_at(entry, 60)? as usize;
    let name = text(entry.get(NAME..NAME + len)?);
    if name == "." || name == ".." {
        return None;
    }
    let short_len = usize::from(*entry.get(68)?);
    let short = text(entry.get(70..70 + short_len.min(24))?);
    let kind = kinds::kind(attributes & DIRECTORY != 0, attributes, tag);
    Some(Entry { name, kind, short_name: (!short.is_empty()).then_some(short) })
}

/// The target of a junction or symbolic link; `None` for other objects.
pub(super) fn target(handle: &FileHandle) -> HostResult<Option<String>> {
    // MAXIMUM_REPARSE_DATA_BUFFER_SIZE
    let mut buffer = vec![0u64; 2048];
    let (mut status_block, size) = (IO_STATUS_BLOCK::default(), size_of_val(buffer.as_slice()) as u32);
    // SAFETY: the output buffer has `size` bytes, there is no input.
    let status = unsafe {
        NtFsControlFile(
            handle.raw(),
            std::ptr::null_mut(),
            None,
            std::ptr::null(),
            &raw mut status_block,
            FSCTL_GET_REPARSE_POINT,
            std::ptr::null(),
            0,
            buffer.as_mut_ptr().cast(),
            size,
        )
    };
    if status < 0 {
        return Ok(None);
    }
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
    Ok(read_target(&bytes))
}

/// REPARSE_DATA_BUFFER of a mount point or symbolic link.
fn read_target(bytes: &[u8]) -> Option<String> {
    /// IO_REPARSE_TAG_MOUNT_POINT and IO_REPARSE_TAG_SYMLINK
    const TAGS: (u32, u32) = (0xA000_0003, 0xA000_000C);
    let tag = u32_at(bytes, 0)?;
    let names = match tag {
        _ if tag == TAGS.0 => 16,
        _ if tag == TAGS.1 => 20,
        _ => return None,
    };
    let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (offset, len) = (usize::from(u16_at(8)?), usize::from(u16_at(10)?));
    let start = names + offset;
    Some(text(bytes.get(start..start + len)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}
