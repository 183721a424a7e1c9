//! Folders that are never writable roots, and why.

use super::data::Refusal;
use super::facts::{Facts, NodeKind, Volume, VolumeKind};
use super::locate::{LocateError, Located};
use super::path::{Parsed, WinPath};
use super::tree::Tree;

fn refusal(code: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), reason: reason.into(), remedy: remedy.into() }
}

const LOCAL_FOLDER: &str = "use a folder on a local NTFS or ReFS volume";

/// The refusal of a path that leads to no local file.
pub fn not_local(error: &LocateError) -> Refusal {
    match error {
        LocateError::NotOnADrive { parsed, typed, .. } => elsewhere(typed, parsed),
        LocateError::Path(error) => refusal(error.code(), error.to_string(), LOCAL_FOLDER),
        LocateError::NoDrive { .. } => refusal("root-no-drive", error.to_string(), LOCAL_FOLDER),
        LocateError::TooManyLinks { .. } => refusal("root-link-loop", error.to_string(), "mend the links"),
    }
}

fn elsewhere(typed: &str, parsed: &Parsed) -> Refusal {
    match parsed {
        Parsed::Unc { .. } => refusal(
            "root-is-share",
            format!(
                "{typed} is a network share: its access checks are made by another machine, which knows no SID of ours"
            ),
            "work on a local copy",
        ),
        Parsed::Wsl { .. } => refusal(
            "root-is-wsl",
            format!("{typed} belongs to a Linux distribution, whose files have no Windows descriptors"),
            "run the sandbox inside the distribution, or work on a local copy",
        ),
        Parsed::Device { .. } => {
            refusal("root-is-device", format!("{typed} names a device"), "give the folder another name")
        }
        Parsed::Volume { .. } | Parsed::Drive { .. } => refusal(
            "root-no-drive",
            format!("{typed} names a volume without a drive letter"),
            "give the volume a drive letter",
        ),
    }
}

/// The refusal of a root for the way that leads to it, if there is one.
pub fn way(found: &Located, facts: &Facts) -> Option<Refusal> {
    if let Some(stream) = &found.stream {
        let reason = format!("{} names the stream {stream}, not a folder", found.typed);
        return Some(refusal("root-is-stream", reason, "name the folder"));
    }
    // Commands wrote there: one of them may have made the link, to have another folder opened the next time.
    let written = facts.state.write_sids.iter().map(|known| &known.root);
    let planted = |link: &&WinPath| written.clone().any(|root| link.is_in(root));
    found.links.iter().find(planted).map(|link| {
        let reason = format!("{link} leads elsewhere, and lies where commands could write");
        refusal(
            "root-through-planted-link",
            reason,
            "name the folder that it leads to, if that is what you mean",
        )
    })
}

/// The refusal of a folder as a root, if there is one.
pub fn root(path: &WinPath, facts: &Facts, tree: &Tree) -> Option<Refusal> {
    place(path, facts)
        .or_else(|| volume(path, facts))
        .or_else(|| object(path, tree))
        .or_else(|| on_the_way(path, facts, tree))
}

/// Places that hold more than a workspace.
fn place(path: &WinPath, facts: &Facts) -> Option<Refusal> {
    let folders = &facts.folders;
    let smaller = "choose a folder inside it";
    if path.is_drive_root() {
        return Some(refusal("root-is-drive", format!("{path} is the root of a drive"), smaller));
    }
    if path.parent().as_ref() == Some(&folders.profiles) || *path == folders.profile {
        return Some(refusal("root-is-profile", format!("{path} is a user's profile"), smaller));
    }
    if folders.profile.is_below(path) || folders.profiles.is_in(path) {
        return Some(refusal("root-holds-profile", format!("{path} holds the profiles"), smaller));
    }
    for state in [&folders.state, &folders.machine_state] {
        if path.is_in(state) {
            let remedy = "choose a folder outside it";
            return Some(refusal("root-in-state", format!("{path} is in our state folder {state}"), remedy));
        }
        if state.is_below(path) {
            return Some(refusal(
                "root-holds-state",
                format!("{path} holds our state folder {state}"),
                smaller,
            ));
        }
    }
    let mut system = folders.program_files.iter().chain([&folders.windows, &folders.program_data]);
    if path.is_in(&folders.windows) || system.any(|folder| folder.is_in(path)) {
        let remedy = "choose a folder outside it";
        return Some(refusal("root-is-system", format!("{path} belongs to the system"), remedy));
    }
    None
}

fn volume(path: &WinPath, facts: &Facts) -> Option<Refusal> {
    let volume = facts.volumes.iter().find(|volume| volume.root.drive() == path.drive())?;
    let Volume { root, file_system, .. } = volume;
    match volume.kind {
        VolumeKind::Network => {
            return Some(refusal(
                "root-is-share",
                format!("{root} is a mapped network drive"),
                "work on a local copy",
            ));
        }
        VolumeKind::Subst if volume.target.is_none() => {
            let reason = format!("{root} stands for another path, which is not known");
            return Some(refusal("root-no-drive", reason, "name the folder that it stands for"));
        }
        VolumeKind::Optical => {
            return Some(refusal("root-is-optical", format!("{root} is an optical disc"), LOCAL_FOLDER));
        }
        VolumeKind::Virtual => {
            let reason = format!(
                "{root} is a file system of a program ({file_system}) that does not check descriptors"
            );
            return Some(refusal("root-is-virtual", reason, LOCAL_FOLDER));
        }
        _ => {}
    }
    let upper = file_system.to_ascii_uppercase();
    if upper.starts_with("FAT") || upper == "EXFAT" {
        return Some(refusal(
            "root-on-fat",
            format!("{root} is {file_system}, which stores no descriptors"),
            LOCAL_FOLDER,
        ));
    }
    if !volume.persistent_acls {
        let reason = format!("{root} ({file_system}) has no persistent access control lists");
        return Some(refusal("root-without-acls", reason, LOCAL_FOLDER));
    }
    volume
        .read_only
        .then(|| refusal("root-read-only-volume", format!("{root} is mounted read-only"), LOCAL_FOLDER))
}

fn object(path: &WinPath, tree: &Tree) -> Option<Refusal> {
    let Some(node) = tree.get(path) else {
        return Some(refusal(
            "root-missing",
            format!("{path} does not exist"),
            "create it, or correct the path",
        ));
    };
    if node.kind == NodeKind::File {
        return Some(refusal("root-is-file", format!("{path} is a file"), "name the folder that holds it"));
    }
    None
}

/// What lies above: cloud folders and `.ssh`.
fn on_the_way(path: &WinPath, facts: &Facts, tree: &Tree) -> Option<Refusal> {
    let cloud = path.ancestors().find(|at| tree.get(at).is_some_and(|node| node.cloud));
    if let Some(at) = cloud {
        let reason = format!(
            "{at} is kept in the cloud: its files may be placeholders, which descriptors do not survive"
        );
        return Some(refusal("root-is-cloud", reason, "work on a folder that is not synchronised"));
    }
    let ssh = path.components().any(is_ssh);
    ssh.then(|| {
        let reason =
            format!("{path} is an .ssh folder: OpenSSH refuses keys that another principal may read");
        refusal("root-in-ssh", reason, "choose another folder")
    })
    .or_else(|| {
        let profile = &facts.folders.profile;
        let inside = path.below(profile)?;
        let is_app_data = inside.len() <= 2 && inside.first()?.eq_ignore_ascii_case("AppData");
        is_app_data.then(|| {
            refusal(
                "root-is-profile",
                format!("{path} holds the settings of all programs"),
                "choose a folder inside it",
            )
        })
    })
}

/// Whether a component is OpenSSH's folder, below which no ACE is ever added.
pub fn is_ssh(component: &str) -> bool {
    component.eq_ignore_ascii_case(".ssh")
}
