//! Where private temporary folders are kept, and how they are removed.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The state folder of this user: `$XDG_CACHE_HOME/codex-sandbox`, else `~/.cache/codex-sandbox`, else, for a process
/// without a home, a folder of this user's own in /var/tmp.
pub fn state_dir(xdg_cache_home: Option<OsString>, home: Option<&Path>) -> PathBuf {
    let cache = xdg_cache_home.map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache
        .or_else(|| home.filter(|home| home.is_absolute() && home.is_dir()).map(|home| home.join(".cache")));
    match cache {
        Some(cache) => cache.join("codex-sandbox"),
        None => without_home(),
    }
}

/// The user's configuration file: `$CODEX_HOME/config.toml`, else `~/.codex/config.toml`. It need not exist.
pub fn config_file(home: Option<&Path>) -> Option<PathBuf> {
    let codex_home = std::env::var_os("CODEX_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let dir = codex_home.or_else(|| home.map(|home| home.join(".codex")))?;
    Some(dir.join("config.toml"))
}

#[cfg(target_os = "linux")]
fn without_home() -> PathBuf {
    PathBuf::from(format!("/var/tmp/codex-sandbox-{}", codex_sandbox_linux::probe::user_id()))
}

#[cfg(not(target_os = "linux"))]
fn without_home() -> PathBuf {
    std::env::temp_dir().join("codex-sandbox")
}

/// The private folders under a state folder: one name a workspace, as in `tmp/<name>`.
///
/// # Errors
/// The system's, when the folder exists and cannot be read.
pub fn private_folders(state: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in ["tmp", "overlay"] {
        match std::fs::read_dir(state.join(kind)) {
            Ok(entries) => found.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

/// Removes a private folder with all that commands left in it, folders without permissions included.
///
/// # Errors
/// The system's.
pub fn remove_private_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            std::fs::remove_dir_all(folder)
        }
        other => other,
    }
}

/// Overlayfs keeps a work folder of mode 000, and commands may have made others. Folders too deep for a path are left to the
/// removal, which goes by descriptors.
fn open_up(folder: &Path) -> io::Result<()> {
    let data = match std::fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Ok(()),
        other => other?,
    };
    if !data.is_dir() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    for entry in std::fs::read_dir(folder)? {
        open_up(&entry?.path())?;
    }
    Ok(())
}
