//! A standard library for a target: rustup's, or the source to build one from.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian;
use crate::machine;
use crate::process;

/// Where the library's source lies in a sysroot: cargo looks for it there and nowhere else.
const SOURCE: &str = "lib/rustlib/src/rust/library";

/// The stand-in for the compiler in a [`Standard::Source`] sysroot, which tells it where its libraries are.
pub const WRAPPER: &str = "wrapper/rustc";

/// Where the standard library comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Standard {
    /// It is compiled already.
    Installed,
    /// To be built from source: in the compiler's own sysroot, or in this one.
    Source(Option<PathBuf>),
}

/// The standard library for the target.
///
/// # Errors
/// Neither rustup's target nor the source is here, and the source cannot be fetched: not on Debian, no root, no network.
pub fn of(target: &str) -> Result<Standard> {
    let compiler = Compiler::find()?;
    if compiler.sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(Standard::Installed);
    }
    if compiler.sysroot.join(SOURCE).join("Cargo.lock").is_file() {
        return Ok(Standard::Source(None));
    }
    let folder = machine::cache()?.join(format!("rust-src-{}", compiler.version));
    let view = folder.join("sysroot");
    if !view.join(WRAPPER).is_file() {
        let library = debian::rust_source(&compiler.version, &folder)
            .with_context(|| format!("no standard library for {target}"))?;
        see_through(&compiler.sysroot, &library, &view)?;
    }
    Ok(Standard::Source(Some(view)))
}

/// The compiler that cargo uses.
struct Compiler {
    version: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn find() -> Result<Self> {
        let ask = |arg: &[&str]| process::output(Command::new("rustc").current_dir(process::top()).args(arg));
        let version = ask(&["--version"])?;
        let Some(version) = version.split(' ').nth(1) else { bail!("rustc tells no version: {version:?}") };
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
        Ok(Self { version: version.to_owned(), sysroot })
    }
}

/// Makes `view`: the sysroot by links, with the library's source where cargo looks for it. The toolchain stays untouched.
fn see_through(sysroot: &Path, library: &Path, view: &Path) -> Result<()> {
    if view.exists() {
        fs::remove_dir_all(view).with_context(|| format!("cannot remove {}", view.display()))?;
    }
    let source = view.join(SOURCE);
    let above = source.parent().expect("it has several parts");
    fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
    for folder in ["", "lib", "lib/rustlib"] {
        link_children(&sysroot.join(folder), &view.join(folder))?;
    }
    symlink(library, &source).with_context(|| format!("cannot make the link {}", source.display()))?;
    let wrapper = view.join(WRAPPER);
    let script =
        format!("#!/bin/sh\nexec '{}/bin/rustc' --sysroot '{}' \"$@\"\n", sysroot.display(), view.display());
    write_program(&wrapper, &script)
}

/// Links what `to` does not have.
fn link_children(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let link = to.join(entry.file_name());
        if !link.exists() {
            symlink(entry.path(), &link)
                .with_context(|| format!("cannot make the link {}", link.display()))?;
        }
    }
    Ok(())
}

fn write_program(path: &Path, script: &str) -> Result<()> {
    let write = || {
        fs::create_dir_all(path.parent().expect("it has a folder"))?;
        fs::write(path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_shows_the_toolchain_and_the_source() {
        let dir = std::env::temp_dir().join(format!("xtask-view-{}", std::process::id()));
        let (sysroot, library, view) = (dir.join("sysroot"), dir.join("library"), dir.join("view"));
        for folder in ["bin", "lib/rustlib/x86_64-unknown-linux-gnu/lib"] {
            fs::create_dir_all(sysroot.join(folder)).expect("the temporary folder is ours");
        }
        fs::create_dir_all(&library).expect("the temporary folder is ours");
        fs::write(library.join("Cargo.lock"), "").expect("the temporary folder is ours");

        // Twice: a view that a killed run left half made is made anew.
        for _ in 0..2 {
            see_through(&sysroot, &library, &view).expect("it can be made");
        }

        assert!(view.join("bin").is_dir());
        assert!(view.join("lib/rustlib/x86_64-unknown-linux-gnu/lib").is_dir());
        assert!(view.join(SOURCE).join("Cargo.lock").is_file());
        assert!(view.join(WRAPPER).is_file());
        fs::remove_dir_all(&dir).expect("the temporary folder is ours");
    }
}
