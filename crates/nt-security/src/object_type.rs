//! Object types: their generic mappings and the names of their own rights.
//!
//! Source of the numbers: the Windows SDK headers; those of files, keys, processes, events, mutants, sections and
//! object directories are also in windows-facts §1.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::mask::{AccessMask, GenericMapping};

/// A type of securable object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectType {
    /// A file on a volume.
    File,
    /// A folder on a volume: the same mapping as a file, other names.
    Folder,
    /// A named pipe: the same mapping as a file.
    Pipe,
    /// A registry key.
    Key,
    /// A process.
    Process,
    /// A thread.
    Thread,
    /// An access token.
    Token,
    /// An event.
    Event,
    /// A mutant, which Win32 calls a mutex.
    Mutant,
    /// A semaphore.
    Semaphore,
    /// A section, which Win32 calls a file mapping.
    Section,
    /// A directory of the object manager, such as `\BaseNamedObjects`.
    ObjectDirectory,
    /// A desktop.
    Desktop,
    /// A window station.
    WindowStation,
}

impl ObjectType {
    /// Every type.
    pub const ALL: [Self; 14] = [
        Self::File,
        Self::Folder,
        Self::Pipe,
        Self::Key,
        Self::Process,
        Self::Thread,
        Self::Token,
        Self::Event,
        Self::Mutant,
        Self::Semaphore,
        Self::Section,
        Self::ObjectDirectory,
        Self::Desktop,
        Self::WindowStation,
    ];

    /// What the generic rights mean for this type.
    pub const fn mapping(self) -> GenericMapping {
        match self {
            Self::File | Self::Folder | Self::Pipe => {
                GenericMapping::new(0x12_0089, 0x12_0116, 0x12_00A0, 0x1F_01FF)
            }
            Self::Key => GenericMapping::new(0x2_0019, 0x2_0006, 0x2_0039, 0xF_003F),
            Self::Process => GenericMapping::new(0x2_0410, 0x2_0BEA, 0x12_1001, 0x1F_FFFF),
            Self::Thread => GenericMapping::new(0x2_0048, 0x2_0437, 0x12_1800, 0x1F_FFFF),
            Self::Token => GenericMapping::new(0x2_001A, 0x2_01E0, 0x2_0005, 0xF_01FF),
            Self::Event | Self::Semaphore => GenericMapping::new(0x2_0001, 0x2_0002, 0x12_0000, 0x1F_0003),
            Self::Mutant => GenericMapping::new(0x2_0001, 0x2_0000, 0x12_0000, 0x1F_0001),
            Self::Section => GenericMapping::new(0x2_0005, 0x2_0002, 0x2_0008, 0xF_001F),
            Self::ObjectDirectory => GenericMapping::new(0x2_0003, 0x2_000C, 0x2_0003, 0xF_000F),
            Self::Desktop => GenericMapping::new(0x2_0041, 0x2_00BE, 0x2_0100, 0xF_01FF),
            Self::WindowStation => GenericMapping::new(0x2_0303, 0x2_001C, 0x2_0060, 0xF_037F),
        }
    }

    /// The name in case files. `directory` is the object manager's; a volume's is `folder`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Pipe => "pipe",
            Self::Key => "key",
            Self::Process => "process",
            Self::Thread => "thread",
            Self::Token => "token",
            Self::Event => "event",
            Self::Mutant => "mutant",
            Self::Semaphore => "semaphore",
            Self::Section => "section",
            Self::ObjectDirectory => "directory",
            Self::Desktop => "desktop",
            Self::WindowStation => "window_station",
        }
    }

    /// The names of the rights of this type alone, lowest bit first.
    pub const fn specific_rights(self) -> &'static [(u32, &'static str)] {
        match self {
            Self::File => FILE,
            Self::Folder => FOLDER,
            Self::Pipe => PIPE,
            Self::Key => KEY,
            Self::Process => PROCESS,
            Self::Thread => THREAD,
            Self::Token => TOKEN,
            Self::Event => EVENT,
            Self::Mutant => MUTANT,
            Self::Semaphore => SEMAPHORE,
            Self::Section => SECTION,
            Self::ObjectDirectory => OBJECT_DIRECTORY,
            Self::Desktop => DESKTOP,
            Self::WindowStation => WINDOW_STATION,
        }
    }
}

/// The text is no [`ObjectType::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no object type of that name")]
pub struct UnknownObjectType;

impl FromStr for ObjectType {
    type Err = UnknownObjectType;

    /// The name, or another that is in use for it; letter case and the choice of `-` or `_` do not count.
    fn from_str(text: &str) -> Result<Self, UnknownObjectType> {
        let by_name = |text: &str| Self::ALL.into_iter().find(|object_type| object_type.name() == text);
        if let Some(object_type) = by_name(text) {
            return Ok(object_type);
        }
        let plain = text.to_ascii_lowercase().replace(['-', ' '], "_");
        let alias =
            || OTHER_NAMES.iter().find(|(name, _)| *name == plain).map(|(_, object_type)| *object_type);
        by_name(&plain).or_else(alias).ok_or(UnknownObjectType)
    }
}

/// Names that are in use beside [`ObjectType::name`].
const OTHER_NAMES: [(&str, ObjectType); 6] = [
    ("object_directory", ObjectType::ObjectDirectory),
    ("named_pipe", ObjectType::Pipe),
    ("registry_key", ObjectType::Key),
    ("mutex", ObjectType::Mutant),
    ("winsta", ObjectType::WindowStation),
    ("windowstation", ObjectType::WindowStation),
];

const STANDARD: &[(u32, &str)] = &[
    (0x0001_0000, "DELETE"),
    (0x0002_0000, "READ_CONTROL"),
    (0x0004_0000, "WRITE_DAC"),
    (0x0008_0000, "WRITE_OWNER"),
    (0x0010_0000, "SYNCHRONIZE"),
    (0x0100_0000, "ACCESS_SYSTEM_SECURITY"),
    (0x0200_0000, "MAXIMUM_ALLOWED"),
    (0x1000_0000, "GENERIC_ALL"),
    (0x2000_0000, "GENERIC_EXECUTE"),
    (0x4000_0000, "GENERIC_WRITE"),
    (0x8000_0000, "GENERIC_READ"),
];

const FILE: &[(u32, &str)] = &[
    (0x1, "FILE_READ_DATA"),
    (0x2, "FILE_WRITE_DATA"),
    (0x4, "FILE_APPEND_DATA"),
    (0x8, "FILE_READ_EA"),
    (0x10, "FILE_WRITE_EA"),
    (0x20, "FILE_EXECUTE"),
    (0x40, "FILE_DELETE_CHILD"),
    (0x80, "FILE_READ_ATTRIBUTES"),
    (0x100, "FILE_WRITE_ATTRIBUTES"),
];

const FOLDER: &[(u32, &str)] = &[
    (0x1, "FILE_LIST_DIRECTORY"),
    (0x2, "FILE_ADD_FILE"),
    (0x4, "FILE_ADD_SUBDIRECTORY"),
    (0x8, "FILE_READ_EA"),
    (0x10, "FILE_WRITE_EA"),
    (0x20, "FILE_TRAVERSE"),
    (0x40, "FILE_DELETE_CHILD"),
    (0x80, "FILE_READ_ATTRIBUTES"),
    (0x100, "FILE_WRITE_ATTRIBUTES"),
];

const PIPE: &[(u32, &str)] = &[
    (0x1, "FILE_READ_DATA"),
    (0x2, "FILE_WRITE_DATA"),
    (0x4, "FILE_CREATE_PIPE_INSTANCE"),
    (0x8, "FILE_READ_EA"),
    (0x10, "FILE_WRITE_EA"),
    (0x20, "FILE_EXECUTE"),
    (0x40, "FILE_DELETE_CHILD"),
    (0x80, "FILE_READ_ATTRIBUTES"),
    (0x100, "FILE_WRITE_ATTRIBUTES"),
];

const KEY: &[(u32, &str)] = &[
    (0x1, "KEY_QUERY_VALUE"),
    (0x2, "KEY_SET_VALUE"),
    (0x4, "KEY_CREATE_SUB_KEY"),
    (0x8, "KEY_ENUMERATE_SUB_KEYS"),
    (0x10, "KEY_NOTIFY"),
    (0x20, "KEY_CREATE_LINK"),
    (0x100, "KEY_WOW64_64KEY"),
    (0x200, "KEY_WOW64_32KEY"),
];

const PROCESS: &[(u32, &str)] = &[
    (0x1, "PROCESS_TERMINATE"),
    (0x2, "PROCESS_CREATE_THREAD"),
    (0x4, "PROCESS_SET_SESSIONID"),
    (0x8, "PROCESS_VM_OPERATION"),
    (0x10, "PROCESS_VM_READ"),
    (0x20, "PROCESS_VM_WRITE"),
    (0x40, "PROCESS_DUP_HANDLE"),
    (0x80, "PROCESS_CREATE_PROCESS"),
    (0x100, "PROCESS_SET_QUOTA"),
    (0x200, "PROCESS_SET_INFORMATION"),
    (0x400, "PROCESS_QUERY_INFORMATION"),
    (0x800, "PROCESS_SUSPEND_RESUME"),
    (0x1000, "PROCESS_QUERY_LIMITED_INFORMATION"),
    (0x2000, "PROCESS_SET_LIMITED_INFORMATION"),
];

const THREAD: &[(u32, &str)] = &[
    (0x1, "THREAD_TERMINATE"),
    (0x2, "THREAD_SUSPEND_RESUME"),
    (0x4, "THREAD_ALERT"),
    (0x8, "THREAD_GET_CONTEXT"),
    (0x10, "THREAD_SET_CONTEXT"),
    (0x20, "THREAD_SET_INFORMATION"),
    (0x40, "THREAD_QUERY_INFORMATION"),
    (0x80, "THREAD_SET_THREAD_TOKEN"),
    (0x100, "THREAD_IMPERSONATE"),
    (0x200, "THREAD_DIRECT_IMPERSONATION"),
    (0x400, "THREAD_SET_LIMITED_INFORMATION"),
    (0x800, "THREAD_QUERY_LIMITED_INFORMATION"),
    (0x1000, "THREAD_RESUME"),
];

const TOKEN: &[(u32, &str)] = &[
    (0x1, "TOKEN_ASSIGN_PRIMARY"),
    (0x2, "TOKEN_DUPLICATE"),
    (0x4, "TOKEN_IMPERSONATE"),
    (0x8, "TOKEN_QUERY"),
    (0x10, "TOKEN_QUERY_SOURCE"),
    (0x20, "TOKEN_ADJUST_PRIVILEGES"),
    (0x40, "TOKEN_ADJUST_GROUPS"),
    (0x80, "TOKEN_ADJUST_DEFAULT"),
    (0x100, "TOKEN_ADJUST_SESSIONID"),
];

const EVENT: &[(u32, &str)] = &[(0x1, "EVENT_QUERY_STATE"), (0x2, "EVENT_MODIFY_STATE")];
const MUTANT: &[(u32, &str)] = &[(0x1, "MUTANT_QUERY_STATE")];
const SEMAPHORE: &[(u32, &str)] = &[(0x1, "SEMAPHORE_QUERY_STATE"), (0x2, "SEMAPHORE_MODIFY_STATE")];

const SECTION: &[(u32, &str)] = &[
    (0x1, "SECTION_QUERY"),
    (0x2, "SECTION_MAP_WRITE"),
    (0x4, "SECTION_MAP_READ"),
    (0x8, "SECTION_MAP_EXECUTE"),
    (0x10, "SECTION_EXTEND_SIZE"),
    (0x20, "SECTION_MAP_EXECUTE_EXPLICIT"),
];

const OBJECT_DIRECTORY: &[(u32, &str)] = &[
    (0x1, "DIRECTORY_QUERY"),
    (0x2, "DIRECTORY_TRAVERSE"),
    (0x4, "DIRECTORY_CREATE_OBJECT"),
    (0x8, "DIRECTORY_CREATE_SUBDIRECTORY"),
];

const DESKTOP: &[(u32, &str)] = &[
    (0x1, "DESKTOP_READOBJECTS"),
    (0x2, "DESKTOP_CREATEWINDOW"),
    (0x4, "DESKTOP_CREATEMENU"),
    (0x8, "DESKTOP_HOOKCONTROL"),
    (0x10, "DESKTOP_JOURNALRECORD"),
    (0x20, "DESKTOP_JOURNALPLAYBACK"),
    (0x40, "DESKTOP_ENUMERATE"),
    (0x80, "DESKTOP_WRITEOBJECTS"),
    (0x100, "DESKTOP_SWITCHDESKTOP"),
];

const WINDOW_STATION: &[(u32, &str)] = &[
    (0x1, "WINSTA_ENUMDESKTOPS"),
    (0x2, "WINSTA_READATTRIBUTES"),
    (0x4, "WINSTA_ACCESSCLIPBOARD"),
    (0x8, "WINSTA_CREATEDESKTOP"),
    (0x10, "WINSTA_WRITEATTRIBUTES"),
    (0x20, "WINSTA_ACCESSGLOBALATOMS"),
    (0x40, "WINSTA_EXITWINDOWS"),
    (0x100, "WINSTA_ENUMERATE"),
    (0x200, "WINSTA_READSCREEN"),
];

/// See [`AccessMask::names`].
pub(crate) fn describe(mask: AccessMask, object_type: ObjectType) -> String {
    let mut out = String::new();
    let mut unnamed = mask;
    for (bit, name) in object_type.specific_rights().iter().chain(STANDARD) {
        if mask.intersects(AccessMask(*bit)) {
            out.push_str(if out.is_empty() { "" } else { "|" });
            out.push_str(name);
            unnamed = unnamed.without(AccessMask(*bit));
        }
    }
    if !unnamed.is_empty() || out.is_empty() {
        let separator = if out.is_empty() { "" } else { "|" };
        // Writing to a String cannot fail.
        let _ =
            write!(out, "{separator}{}", if unnamed.is_empty() { "0".into() } else { unnamed.to_string() });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_named_by_type() {
        let mask = AccessMask::FILE_WRITE_DATA | AccessMask::DELETE;
        assert_eq!(mask.names(ObjectType::File), "FILE_WRITE_DATA|DELETE");
        assert_eq!(mask.names(ObjectType::Folder), "FILE_ADD_FILE|DELETE");
        assert_eq!(AccessMask(0x8000).names(ObjectType::Event), "0x8000");
        assert_eq!(AccessMask::NONE.names(ObjectType::Event), "0");
    }

    #[test]
    fn every_name_leads_back_to_its_type() {
        for object_type in ObjectType::ALL {
            assert_eq!(object_type.name().parse(), Ok(object_type));
        }
        assert_eq!("Object-Directory".parse(), Ok(ObjectType::ObjectDirectory));
        assert!("registry".parse::<ObjectType>().is_err());
    }
}
