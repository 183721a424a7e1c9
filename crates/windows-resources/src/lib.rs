//! For build scripts: the manifest and the version that each program of ours carries on Windows.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "that is how a build script talks to cargo")]

use std::env;
use std::io;

use winresource::WindowsResource;

/// The manifest of every program of ours. Source: "Application manifests" in Microsoft's documentation of side-by-side
/// assemblies.
///
/// `asInvoker` is said in so many words: without it Windows takes a program whose name contains "setup" for an
/// installer, and demands an administrator.
pub const MANIFEST: &str = include_str!("codex-sandbox.manifest");

/// Links the manifest and a version resource into the program of this name, if it is built for Windows. The version
/// is the package's.
///
/// # Errors
/// The resource compiler (windres of mingw, rc of the Windows SDK) is missing or failed.
pub fn embed(program: &str, description: &str) -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_WINDOWS").is_none() || !can_link() {
        return Ok(());
    }
    WindowsResource::new()
        .set_manifest(MANIFEST)
        .set("ProductName", "Codex Sandbox")
        .set("FileDescription", description)
        .set("InternalName", program)
        .set("OriginalFilename", &format!("{program}.exe"))
        .set("LegalCopyright", "Licensed under the Apache License, Version 2.0")
        .compile_for(program)
}

/// Elsewhere than on Windows, programs for Microsoft's tools are only checked: there is no linker, nor a resource
/// compiler.
fn can_link() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    is("CARGO_CFG_TARGET_ENV", "gnu") || env::var("HOST").is_ok_and(|host| host.contains("windows"))
}
