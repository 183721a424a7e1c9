//! Where the programs under test are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `codex-sandbox` under test, where every user can execute it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| reachable(&find_program()))
}

/// The program that tries single system calls.
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| reachable(&beside_this_test("codex-sandbox-probe")))
}

/// The test program itself, where every user can execute it.
pub fn this_test() -> &'static Path {
    static THIS: OnceLock<PathBuf> = OnceLock::new();
    THIS.get_or_init(|| reachable(&std::env::current_exe().expect("/proc/self/exe can be read")))
}

fn find_program() -> PathBuf {
    if let Some(path) = std::env::var_os("CODEX_SANDBOX_BIN") {
        return fs::canonicalize(&path).expect("CODEX_SANDBOX_BIN names an existing file");
    }
    let top =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace");
    let target = top.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--offline", "--package", "codex-sandbox-cli", "--target-dir"])
        .arg(&target)
        .current_dir(top)
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "cargo could not build codex-sandbox-cli: {status}");
    target.join("debug/codex-sandbox")
}

/// Cargo puts test programs in `deps`, one level below the other programs.
fn beside_this_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("/proc/self/exe can be read");
    let dir = test.parent().and_then(Path::parent).expect("a test program lies in target/PROFILE/deps");
    dir.join(name)
}

/// The file itself, or a copy where another user may not pass through one of its folders.
fn reachable(path: &Path) -> PathBuf {
    let closed = |dir: &Path| fs::metadata(dir).is_ok_and(|facts| facts.permissions().mode() & 0o001 == 0);
    if !rustix::process::getuid().is_root() || !path.ancestors().any(closed) {
        return path.to_path_buf();
    }
    let facts = fs::metadata(path).expect("the program under test exists");
    let dir = Path::new("/var/tmp/codex-sandbox-tests");
    let copy = dir.join(format!(
        "{}-{}",
        path.file_name().expect("a program has a name").display(),
        facts.mtime_nsec().wrapping_add(facts.mtime()),
    ));
    if !copy.exists() {
        fs::create_dir_all(dir).expect("/var/tmp can be written");
        let unfinished = copy.with_extension(std::process::id().to_string());
        fs::copy(path, &unfinished).expect("the program under test can be copied to /var/tmp");
        fs::rename(&unfinished, &copy).expect("a file can be renamed in /var/tmp");
    }
    copy
}
