//! On Windows the program carries a manifest and its version; on Linux it starts with one library less.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> std::io::Result<()> {
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        link_unwinder_statically()?;
    }
    codex_sandbox_windows_resources::embed("codex-sandbox", "Codex Sandbox: runs a command within limits")
}

/// The standard library asks for libgcc_s, of which a program that aborts on panic uses next to nothing; loading it is a
/// seventh of a millisecond of every start. GCC's own static library holds the same functions: here the name leads to it.
fn link_unwinder_statically() -> std::io::Result<()> {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    let (Some(out), true) = (std::env::var_os("OUT_DIR"), set("CARGO_CFG_TARGET_ENV", "gnu")) else {
        return Ok(());
    };
    if let (true, Some(library)) = (set("PROFILE", "release"), static_unwinder()) {
        let folder = Path::new(&out).join("unwinder");
        std::fs::create_dir_all(&folder)?;
        // ld takes a text file of that name for a script.
        std::fs::write(folder.join("libgcc_s.so"), format!("INPUT({} -lgcc)\n", library.display()))?;
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    Ok(())
}

/// Where the linker's own GCC keeps it; compilers that come without one leave things as they are.
fn static_unwinder() -> Option<PathBuf> {
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(found.stdout).ok()?.trim());
    (path.is_absolute() && path.exists()).then_some(path)
}
