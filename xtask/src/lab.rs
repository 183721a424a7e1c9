//! `cargo xtask lab`: a Wine that enforces Windows' access checks, built from `lab/` and kept as long as that does not change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::args::LabArgs;
use crate::machine;
use crate::process::{self, find, top};

/// Written into a lab when all of it is there.
const COMPLETE: &str = "complete";

/// The lab, ready to run programs.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
}

/// As whom programs run in the lab: a name, and winlab's options.
#[cfg(unix)]
pub const USERS: [(&str, &[&str]); 3] =
    [("elevated", ELEVATED), ("filtered administrator", FILTERED), ("standard user", STANDARD)];

/// Carries out `lab …`; whether what ran succeeded.
///
/// # Errors
/// The lab cannot be built, or a program not be started.
pub fn run(wanted: &LabArgs) -> Result<bool> {
    if let Some(reason) = reason_against() {
        bail!("no lab on this machine: {reason}");
    }
    let lab = Lab::ready(wanted.rebuild)?;
    if wanted.command.is_empty() {
        println!("the lab is {}", lab.folder.display());
        return lab.own_tests(&mut |test, passed| {
            if !passed {
                println!("FAILED {test}");
            }
        });
    }
    let mut command = Command::new(lab.runner());
    Ok(command.args(&wanted.command).status().context("cannot start winlab")?.success())
}

/// Why there can be no lab on this machine, if so: tests in it then count as skipped.
pub fn reason_against() -> Option<String> {
    if !machine::is_root() {
        return Some("it installs packages, for which one must be root".to_owned());
    }
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !is_debian_12(&system) || find("apt-get").is_none() {
        return Some("it is made of Debian's packages, on Debian 12".to_owned());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("it runs on x86_64 Linux only".to_owned());
    }
    None
}

/// Whether os-release(5) names the system on which the lab is known to build.
fn is_debian_12(os_release: &str) -> bool {
    let says = |key: &str, wanted: &str| {
        os_release
            .lines()
            .filter_map(|line| line.split_once('='))
            .any(|(name, value)| name == key && value.trim_matches('"') == wanted)
    };
    says("ID", "debian") && says("VERSION_ID", "12")
}

impl Lab {
    /// The lab of this source tree, built if it is not there.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn ready(rebuild: bool) -> Result<Self> {
        let cache = machine::cache()?;
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let folder = cache.join(format!("lab-{:016x}", content(&top().join("lab"))?));
        // Two runs at once must not build it twice, nor into each other.
        let lock = File::create(cache.join("lab.lock")).context("cannot make the lab's lock file")?;
        lock.lock().context("cannot lock the lab's lock file")?;
        let lab = Self { folder };
        if rebuild || !lab.folder.join(COMPLETE).is_file() {
            lab.build(&cache.join("lab-work"))?;
            remove_others(&cache, &lab.folder)?;
        }
        Ok(lab)
    }

    /// `winlab`, which runs a program in the lab.
    pub fn runner(&self) -> PathBuf {
        self.folder.join("winlab")
    }

    fn build(&self, work: &Path) -> Result<()> {
        println!("building the lab in {}: about three minutes", self.folder.display());
        let mut build = Command::new("sh");
        build.arg(top().join("lab/build.sh")).arg(&self.folder).arg(work);
        // A mirror that does not answer, or a set-up that hangs, must not hang the tests.
        let mut limited = Command::new("timeout");
        limited
            .env("NO_SELFTEST", "1")
            .args(["--kill-after=10", "1800"])
            .arg(build.get_program())
            .args(build.get_args());
        let mut lines = Vec::new();
        if !process::watch(&mut limited, |line| lines.push(line.to_owned()))? {
            bail!("lab/build.sh failed: {}", lines.last().map_or("no output", String::as_str));
        }
        let complete = self.folder.join(COMPLETE);
        File::create(&complete).with_context(|| format!("cannot make {}", complete.display()))?;
        Ok(())
    }

    /// The lab's own tests, each given to `each` with its result. Whether all passed.
    ///
    /// # Errors
    /// A test cannot be started.
    pub fn own_tests(&self, each: &mut dyn FnMut(&str, bool)) -> Result<bool> {
        let mut all = true;
        for test in OWN_TESTS {
            let mut command = Command::new(self.runner());
            command.env("WINLAB_TIMEOUT", "180").args(test.options);
            if !test.write_restricted.is_empty() {
                command.env("WINLAB_WRITE_RESTRICTED", test.write_restricted);
            }
            command.arg(self.folder.join("selftest").join(test.program));
            let output =
                command.output().with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
            let passed = output.status.success();
            show(test.name, &String::from_utf8_lossy(&output.stdout), passed);
            if !passed {
                println!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
            }
            each(test.name, passed);
            all &= passed;
        }
        Ok(all)
    }
}

/// The number of checks; of a run that failed all that did not succeed.
fn show(name: &str, output: &str, passed: bool) {
    let (good, rest): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| line.starts_with("ok "));
    println!("{name}: {} checks succeeded", good.len());
    if !passed {
        rest.iter().for_each(|line| println!("{line}"));
    }
}

/// One run of one of the lab's own tests.
struct OwnTest {
    name: &'static str,
    /// Options of winlab: as whom it runs.
    options: &'static [&'static str],
    /// `WINLAB_WRITE_RESTRICTED`: which reading of "write" holds for write-restricted tokens.
    write_restricted: &'static str,
    program: &'static str,
}

const ELEVATED: &[&str] = &[];
const FILTERED: &[&str] = &["-l"];
const STANDARD: &[&str] = &["-u"];

/// Each program as every kind of user that matters to it; access also in the stricter reading of "write".
const OWN_TESTS: &[OwnTest] = &[
    own_test("access, elevated", ELEVATED, "", "selftest.exe"),
    own_test("access, elevated, strict", ELEVATED, "strict", "selftest.exe"),
    own_test("access, filtered administrator", FILTERED, "", "selftest.exe"),
    own_test("access, filtered administrator, strict", FILTERED, "strict", "selftest.exe"),
    own_test("access, standard user", STANDARD, "", "selftest.exe"),
    own_test("integrity, elevated", ELEVATED, "", "integrity.exe"),
    own_test("integrity, filtered administrator", FILTERED, "", "integrity.exe"),
    own_test("integrity, standard user", STANDARD, "", "integrity.exe"),
    own_test("accounts", ELEVATED, "", "accounts.exe"),
    own_test("network", ELEVATED, "", "network.exe"),
];

const fn own_test(
    name: &'static str,
    options: &'static [&'static str],
    write_restricted: &'static str,
    program: &'static str,
) -> OwnTest {
    OwnTest { name, options, write_restricted, program }
}

/// A number for all files of the folder, by name and content. The text for readers does not count.
fn content(folder: &Path) -> Result<u64> {
    let mut files = BTreeMap::new();
    collect(folder, &mut files)?;
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in &files {
        let name = path.strip_prefix(folder).expect("it was found in there");
        hasher.write(name.as_os_str().as_encoded_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    Ok(hasher.finish())
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_none_or(|extension| extension != "md") {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(path, bytes);
        }
    }
    Ok(())
}

/// Removes labs of older sources: 150 MB each.
fn remove_others(cache: &Path, current: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))? {
        let path = entry?.path();
        let is_lab = path.join(COMPLETE).is_file() && path.join("winlab").is_file();
        if is_lab && path != current {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_system_that_is_known_to_do_has_a_lab() {
        assert!(is_debian_12(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n"
        ));
        assert!(!is_debian_12("VERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"));
        assert!(!is_debian_12(""));
    }

    #[test]
    fn the_key_follows_names_and_content_but_not_the_text_for_readers() {
        let dir = std::env::temp_dir().join(format!("xtask-lab-{}", std::process::id()));
        fs::create_dir_all(dir.join("edits")).expect("the temporary folder is ours");
        let write =
            |name: &str, text: &str| fs::write(dir.join(name), text).expect("the temporary folder is ours");
        let key = || content(&dir).expect("it can be read");

        write("edits/a", "1");
        let first = key();
        write("README.md", "text");
        assert_eq!(key(), first);
        write("edits/a", "2");
        assert_ne!(key(), first);
        write("edits/a", "1");
        assert_eq!(key(), first);
        fs::rename(dir.join("edits/a"), dir.join("edits/b")).expect("the temporary folder is ours");
        assert_ne!(key(), first);
        fs::remove_dir_all(&dir).expect("the temporary folder is ours");
    }
}
