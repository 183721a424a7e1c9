//! Attempts on permissions, on places that others left open, and by odd spellings of a path.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nt_security::AccessMask;

use super::Wanted::Denied;
use super::{Attempt, Scene, attempt, there};
use crate::host::{Host, HostErrorKind};
use crate::plan::WinPath;
use crate::win32::WindowsHost;

/// The table.
pub const ATTEMPTS: &[Attempt] = &[
    attempt("permissions-outside", "open a file outside to change its permissions", Denied, |scene| {
        open(&scene.outside().join("file.txt"), AccessMask::WRITE_DAC)
    }),
    attempt("owner-outside", "open a file outside to change its owner or label", Denied, |scene| {
        open(&scene.outside().join("file.txt"), AccessMask::WRITE_OWNER)
    }),
    attempt("extended-outside", "open a file outside to write its extended attributes", Denied, |scene| {
        open(&scene.outside().join("file.txt"), AccessMask::FILE_WRITE_EA)
    }),
    attempt("delete-child-outside", "open a folder outside to delete what it holds", Denied, |scene| {
        open(&scene.outside(), AccessMask::FILE_DELETE_CHILD)
    }),
    attempt("permissions-workspace", "open the workspace to change its permissions", Denied, |scene| {
        open(&scene.work(), AccessMask::WRITE_DAC)
    }),
    attempt("owner-workspace", "open the workspace to change its owner or label", Denied, |scene| {
        open(&scene.work(), AccessMask::WRITE_OWNER)
    }),
    attempt("delete-child-workspace", "open the workspace to delete what it holds", Denied, |scene| {
        open(&scene.work(), AccessMask::FILE_DELETE_CHILD)
    }),
    attempt(
        "permissions-own-file",
        "change the permissions of a file that it made itself",
        Denied,
        |scene| {
            let file = scene.work().join("made.txt");
            fs::write(&file, "x")?;
            open(&file, AccessMask::WRITE_DAC)
        },
    ),
    attempt("permissions-git", "open .git\\config to change its permissions", Denied, |scene| {
        open(&scene.work().join(".git").join("config"), AccessMask::WRITE_DAC)
    }),
    attempt("owner-git", "open .git to change its owner or label", Denied, |scene| {
        open(&scene.work().join(".git"), AccessMask::WRITE_OWNER)
    }),
    attempt(
        "attributes-git",
        "open .git to write its attributes, as making a junction of it takes",
        Denied,
        |scene| open(&scene.work().join(".git"), AccessMask::FILE_WRITE_ATTRIBUTES),
    ),
    attempt("git-hard-link", "write to .git\\config through a hard link in the workspace", Denied, |scene| {
        let link = scene.work().join("link.txt");
        fs::hard_link(scene.work().join(".git").join("config"), &link)?;
        append(&link)
    }),
    attempt("git-made-anew", "move the placeholder .codex away and make another", Denied, |scene| {
        let folder = scene.work().join(".codex");
        // Outside there is none.
        let _there_already = fs::create_dir(&folder);
        fs::rename(&folder, scene.work().join("old-codex"))?;
        fs::create_dir(&folder)
    }),
    attempt(
        "everyone",
        "create a file in a folder beside the workspace that Everyone may write",
        Denied,
        |scene| fs::write(there(scene.open())?.join("new.txt"), "x"),
    ),
    attempt("everyone-low", "the same in one that is labelled Low besides", Denied, |scene| {
        fs::write(there(scene.open_low())?.join("new.txt"), "x")
    }),
    attempt("everyone-low-delete", "delete a file of that folder", Denied, |scene| {
        fs::remove_file(scene.open_low().join("file.txt"))
    }),
    attempt("no-dacl", "append to a file outside that has no DACL at all", Denied, |scene| {
        append(&scene.outside().join("null.txt"))
    }),
    attempt("drive-root", "make a folder in the root of the system's drive", Denied, |_| {
        let folder =
            PathBuf::from(format!(r"{}\codex-sandbox-attack-{}", system_drive(), std::process::id()));
        fs::create_dir(&folder)?;
        fs::remove_dir(folder)
    }),
    attempt("program-data", "create a file in ProgramData", Denied, |_| {
        let folder = std::env::var_os("ProgramData").unwrap_or_default();
        create_and_remove(Path::new(&folder))
    }),
    attempt("public", "create a file in the profile that all users share", Denied, |_| {
        create_and_remove(Path::new(&std::env::var_os("PUBLIC").unwrap_or_default()))
    }),
    attempt("device-path", r"append outside by a \\.\ path", Denied, |scene| {
        append(&prefixed(r"\\.\", &scene.outside().join("file.txt")))
    }),
    attempt("global-root", r"append outside by \\?\GLOBALROOT", Denied, |scene| {
        append(&prefixed(r"\\?\GLOBALROOT\GLOBAL??\", &scene.outside().join("file.txt")))
    }),
    attempt("unc-loopback", r"append outside by \\localhost\C$", Denied, |scene| {
        let path = scene.outside().join("file.txt");
        let text = path.to_string_lossy().replacen(':', "$", 1);
        append(Path::new(&format!(r"\\localhost\{text}")))
    }),
    attempt("stream-outside", "write an alternate data stream of a file outside", Denied, |scene| {
        stream(&scene.outside().join("file.txt"))
    }),
    attempt("stream-git", "write an alternate data stream of .git", Denied, |scene| {
        stream(&scene.work().join(".git"))
    }),
];

/// Opens with one right, which is asked for alone.
fn open(path: &Path, right: AccessMask) -> io::Result<()> {
    let text = path.to_str().ok_or_else(|| io::Error::other("the path is not Unicode"))?;
    let path = WinPath::absolute(text).map_err(io::Error::other)?;
    let opened = WindowsHost.open(&path, right);
    opened.map(drop).map_err(|error| match error.kind {
        HostErrorKind::AccessDenied => io::Error::new(io::ErrorKind::PermissionDenied, error.to_string()),
        _ => io::Error::other(error.to_string()),
    })
}

fn append(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(b"x")
}

fn create_and_remove(folder: &Path) -> io::Result<()> {
    let file = there(folder.to_path_buf())?.join(format!("codex-sandbox-attack-{}.txt", std::process::id()));
    fs::write(&file, "x")?;
    fs::remove_file(file)
}

fn prefixed(prefix: &str, path: &Path) -> PathBuf {
    PathBuf::from(format!("{prefix}{}", path.display()))
}

/// Where there are no streams, a file of that name would be made.
fn stream(path: &Path) -> io::Result<()> {
    fs::write(format!("{}:stream", path.display()), "x")?;
    let folder = path.parent().ok_or_else(|| io::Error::other("a root has no name"))?;
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
    if names.into_iter().any(|name| name.to_string_lossy().contains(':')) {
        return Err(io::Error::other("there are no streams here"));
    }
    Ok(())
}

fn system_drive() -> String {
    std::env::var("SystemDrive").unwrap_or_else(|_| "C:".to_owned())
}

impl Scene {
    /// What the user himself, or an installer, left open: to Everyone, at the level Low, without a DACL.
    pub(super) fn leave_open(&self) -> io::Result<()> {
        const EVERYONE: &str = "D:(A;OICI;FA;;;WD)";
        const LOW: &str = "D:(A;OICI;FA;;;WD)S:(ML;OICI;NW;;;LW)";
        for (folder, sddl) in [(self.open(), EVERYONE), (self.open_low(), LOW)] {
            fs::create_dir_all(&folder)?;
            secure(&folder, sddl)?;
            fs::write(folder.join("file.txt"), "open")?;
        }
        let file = self.outside().join("null.txt");
        fs::write(&file, "open")?;
        secure(&file, "D:NO_ACCESS_CONTROL")
    }

    /// A folder that Everyone may write.
    fn open(&self) -> PathBuf {
        self.top().join("open")
    }

    /// One that is labelled Low besides.
    fn open_low(&self) -> PathBuf {
        self.top().join("open-low")
    }
}

/// Gives a file or folder this DACL and label.
fn secure(path: &Path, sddl: &str) -> io::Result<()> {
    use crate::host::Parts;
    let text = path.to_str().ok_or_else(|| io::Error::other("the path is not Unicode"))?;
    let path = WinPath::absolute(text).map_err(io::Error::other)?;
    let descriptor = nt_security::SecurityDescriptor::from_sddl(sddl).map_err(io::Error::other)?;
    let parts = Parts { dacl: true, label: sddl.contains("S:") };
    let owner = if parts.label { AccessMask::WRITE_OWNER } else { AccessMask::NONE };
    let other = |error: crate::host::HostError| io::Error::other(error.to_string());
    let handle = WindowsHost.open(&path, AccessMask::WRITE_DAC | owner).map_err(other)?;
    WindowsHost.set_security(&handle, &descriptor, parts).map_err(other)
}
