//! On Windows the program carries a manifest and its version.

fn main() -> std::io::Result<()> {
    codex_sandbox_windows_resources::embed("codex-sandbox", "Codex Sandbox: runs a command within limits")
}
