//! Every effect on the files of a Windows machine, and every question about it, one method each.
//!
//! `win32` is the machine itself, [`memory`](crate::memory) a model of one. Nothing else in this crate touches files. What starts
//! processes is a trait of its own, in `launch`.

use std::fmt;

use nt_security::{AccessMask, SecurityDescriptor};

use crate::plan::facts::{Account, FirewallRuleFact, Folders, Machine, NodeKind, Setup, User, Volume};
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

mod error;

pub use error::{HostError, HostErrorKind, SystemError};

/// Result of a host's method.
pub type HostResult<T> = Result<T, HostError>;

/// Which file, whatever it is called: what keeps its identity when a folder is renamed, and loses it when one is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Serial number of the volume (FILE_ID_INFO.VolumeSerialNumber).
    pub volume: u64,
    /// Number of the file on it (FILE_ID_INFO.FileId, 128 bits; 64 on volumes without the long form).
    pub file: u128,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{:032x}", self.volume, self.file)
    }
}

impl FileId {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (volume, file) = text.split_once(':')?;
        Some(Self {
            volume: u64::from_str_radix(volume, 16).ok()?,
            file: u128::from_str_radix(file, 16).ok()?,
        })
    }
}

/// What is known about an open file or folder besides its descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Folder, file or link; a link that was opened is the link itself.
    pub kind: NodeKind,
    /// Which file.
    pub id: FileId,
    /// How many names it has.
    pub links: u32,
    /// FILE_ATTRIBUTE_READONLY.
    pub read_only: bool,
    /// A placeholder of a cloud provider.
    pub cloud: bool,
    /// Length in bytes, 0 for folders.
    pub size: u64,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it is, as the folder says.
    pub kind: NodeKind,
    /// Its 8.3 alias, if it has one.
    pub short_name: Option<String>,
}

/// Which parts of a descriptor are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The DACL with its control bits (DACL_SECURITY_INFORMATION): takes WRITE_DAC.
    pub dacl: bool,
    /// The mandatory label (LABEL_SECURITY_INFORMATION): takes WRITE_OWNER.
    pub label: bool,
}

/// Which process, so that a number that was given out again is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it was created, as a FILETIME.
    pub created: u64,
}

/// What a host says about itself as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The machine.
    pub machine: Machine,
    /// The user, by the token of this process.
    pub user: User,
    /// Well-known folders.
    pub folders: Folders,
    /// Volumes with a drive letter.
    pub volumes: Vec<Volume>,
    /// Accounts whose names matter to the set-up.
    pub accounts: Vec<Account>,
    /// Firewall rules whose names matter to the set-up.
    pub firewall_rules: Vec<FirewallRuleFact>,
    /// The state of the elevated tier.
    pub setup: Setup,
}

/// A machine. All paths are those of the objects themselves: no method follows a junction or symbolic link.
pub trait Host: Sync {
    /// An open file or folder; closed when dropped.
    type Handle: Send + Sync;

    /// Opens a file or folder with these rights and no others that its descriptor could refuse (reading and listing take
    /// SYNCHRONIZE besides).
    ///
    /// # Errors
    /// [`HostErrorKind::Redirected`] when a link lies on the way, so that the path leads elsewhere than it says.
    fn open(&self, path: &WinPath, rights: AccessMask) -> HostResult<Self::Handle>;

    /// Opens what a folder holds under this name, relative to the folder's handle: renaming the folders above changes nothing.
    ///
    /// # Errors
    /// As the system's.
    fn open_child(&self, folder: &Self::Handle, name: &str, rights: AccessMask) -> HostResult<Self::Handle>;

    /// Where an open object is, by its real name.
    ///
    /// # Errors
    /// For objects without a path on a drive letter.
    fn path(&self, handle: &Self::Handle) -> HostResult<WinPath>;

    /// What it is.
    ///
    /// # Errors
    /// As the system's.
    fn info(&self, handle: &Self::Handle) -> HostResult<Info>;

    /// Owner, group, DACL and label. Takes READ_CONTROL.
    ///
    /// # Errors
    /// As the system's, and for descriptors that cannot be read.
    fn descriptor(&self, handle: &Self::Handle) -> HostResult<SecurityDescriptor>;

    /// Writes parts of a descriptor to this one object, in one call; nothing is propagated. Takes WRITE_DAC for the DACL and
    /// WRITE_OWNER for the label.
    ///
    /// # Errors
    /// As the system's.
    fn set_security(
        &self,
        handle: &Self::Handle,
        descriptor: &SecurityDescriptor,
        parts: Parts,
    ) -> HostResult<()>;

    /// What a folder holds, without `.` and `..`. Takes FILE_LIST_DIRECTORY.
    ///
    /// # Errors
    /// As the system's.
    fn list(&self, folder: &Self::Handle) -> HostResult<Vec<Entry>>;

    /// Where a junction or symbolic link leads, as it says itself.
    ///
    /// # Errors
    /// As the system's; `None` for what is no link.
    fn target(&self, handle: &Self::Handle) -> HostResult<Option<String>>;

    /// The first bytes of a file, at most `most`. Takes FILE_READ_DATA.
    ///
    /// # Errors
    /// As the system's.
    fn read(&self, handle: &Self::Handle, most: usize) -> HostResult<Vec<u8>>;

    /// Makes an empty folder or file in a folder. Takes FILE_ADD_SUBDIRECTORY or FILE_ADD_FILE.
    ///
    /// # Errors
    /// [`HostErrorKind::Exists`] when the name is taken.
    fn create(&self, folder: &Self::Handle, name: &str, kind: NodeKind) -> HostResult<Self::Handle>;

    /// Removes a file or an empty folder that was opened with DELETE; gone once the handle is dropped.
    ///
    /// # Errors
    /// [`HostErrorKind::NotEmpty`].
    fn remove(&self, handle: &Self::Handle) -> HostResult<()>;

    /// The machine as a whole.
    ///
    /// # Errors
    /// What could not be asked.
    fn describe(&self) -> HostResult<Described>;

    /// A SID `S-1-5-21-a-b-c-d` from the system's random generator.
    ///
    /// # Errors
    /// When the generator fails.
    fn random_sid(&self) -> HostResult<SidText>;

    /// `Volume{…}`, the name that a drive's volume has whatever its letter. Asked for only where somebody uses such names.
    fn volume_guid(&self, _drive: &WinPath) -> Option<String> {
        None
    }

    /// Seconds since 1970.
    fn now(&self) -> u64;

    /// This process.
    fn process(&self) -> ProcessId;

    /// Whether a process is still there.
    fn is_running(&self, process: ProcessId) -> bool;

    /// How many threads go through a tree.
    fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8))
    }
}
