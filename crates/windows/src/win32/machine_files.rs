//! Folders and files of the machine's state: made with their descriptors, written whole or not at all.

use std::fs::{self, File};
use std::io::Write;

use nt_security::{AccessMask, AclField, Control, ObjectType, SecurityDescriptor};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;

use super::error::Win32Error;
use super::files::FileHandle;
use super::machine::failed;
use super::security::Attributes;
use super::wide::WideString;
use super::{descriptors, files, listing};
use crate::host::{HostError, HostErrorKind, Parts};
use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::setup::machine::{FileState, MachineError, MachineErrorKind, MachineResult};

/// ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND
const MISSING: [u32; 2] = [2, 3];

fn of_host(error: HostError) -> MachineError {
    let kind = match error.kind {
        HostErrorKind::NotFound => MachineErrorKind::NotFound,
        HostErrorKind::AccessDenied => MachineErrorKind::AccessDenied,
        HostErrorKind::Exists => MachineErrorKind::Exists,
        HostErrorKind::Busy => MachineErrorKind::Busy,
        HostErrorKind::Unsupported => MachineErrorKind::Unsupported,
        _ => MachineErrorKind::Other,
    };
    let made = MachineError::new(kind, error.stage, &error.path);
    match error.system {
        Some(system) => made.with_system(system.code, system.text),
        None => made,
    }
}

fn of_io(call: &'static str, path: &WinPath, error: &std::io::Error) -> MachineError {
    let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
    failed(call, path.as_str(), &Win32Error::of(call, code))
}

pub(super) fn file(path: &WinPath) -> MachineResult<Option<FileState>> {
    let handle = match files::open(path, AccessMask::READ_CONTROL) {
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) if error.kind == HostErrorKind::Redirected => return Ok(Some(elsewhere())),
        result => result.map_err(of_host)?,
    };
    let info = files::info(&handle).map_err(of_host)?;
    let descriptor = descriptors::descriptor(&handle).map_err(of_host)?;
    Ok(Some(FileState { is_folder: info.kind == NodeKind::Folder, is_link: info.kind.is_link(), descriptor }))
}

/// A path that leads through a link is none of ours.
fn elsewhere() -> FileState {
    FileState { is_folder: false, is_link: true, descriptor: SecurityDescriptor::default() }
}

pub(super) fn make_folder(path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()> {
    let call = "CreateDirectoryW";
    let invalid = || failed(call, path.as_str(), &Win32Error::of(call, 1338));
    // The label is set by handle afterwards: making an object with one takes SeSecurityPrivilege on some systems.
    let plain = SecurityDescriptor { sacl: AclField::Absent, ..descriptor.clone() };
    let attributes = Attributes::new(&plain).map_err(|_| invalid())?;
    let text = WideString::new(path.as_str()).map_err(|_| invalid())?;
    // SAFETY: a string and attributes that live through the call.
    if unsafe { CreateDirectoryW(text.as_ptr(), attributes.as_ptr()) } == 0 {
        return Err(failed(call, path.as_str(), &Win32Error::last(call)));
    }
    set_descriptor(path, descriptor)
}

/// Sets DACL and label of a folder, and what the files in it inherit; folders in it have descriptors of their own.
pub(super) fn set_descriptor(path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()> {
    let change = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER;
    let folder = files::open(path, change | AccessMask::FILE_LIST_DIRECTORY).map_err(of_host)?;
    set(&folder, descriptor)?;
    for entry in listing::list(&folder).map_err(of_host)? {
        let child = files::open_child(&folder, &entry.name, change).map_err(of_host)?;
        let own = descriptors::descriptor(&child).map_err(of_host)?;
        if own.control.contains(Control::DACL_PROTECTED) || entry.kind.is_link() {
            continue;
        }
        let mapping = ObjectType::File.mapping();
        let kind = inherit::child_kind(entry.kind);
        let mut inherited = nt_security::inherit::propagate(descriptor, &own, kind, &mapping);
        inherit::set_label(&mut inherited, None);
        inherit::set_label(&mut inherited, inherit::inherited_label(descriptor, entry.kind));
        set(&child, &inherited)?;
    }
    Ok(())
}

fn set(handle: &FileHandle, descriptor: &SecurityDescriptor) -> MachineResult<()> {
    let label = !inherit::label_aces(descriptor).is_empty();
    descriptors::set(handle, descriptor, Parts { dacl: true, label }).map_err(of_host)
}

pub(super) fn read(path: &WinPath) -> MachineResult<Option<Vec<u8>>> {
    match fs::read(path.as_str()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => {
            let error = of_io("ReadFile", path, &error);
            if MISSING.contains(&error.system_code()) { Ok(None) } else { Err(error) }
        }
    }
}

pub(super) fn write(path: &WinPath, bytes: &[u8]) -> MachineResult<()> {
    let new = format!("{path}.new");
    let put = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    put().map_err(|error| of_io("WriteFile", path, &error))?;
    if fs::rename(&new, path.as_str()).is_ok() {
        return Ok(());
    }
    // A program that runs can be moved aside, and not replaced; what lies aside goes with the folder.
    let aside = (0..1000)
        .map(|number| format!("{path}.old-{number}"))
        .find(|aside| !fs::exists(aside).unwrap_or(true));
    if let Some(aside) = aside {
        fs::rename(path.as_str(), aside).map_err(|error| of_io("MoveFileExW", path, &error))?;
    }
    fs::rename(&new, path.as_str()).map_err(|error| of_io("MoveFileExW", path, &error))
}

pub(super) fn list(folder: &WinPath) -> MachineResult<Vec<String>> {
    let handle = files::open(folder, AccessMask::FILE_LIST_DIRECTORY).map_err(of_host)?;
    Ok(listing::list(&handle).map_err(of_host)?.into_iter().map(|entry| entry.name).collect())
}

pub(super) fn remove(path: &WinPath) -> MachineResult<()> {
    let handle = match files::open(path, AccessMask::DELETE) {
        Err(error) if error.is_not_found() => return Ok(()),
        result => result.map_err(of_host)?,
    };
    files::remove(&handle).map_err(of_host)
}
