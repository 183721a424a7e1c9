//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The repository's top folder.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Where cargo builds: `$CARGO_TARGET_DIR`, or `target`.
pub fn target() -> PathBuf {
    top().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// `cargo` in the repository's top folder, without what the outer cargo told this program about itself.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(top()).env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    command
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).display().to_string();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.display().to_string());
    }
    line
}

/// Runs the command, output to the terminal.
///
/// # Errors
/// It could not be started, or failed.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}`: {status}", shown(command));
    }
    Ok(())
}

/// Runs the command and gives its standard output.
///
/// # Errors
/// It could not be started, failed (its standard error is in the error), or printed what is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}`: {}: {}", shown(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", shown(command)))
}

/// How long a watched command may print nothing before it counts as hanging.
const SILENCE: Duration = Duration::from_secs(600);

/// Runs the command, shows its output and hands each line of it to `each`. Whether it succeeded; a command that prints
/// nothing for ten minutes is killed with all that it started, and has not.
///
/// # Errors
/// It could not be started, or reading its output failed.
pub fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    println!("$ {}", shown(command));
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
    // The command keeps its ends of the pipe open in this process until they are replaced: else no end of file.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let lines = read_lines(reader);
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                let text = line?;
                print!("{text}");
                each(text.trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!("killed: no output for {} s", SILENCE.as_secs());
                kill(&descendants(child.id()))?;
                break;
            }
        }
    }
    Ok(child.wait()?.success())
}

/// The lines, with their ends, as they come.
fn read_lines(reader: PipeReader) -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let item = match reader.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
                Err(error) => Err(error),
            };
            if sender.send(item).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The process and all that it started, parents before children.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.extend(descendants(child));
        }
    }
    found
}

/// Kills processes that this program started.
fn kill(pids: &[u32]) -> Result<()> {
    // Some may be gone by now, for which kill(1) fails.
    Command::new("kill")
        .arg("-KILL")
        .args(pids.iter().map(u32::to_string))
        .output()
        .context("cannot start kill")?;
    Ok(())
}

/// The program's path, if it is on PATH.
pub fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let program = program.as_ref();
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_sees_both_streams_and_the_result() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let succeeded = watch(&mut command, |line| lines.push(line.to_owned())).expect("sh is there");
        assert!(!succeeded);
        assert_eq!(lines, ["out", "err"]);
    }

    #[test]
    fn a_failed_command_says_what_it_printed() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("exit 3");
        assert!(error.to_string().contains("why"), "{error}");
    }
}
