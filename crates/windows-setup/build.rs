//! On Windows the program carries a manifest and its version.

fn main() -> std::io::Result<()> {
    codex_sandbox_windows_resources::embed(
        "codex-windows-sandbox-setup",
        "Codex Sandbox: sets this machine up for sandbox accounts",
    )
}
