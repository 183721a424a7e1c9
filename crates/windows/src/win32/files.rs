//! Files and folders by handle, with the system's own calls: opened relative to a folder's handle, links opened as themselves,
//! and with no right that was not asked for.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::{Mutex, OnceLock, PoisonError};

use nt_security::AccessMask;
use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CREATE, FILE_DIRECTORY_FILE, FILE_INFORMATION_CLASS, FILE_NON_DIRECTORY_FILE, FILE_OPEN,
    FILE_OPEN_REPARSE_POINT, FILE_STANDARD_INFORMATION, FILE_STAT_INFORMATION, FILE_SYNCHRONOUS_IO_NONALERT,
    FileAttributeTagInformation, FileDispositionInformation, FileDispositionInformationEx,
    FileFsVolumeInformation, FileIdInformation, FileInternalInformation, FileStandardInformation,
    FileStatInformation, NtCreateFile, NtQueryInformationFile, NtQueryVolumeInformationFile,
    NtSetInformationFile,
};
use windows_sys::Win32::Foundation::{
    HANDLE, OBJ_CASE_INSENSITIVE, STATUS_BUFFER_OVERFLOW, STATUS_DELETE_PENDING, UNICODE_STRING,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_NORMAL, FILE_ATTRIBUTE_TAG_INFO, FILE_ID_INFO,
    FILE_NAME_NORMALIZED, FILE_NAME_OPENED, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    GetFinalPathNameByHandleW,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use super::error::Win32Error;
use super::kinds;
use super::wide;
use crate::host::{FileId, HostError, HostErrorKind, HostResult, Info};
use crate::plan::facts::NodeKind;
use crate::plan::path::{WinPath, looks_like_short_name, same_name};

/// An open file or folder, and what it is called in errors.
#[derive(Debug)]
pub struct FileHandle {
    pub(super) handle: OwnedHandle,
    pub(super) shown: String,
    /// The serial number of its volume. What a folder holds is on the folder's volume: a mount point is opened as itself.
    volume: OnceLock<u32>,
}

impl FileHandle {
    /// `volume` is that of the folder above, if it is known.
    fn new(handle: OwnedHandle, shown: String, volume: Option<u32>) -> Self {
        Self { handle, shown, volume: volume.map_or_else(OnceLock::new, OnceLock::from) }
    }

    fn volume(&self) -> Result<u32, Win32Error> {
        if let Some(known) = self.volume.get() {
            return Ok(*known);
        }
        // Some volumes answer only the newer question, and that as well as they can.
        let serial = volume_serial(self).or_else(|error| volume_by_id(self).map_err(|_| error))?;
        Ok(*self.volume.get_or_init(|| serial))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }

    pub(super) fn failed(&self, stage: &'static str, error: &Win32Error) -> HostError {
        host_error(stage, &self.shown, error)
    }
}

/// What is opened or made.
struct Asked<'a> {
    folder: Option<&'a FileHandle>,
    /// `\??\C:\…`, or one name.
    name: &'a str,
    rights: u32,
    disposition: u32,
    options: u32,
}

pub(super) fn open(path: &WinPath, rights: AccessMask) -> HostResult<FileHandle> {
    let name = format!(r"\??\{path}");
    let handle = open_with(None, &name, path.as_str(), rights)?;
    let found = final_path(&handle)?;
    if is_same_place(path, &found) {
        // No link lies on the way, so it is on the drive's own volume.
        if let Some(serial) = drive_serial(path.drive(), &handle) {
            let _known_already = handle.volume.set(serial);
        }
        return Ok(handle);
    }
    Err(HostError::new(HostErrorKind::Redirected, "open", path).at(path))
}

pub(super) fn open_child(folder: &FileHandle, name: &str, rights: AccessMask) -> HostResult<FileHandle> {
    let shown = format!(r"{}\{name}", folder.shown.trim_end_matches('\\'));
    open_with(Some(folder), name, &shown, rights)
}

/// Attributes are seen wherever the object or its folder lets us, and not asked for where they do not.
fn open_with(
    folder: Option<&FileHandle>,
    name: &str,
    shown: &str,
    rights: AccessMask,
) -> HostResult<FileHandle> {
    let needs_waiting = rights.intersects(AccessMask::FILE_READ_DATA | AccessMask::GENERIC_READ);
    let (wait, options) = if needs_waiting {
        (AccessMask::SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT)
    } else {
        (AccessMask::NONE, 0)
    };
    let rights = rights | wait;
    let ask = |rights: AccessMask| {
        let options = options | FILE_OPEN_REPARSE_POINT;
        create_or_open(&Asked { folder, name, rights: rights.0, disposition: FILE_OPEN, options })
    };
    let with_attributes = ask(rights | AccessMask::FILE_READ_ATTRIBUTES);
    let opened = match with_attributes {
        Err(Failed { kind: HostErrorKind::AccessDenied, .. }) if !rights.is_empty() => ask(rights),
        result => result,
    };
    match opened {
        Ok(handle) => {
            let volume = folder.and_then(|folder| folder.volume().ok());
            Ok(FileHandle::new(handle, shown.to_owned(), volume))
        }
        Err(failed) => Err(failed.at("open", shown).with_right(rights)),
    }
}

/// A status that is a failure, before it has a place.
struct Failed {
    kind: HostErrorKind,
    error: Win32Error,
}

impl Failed {
    fn of(call: &'static str, status: i32) -> Self {
        let error = Win32Error::of_status(call, status);
        let kind =
            if status == STATUS_DELETE_PENDING { HostErrorKind::NotFound } else { kind_of(error.code) };
        Self { kind, error }
    }

    fn at(self, stage: &'static str, shown: &str) -> HostError {
        HostError::new(self.kind, stage, shown).with_system(self.error.system())
    }
}

/// ERROR_… of winerror.h.
fn kind_of(code: u32) -> HostErrorKind {
    match code {
        2 | 3 | 123 => HostErrorKind::NotFound,
        5 | 1314 => HostErrorKind::AccessDenied,
        80 | 183 => HostErrorKind::Exists,
        145 => HostErrorKind::NotEmpty,
        32 | 33 => HostErrorKind::Busy,
        1 | 50 | 87 => HostErrorKind::Unsupported,
        _ => HostErrorKind::Other,
    }
}

/// A failure of a call, as the host says it.
pub(super) fn host_error(stage: &'static str, shown: &str, error: &Win32Error) -> HostError {
    HostError::new(kind_of(error.code), stage, shown).with_system(error.system())
}

fn create_or_open(asked: &Asked<'_>) -> Result<OwnedHandle, Failed> {
    let units: Vec<u16> = asked.name.encode_utf16().collect();
    // Names are at most 32,767 units, so that the bytes fit.
    let bytes =
        u16::try_from(units.len() * 2).map_err(|_| Failed::of("NtCreateFile", STATUS_NAME_TOO_LONG))?;
    let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: units.as_ptr().cast_mut() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: asked.folder.map_or(std::ptr::null_mut(), FileHandle::raw),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: std::ptr::null(),
        SecurityQualityOfService: std::ptr::null(),
    };
    let (mut handle, mut status_block) = (std::ptr::null_mut(), IO_STATUS_BLOCK::default());
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: all pointers are to locals that live through the call; the name's buffer is only read.
    let status = unsafe {
        NtCreateFile(
            &raw mut handle,
            asked.rights,
            &raw const attributes,
            &raw mut status_block,
            std::ptr::null(),
            FILE_ATTRIBUTE_NORMAL,
            share,
            asked.disposition,
            asked.options,
            std::ptr::null(),
            0,
        )
    };
    if status < 0 {
        return Err(Failed::of("NtCreateFile", status));
    }
    // SAFETY: the call succeeded, so the handle is open and ours alone.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// STATUS_NAME_TOO_LONG of ntstatus.h.
const STATUS_NAME_TOO_LONG: i32 = 0xC000_0106_u32.cast_signed();

/// Where an open object is, by its real name.
pub(super) fn final_path(handle: &FileHandle) -> HostResult<WinPath> {
    let stage = "find the path of";
    // The normalised name asks the folders above, which may refuse.
    let text = [FILE_NAME_NORMALIZED, FILE_NAME_OPENED].into_iter().map(|flags| final_text(handle, flags));
    let mut last = None;
    for text in text {
        match text {
            Ok(text) => {
                let other = || HostError::new(HostErrorKind::Redirected, stage, &text);
                return WinPath::absolute(&text).map_err(|_| other());
            }
            Err(error) => last = Some(error),
        }
    }
    Err(handle.failed(stage, &last.unwrap_or_else(|| Win32Error::of("GetFinalPathNameByHandleW", 0))))
}

fn final_text(handle: &FileHandle, flags: u32) -> Result<String, Win32Error> {
    let mut buffer = vec![0u16; 300];
    loop {
        let room = buffer.len() as u32;
        // SAFETY: the buffer has as many units as is said.
        let units = unsafe { GetFinalPathNameByHandleW(handle.raw(), buffer.as_mut_ptr(), room, flags) };
        if units == 0 {
            return Err(Win32Error::last("GetFinalPathNameByHandleW"));
        }
        if units < room {
            let text = wide::read(&buffer[..units as usize]);
            return Ok(text.to_string_lossy().into_owned());
        }
        buffer.resize(units as usize + 1, 0);
    }
}

/// Serial numbers of the volumes of drives.
static SERIALS: Mutex<BTreeMap<char, u32>> = Mutex::new(BTreeMap::new());

/// Notes a drive's serial number that was asked for with other things.
pub(super) fn know_serial(drive: char, serial: u32) {
    SERIALS.lock().unwrap_or_else(PoisonError::into_inner).entry(drive).or_insert(serial);
}

/// The serial number of a drive's volume, which is asked for once in a process: some systems take long to answer.
fn drive_serial(drive: char, handle: &FileHandle) -> Option<u32> {
    let mut known = SERIALS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(serial) = known.get(&drive) {
        return Some(*serial);
    }
    let serial = handle.volume().ok()?;
    known.insert(drive, serial);
    Some(serial)
}

/// Whether an object is where its path said, an 8.3 alias taken for what it stands for.
fn is_same_place(path: &WinPath, found: &WinPath) -> bool {
    if path == found {
        return true;
    }
    let alike = |(asked, found): (&str, &str)| same_name(asked, found) || looks_like_short_name(asked);
    path.drive() == found.drive()
        && path.depth() == found.depth()
        && path.components().zip(found.components()).all(alike)
}

/// Asks for a fixed structure about an open file.
fn query<T: Default>(handle: &FileHandle, class: FILE_INFORMATION_CLASS) -> Result<T, Win32Error> {
    let (mut value, mut status_block) = (T::default(), IO_STATUS_BLOCK::default());
    let size = size_of::<T>() as u32;
    // SAFETY: `value` has `size` bytes and is a structure of plain numbers.
    let status = unsafe {
        NtQueryInformationFile(handle.raw(), &raw mut status_block, (&raw mut value).cast(), size, class)
    };
    if status < 0 { Err(Win32Error::of_status("NtQueryInformationFile", status)) } else { Ok(value) }
}

/// Kind, id, links: in one call where the handle may see attributes, else without them, for which no right is needed.
pub(super) fn info(handle: &FileHandle) -> HostResult<Info> {
    let failed = |error: Win32Error| handle.failed("look at", &error);
    let volume = handle.volume().map_err(failed)?;
    match query::<FILE_STAT_INFORMATION>(handle, FileStatInformation) {
        Ok(stat) => Ok(info_of(volume, &stat)),
        Err(_) => info_in_parts(handle, volume).map_err(failed),
    }
}

fn info_of(volume: u32, stat: &FILE_STAT_INFORMATION) -> Info {
    let is_folder = stat.FileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0;
    let kind = kinds::kind(is_folder, stat.FileAttributes, stat.ReparseTag);
    Info {
        kind,
        id: FileId { volume: u64::from(volume), file: u128::from(stat.FileId.cast_unsigned()) },
        links: if kind == NodeKind::File { stat.NumberOfLinks.max(1) } else { 1 },
        read_only: kinds::is_read_only(stat.FileAttributes),
        cloud: kinds::is_cloud(stat.FileAttributes, stat.ReparseTag),
        size: if is_folder { 0 } else { stat.EndOfFile.cast_unsigned() },
    }
}

fn info_in_parts(handle: &FileHandle, volume: u32) -> Result<Info, Win32Error> {
    let standard: FILE_STANDARD_INFORMATION = query(handle, FileStandardInformation)?;
    let tags = query::<FILE_ATTRIBUTE_TAG_INFO>(handle, FileAttributeTagInformation).ok();
    let (attributes, tag) = tags.map_or((0, 0), |tags| (tags.FileAttributes, tags.ReparseTag));
    let directory = if standard.Directory { FILE_ATTRIBUTE_DIRECTORY } else { 0 };
    let stat = FILE_STAT_INFORMATION {
        FileId: query(handle, FileInternalInformation)?,
        FileAttributes: attributes | directory,
        ReparseTag: tag,
        NumberOfLinks: standard.NumberOfLinks,
        EndOfFile: standard.EndOfFile,
        ..Default::default()
    };
    Ok(info_of(volume, &stat))
}

fn volume_serial(handle: &FileHandle) -> Result<u32, Win32Error> {
    // FILE_FS_VOLUME_INFORMATION: creation time, serial number, and a label that may not fit.
    let (mut buffer, mut status_block) = ([0u64; 8], IO_STATUS_BLOCK::default());
    let size = size_of_val(&buffer) as u32;
    // SAFETY: the buffer has `size` bytes and is aligned for the structure.
    let status = unsafe {
        let buffer = (&raw mut buffer).cast();
        NtQueryVolumeInformationFile(
            handle.raw(),
            &raw mut status_block,
            buffer,
            size,
            FileFsVolumeInformation,
        )
    };
    if status < 0 && status != STATUS_BUFFER_OVERFLOW {
        return Err(Win32Error::of_status("NtQueryVolumeInformationFile", status));
    }
    Ok((buffer[1] & 0xFFFF_FFFF) as u32)
}

/// The low half of FILE_ID_INFO.VolumeSerialNumber, which is the serial number of [`volume_serial`] where there is one.
fn volume_by_id(handle: &FileHandle) -> Result<u32, Win32Error> {
    let id: FILE_ID_INFO = query(handle, FileIdInformation)?;
    Ok((id.VolumeSerialNumber & 0xFFFF_FFFF) as u32)
}

pub(super) fn create(folder: &FileHandle, name: &str, kind: NodeKind) -> HostResult<FileHandle> {
    let shown = format!(r"{}\{name}", folder.shown.trim_end_matches('\\'));
    let what = if kind == NodeKind::File { FILE_NON_DIRECTORY_FILE } else { FILE_DIRECTORY_FILE };
    let rights = AccessMask::READ_CONTROL | AccessMask::FILE_READ_ATTRIBUTES;
    let options = what | FILE_OPEN_REPARSE_POINT;
    let asked = Asked { folder: Some(folder), name, rights: rights.0, disposition: FILE_CREATE, options };
    match create_or_open(&asked) {
        Ok(handle) => Ok(FileHandle::new(handle, shown, None)),
        Err(failed) => Err(failed.at("create", &shown)),
    }
}

/// FILE_DISPOSITION_DELETE, …_POSIX_SEMANTICS and …_IGNORE_READONLY_ATTRIBUTE.
const DELETE_AT_ONCE: u32 = 0x13;

pub(super) fn remove(handle: &FileHandle) -> HostResult<()> {
    let set = |value: *const core::ffi::c_void, size: u32, class| {
        let mut status_block = IO_STATUS_BLOCK::default();
        // SAFETY: `value` points to a local of `size` bytes.
        unsafe { NtSetInformationFile(handle.raw(), &raw mut status_block, value, size, class) }
    };
    let flags = DELETE_AT_ONCE;
    let status = set((&raw const flags).cast(), 4, FileDispositionInformationEx);
    if status >= 0 {
        return Ok(());
    }
    // Volumes and systems that do not know the newer form.
    let delete = 1u8;
    let status = set((&raw const delete).cast(), 1, FileDispositionInformation);
    if status >= 0 {
        Ok(())
    } else {
        Err(Failed::of("NtSetInformationFile", status).at("remove", &handle.shown))
    }
}

pub(super) fn read(handle: &FileHandle, most: usize) -> HostResult<Vec<u8>> {
    let failed = |error: std::io::Error| {
        let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
        handle.failed("read", &Win32Error::of("ReadFile", code))
    };
    let file = std::fs::File::from(handle.handle.try_clone().map_err(failed)?);
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
