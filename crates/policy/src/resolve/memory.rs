//! A tree in memory, for planning about machines that are not this one, and for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::resolve::{Kind, PathFacts, links};

/// [`PathFacts`] of a tree that exists only here. `/` is always there.
#[derive(Debug, Clone, Default)]
pub struct MemoryPaths {
    items: BTreeMap<PathBuf, Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
}

impl MemoryPaths {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder, with the folders above it.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.put(path.into(), Item::Folder);
        self
    }

    /// Adds a file, with the folders above it.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.put(path.into(), Item::File(content.into()));
        self
    }

    /// Adds a symbolic link, with the folders above it.
    #[must_use]
    pub fn link(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.put(path.into(), Item::Link(target.into()));
        self
    }

    fn put(&mut self, path: PathBuf, item: Item) {
        for parent in path.ancestors().skip(1) {
            self.items.entry(parent.to_path_buf()).or_insert(Item::Folder);
        }
        self.items.insert(path, item);
    }

    /// What stands at `path`, links above it followed.
    fn find(&self, path: &Path) -> Option<&Item> {
        self.items.get(path).or_else(|| {
            let parent = self.canonical(path.parent()?).ok()?;
            self.items.get(&parent.join(path.file_name()?))
        })
    }
}

impl PathFacts for MemoryPaths {
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        links::walk(path, &Direct(self), |_| {}).map_err(|stuck| stuck.error)
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        self.find(path).map(Item::kind)
    }

    fn read_small(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.items.get(&self.canonical(path)?) {
            Some(Item::File(content)) => Ok(content.iter().copied().take(4096).collect()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.find(path) {
            Some(Item::Link(target)) => Ok(target.clone()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Item {
    fn kind(&self) -> Kind {
        match self {
            Self::Folder => Kind::Directory,
            Self::File(_) => Kind::File,
            Self::Link(_) => Kind::Symlink,
        }
    }
}

/// The tree without the following of links, which the walk itself does.
struct Direct<'a>(&'a MemoryPaths);

impl PathFacts for Direct<'_> {
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        self.0.items.get(path).map(Item::kind)
    }

    fn read_small(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.0.items.get(path) {
            Some(Item::Link(target)) => Ok(target.clone()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_they_would() {
        let tree = MemoryPaths::new()
            .file("/a/b/f", "x")
            .link("/l", "a/b")
            .link("/a/up", "../l/f")
            .link("/loop", "loop")
            .link("/dangling", "/none");
        let canonical = |path: &str| tree.canonical(Path::new(path)).ok();
        assert_eq!(canonical("/l/f"), Some("/a/b/f".into()));
        assert_eq!(canonical("/l/.."), Some("/a".into()));
        assert_eq!(canonical("/a/up"), Some("/a/b/f".into()));
        assert_eq!(canonical("/loop"), None);
        assert_eq!(canonical("/dangling"), None);
        assert_eq!(canonical("/a/b/f/x"), None);
        assert_eq!(tree.kind(Path::new("/l")), Some(Kind::Symlink));
        assert_eq!(tree.kind(Path::new("/l/f")), Some(Kind::File));
        assert_eq!(tree.read_small(Path::new("/a/up")).ok(), Some(b"x".to_vec()));
    }
}
