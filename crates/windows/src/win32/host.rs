//! The real [`Host`].

use std::time::{SystemTime, UNIX_EPOCH};

use nt_security::{AccessMask, SecurityDescriptor};

use super::files::{self, FileHandle};
use super::{descriptors, facts, listing, volumes};
use crate::host::{Described, Entry, Host, HostResult, Info, Parts, ProcessId};
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct WindowsHost;

impl Host for WindowsHost {
    type Handle = FileHandle;

    fn open(&self, path: &WinPath, rights: AccessMask) -> HostResult<FileHandle> {
        files::open(path, rights)
    }

    fn open_child(&self, folder: &FileHandle, name: &str, rights: AccessMask) -> HostResult<FileHandle> {
        files::open_child(folder, name, rights)
    }

    fn path(&self, handle: &FileHandle) -> HostResult<WinPath> {
        files::final_path(handle)
    }

    fn info(&self, handle: &FileHandle) -> HostResult<Info> {
        files::info(handle)
    }

    fn descriptor(&self, handle: &FileHandle) -> HostResult<SecurityDescriptor> {
        descriptors::descriptor(handle)
    }

    fn set_security(&self, handle: &FileHandle, new: &SecurityDescriptor, parts: Parts) -> HostResult<()> {
        descriptors::set(handle, new, parts)
    }

    fn list(&self, folder: &FileHandle) -> HostResult<Vec<Entry>> {
        listing::list(folder)
    }

    fn target(&self, handle: &FileHandle) -> HostResult<Option<String>> {
        listing::target(handle)
    }

    fn read(&self, handle: &FileHandle, most: usize) -> HostResult<Vec<u8>> {
        files::read(handle, most)
    }

    fn create(&self, folder: &FileHandle, name: &str, kind: NodeKind) -> HostResult<FileHandle> {
        files::create(folder, name, kind)
    }

    fn remove(&self, handle: &FileHandle) -> HostResult<()> {
        files::remove(handle)
    }

    fn describe(&self) -> HostResult<Described> {
        facts::describe()
    }

    fn random_sid(&self) -> HostResult<SidText> {
        facts::random_sid().map(Into::into)
    }

    fn volume_guid(&self, drive: &WinPath) -> Option<String> {
        volumes::guid_of(drive)
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn process(&self) -> ProcessId {
        facts::own_process()
    }

    fn is_running(&self, process: ProcessId) -> bool {
        facts::is_running(process)
    }
}
