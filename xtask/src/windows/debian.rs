//! What Debian's packages give: the linker, and the source of Rust's standard library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine;
use crate::process::{self, find};

/// The linker's program and package.
const LINKER: (&str, &str) = ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64");

/// The suite with recent versions of the package `rust-src`.
const SUITE: &str = "trixie-backports";

/// The linker for Windows, installed if it may be.
///
/// # Errors
/// It is not here and cannot be installed.
pub fn linker() -> Result<PathBuf> {
    if find(LINKER.0).is_none() {
        machine::install(&[LINKER.1]);
    }
    need(LINKER.0, LINKER.1)
}

/// The standard library's source in the compiler's version, unpacked below `folder`: the folder `library`.
///
/// The machine's own apt set-up stays as it is: the lists, the downloads and the choice of suite are private.
///
/// # Errors
/// There is no apt, the mirror does not have the version, or it cannot be unpacked.
pub fn rust_source(version: &str, folder: &Path) -> Result<PathBuf> {
    let source = folder.join("source");
    let library = source.join(format!("usr/src/rustc-{version}/library"));
    if library.join("Cargo.lock").is_file() {
        return Ok(library);
    }
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        need(program, "apt").context(
            "neither rustup's target nor its component rust-src is here, nor Debian's rust-src to be had",
        )?;
    }
    let apt = PrivateApt::new(&folder.join("apt"))?;
    let package = apt.download(version, folder)?;
    let unpacked = process::output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&source));
    // 45 MB, and of no more use.
    let removed = fs::remove_file(&package);
    unpacked?;
    removed.with_context(|| format!("cannot remove {}", package.display()))?;
    if !library.join("Cargo.lock").is_file() {
        bail!("Debian's rust-src {version} has no {}", library.display());
    }
    Ok(library)
}

/// apt with lists of its own.
struct PrivateApt {
    options: Vec<String>,
}

impl PrivateApt {
    fn new(state: &Path) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            let folder = state.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let sources = state.join("sources.list");
        let line = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {SUITE} main\n",
            mirror()?
        );
        fs::write(&sources, line).with_context(|| format!("cannot write {}", sources.display()))?;
        let at = |name: &str| state.join(name).display().to_string();
        let options = vec![
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::Cache={}", at("cache")),
            "Dir::State::status=/dev/null".to_owned(),
            // The user _apt may not write here.
            format!("APT::Sandbox::User={}", if machine::is_root() { "root" } else { "" }),
        ];
        Ok(Self { options })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }

    /// Downloads rust-src of this upstream version into `folder`.
    fn download(&self, version: &str, folder: &Path) -> Result<PathBuf> {
        process::output(self.command("apt-get").args(["-qq", "update"]))?;
        let offers = process::output(self.command("apt-cache").args(["madison", "rust-src"]))?;
        let Some(package) = of_version(&offers, version) else {
            bail!("Debian's {SUITE} has no rust-src {version}");
        };
        println!("downloading rust-src {package} of Debian's {SUITE}");
        let mut download = self.command("apt-get");
        process::output(download.current_dir(folder).args([
            "-qq",
            "download",
            &format!("rust-src={package}"),
        ]))?;
        let downloaded = fs::read_dir(folder)
            .with_context(|| format!("cannot list {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        downloaded.context("apt-get downloaded no package")
    }
}

/// The program's path, or why it is missing.
fn need(program: &str, package: &str) -> Result<PathBuf> {
    match find(program) {
        Some(path) => Ok(path),
        None => bail!("{program} is not installed (Debian's package {package})"),
    }
}

/// The mirror of Debian's main archive that this machine's apt uses.
fn mirror() -> Result<String> {
    let ask = || {
        let args = ["indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian"];
        process::output(Command::new("apt-get").args(args))
    };
    let mut sites = ask()?;
    if sites.is_empty() && machine::is_root() {
        // Labels are known from the lists only, and a new machine has none yet.
        process::output(Command::new("apt-get").args(["-qq", "update"]))?;
        sites = ask()?;
    }
    sites.lines().next().map(str::to_owned).context("this machine's apt knows no mirror of Debian")
}

/// The package's version for this upstream version, in `apt-cache madison`'s lines `NAME | VERSION | ORIGIN`.
fn of_version(offers: &str, upstream: &str) -> Option<String> {
    let mut versions = offers.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim()));
    let is_it = |version: &&str| {
        version.strip_prefix(upstream).is_some_and(|rest| rest.starts_with('+') || rest.starts_with('-'))
    };
    versions.find(is_it).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_upstream_version_is_taken() {
        let offers = "\
  rust-src | 1.96.1+dfsg1-2~bpo13+1 | MIRROR trixie-backports/main amd64 Packages
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | MIRROR trixie-backports/main amd64 Packages";
        assert_eq!(of_version(offers, "1.95.0").as_deref(), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(of_version(offers, "1.95"), None);
        assert_eq!(of_version(offers, "1.94.0"), None);
    }
}
