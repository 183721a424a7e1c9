//! The folders and files that attempts are made on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A workspace with two repositories, and a folder beside it. Everything belongs to the user, who may do anything with it.
#[derive(Debug, Clone)]
pub struct Scene {
    top: PathBuf,
}

impl Scene {
    /// One that was built there.
    pub fn at(top: &Path) -> Self {
        Self { top: top.to_path_buf() }
    }

    /// Builds one in a folder that does not exist yet.
    ///
    /// # Errors
    /// The system's.
    pub fn build(top: &Path) -> io::Result<Self> {
        let scene = Self::at(top);
        for repository in [scene.work(), scene.work().join("sub")] {
            fs::create_dir_all(repository.join(".git").join("hooks"))?;
            fs::write(repository.join(".git").join("config"), "[core]\n")?;
            fs::write(repository.join(".git").join("HEAD"), "ref: refs/heads/main\n")?;
            fs::write(repository.join("file.txt"), "inside")?;
        }
        fs::create_dir_all(scene.work().join("deep").join("er"))?;
        fs::create_dir_all(scene.outside().join("empty"))?;
        fs::create_dir_all(scene.outside().join("full"))?;
        fs::write(scene.outside().join("full").join("file.txt"), "outside")?;
        fs::write(scene.outside().join("file.txt"), "outside")?;
        super::edits::set_out(&scene.edited())?;
        scene.leave_open()?;
        Ok(scene)
    }

    /// The folder of all.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The workspace.
    pub fn work(&self) -> PathBuf {
        self.top.join("work")
    }

    /// What is not the command's either, for [`super::edits`].
    pub(super) fn edited(&self) -> PathBuf {
        self.top.join("edits")
    }

    /// What is not the command's.
    pub fn outside(&self) -> PathBuf {
        self.top.join("outside")
    }
}
