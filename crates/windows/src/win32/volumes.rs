//! Volumes with a drive letter.

use windows_sys::Win32::Storage::FileSystem::{
    GetDriveTypeW, GetLogicalDrives, GetVolumeInformationW, GetVolumeNameForVolumeMountPointW,
    QueryDosDeviceW,
};

use super::files;
use super::wide::{self, WideString};
use crate::plan::facts::{Volume, VolumeKind};
use crate::plan::path::WinPath;

/// DRIVE_REMOVABLE, DRIVE_FIXED, DRIVE_REMOTE, DRIVE_CDROM, DRIVE_RAMDISK
const REMOVABLE: u32 = 2;
const FIXED: u32 = 3;
const REMOTE: u32 = 4;
const CDROM: u32 = 5;
const RAMDISK: u32 = 6;
/// FILE_PERSISTENT_ACLS and FILE_READ_ONLY_VOLUME
const PERSISTENT_ACLS: u32 = 0x8;
const READ_ONLY: u32 = 0x8_0000;

/// Every letter. A drive that does not answer, such as a reader without a disc, is left out; shares are not asked, so that a
/// server that is gone stops nothing.
pub(super) fn volumes() -> Vec<Volume> {
    // SAFETY: no arguments.
    let letters = unsafe { GetLogicalDrives() };
    let letter = |at: u32| char::from(b'A' + at as u8);
    (0..26).filter(|at| letters & (1 << at) != 0).filter_map(|at| volume(letter(at))).collect()
}

fn volume(letter: char) -> Option<Volume> {
    let root = WinPath::absolute(&format!("{letter}:\\")).ok()?;
    let name = WideString::new(root.as_str()).ok()?;
    // SAFETY: a NUL-terminated string.
    let drive_type = unsafe { GetDriveTypeW(name.as_ptr()) };
    let target = subst_target(letter);
    let mut volume = Volume {
        root,
        kind: kind(drive_type, target.is_some())?,
        file_system: String::new(),
        persistent_acls: false,
        labels: false,
        read_only: false,
        target,
        guid: None,
    };
    if drive_type == REMOTE {
        return Some(volume);
    }
    let (file_system, flags, serial) = information(&name)?;
    files::know_serial(letter, serial);
    let stores_descriptors = ["NTFS", "REFS"].contains(&file_system.to_ascii_uppercase().as_str());
    let is_fat = file_system.to_ascii_uppercase().contains("FAT");
    if volume.kind == VolumeKind::Fixed && !stores_descriptors && !is_fat {
        volume.kind = VolumeKind::Virtual;
    }
    volume.persistent_acls = flags & PERSISTENT_ACLS != 0;
    volume.labels = stores_descriptors && volume.persistent_acls;
    volume.read_only = flags & READ_ONLY != 0;
    volume.file_system = file_system;
    Some(volume)
}

fn kind(drive_type: u32, is_subst: bool) -> Option<VolumeKind> {
    match drive_type {
        _ if is_subst => Some(VolumeKind::Subst),
        REMOVABLE => Some(VolumeKind::Removable),
        FIXED => Some(VolumeKind::Fixed),
        REMOTE => Some(VolumeKind::Network),
        CDROM => Some(VolumeKind::Optical),
        RAMDISK => Some(VolumeKind::Ram),
        _ => None,
    }
}

/// The file system's name, its flags, and the volume's serial number.
fn information(root: &WideString) -> Option<(String, u32, u32)> {
    let (mut name, mut flags, mut serial) = ([0u16; 64], 0, 0);
    // SAFETY: the buffer has as many units as is said; what is not wanted is null.
    let done = unsafe {
        let (null, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        let units = name.len() as u32;
        let (serial, flags) = (&raw mut serial, &raw mut flags);
        GetVolumeInformationW(root.as_ptr(), null, 0, serial, none, flags, name.as_mut_ptr(), units)
    };
    (done != 0).then(|| (wide::read(&name).to_string_lossy().into_owned(), flags, serial))
}

/// `Volume{…}`, without the `\\?\` before it.
pub(super) fn guid_of(drive: &WinPath) -> Option<String> {
    let root = WideString::new(drive.as_str()).ok()?;
    let mut name = [0u16; 64];
    // SAFETY: the buffer has as many units as is said.
    let done =
        unsafe { GetVolumeNameForVolumeMountPointW(root.as_ptr(), name.as_mut_ptr(), name.len() as u32) };
    let text = wide::read(&name).to_string_lossy().into_owned();
    (done != 0).then(|| text.trim_start_matches(r"\\?\").trim_end_matches('\\').to_owned())
}

/// The path that `subst` gave the letter to. Such a letter is a link to a path in the NT namespace, others lead to devices.
fn subst_target(letter: char) -> Option<String> {
    let name = WideString::new(format!("{letter}:")).ok()?;
    let mut buffer = vec![0u16; 1024];
    // SAFETY: the buffer has as many units as is said.
    let units = unsafe { QueryDosDeviceW(name.as_ptr(), buffer.as_mut_ptr(), buffer.len() as u32) };
    let target = wide::read(&buffer).to_string_lossy().into_owned();
    let path = target.strip_prefix(r"\??\").filter(|path| units > 0 && !path.starts_with("Volume{"))?;
    WinPath::absolute(path).ok().map(|path| path.to_string())
}
