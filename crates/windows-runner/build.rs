//! On Windows the program carries a manifest and its version.

fn main() -> std::io::Result<()> {
    codex_sandbox_windows_resources::embed(
        "codex-command-runner",
        "Codex Sandbox: starts commands as a sandbox account",
    )
}
