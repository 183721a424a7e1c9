//! "Everything but these paths" for Landlock, which can only allow: grant around what is denied.

use std::path::{Path, PathBuf};

/// The paths to allow reading below, so that all but `denied` (canonical) can be read: for each folder on the way to a
/// denied path, its other entries. What appears in such a folder later is not readable either.
pub fn everything_but(denied: &[PathBuf]) -> Vec<PathBuf> {
    let mut allowed = Vec::new();
    walk(Path::new("/"), denied, &mut allowed);
    allowed
}

fn walk(dir: &Path, denied: &[PathBuf], allowed: &mut Vec<PathBuf>) {
    if denied.iter().any(|path| path == dir) {
        return;
    }
    if !denied.iter().any(|path| path.starts_with(dir)) {
        allowed.push(dir.to_path_buf());
        return;
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        // A symbolic link grants nothing by itself: what counts is where it leads.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            walk(&entry.path(), denied, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_granted_and_the_denied_path_is_not() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = std::fs::canonicalize(temp.path()).expect("canonical");
        for name in ["a/secret", "a/open", "b"] {
            std::fs::create_dir_all(root.join(name)).expect("made");
        }
        let allowed = everything_but(&[root.join("a/secret")]);
        assert!(allowed.contains(&root.join("a/open")) && allowed.contains(&root.join("b")));
        assert!(!allowed.iter().any(|path| root.join("a/secret").starts_with(path)));
    }
}
