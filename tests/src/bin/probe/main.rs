//! Tries single system calls and prints for each `ok` or the error's name, one a line.
//!
//! ```text
//! codex-sandbox-probe create FILE , rename FROM TO , connect-tcp 127.0.0.1:80
//! codex-sandbox-probe without-namespaces -- CMD ARGS…
//! ```
//!
//! The second form runs a command under a filter that refuses new namespaces, as container engines' default filters do;
//! `without-sandboxing` also refuses Landlock, as a kernel without it.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod errors;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod refuse;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::ffi::OsString;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(command) = words.strip_prefix(&["without-namespaces".into(), "--".into()]) {
        return refuse::run(command, refuse::Refused::Namespaces);
    }
    if let Some(command) = words.strip_prefix(&["without-sandboxing".into(), "--".into()]) {
        return refuse::run(command, refuse::Refused::AllSandboxing);
    }
    for op in words.split(|word| word == ",").filter(|op| !op.is_empty()) {
        let name = op[0].to_string_lossy();
        let args: Vec<&std::path::Path> = op[1..].iter().map(std::path::Path::new).collect();
        let Some(result) = files::run(&name, &args).or_else(|| network::run(&name, &args)) else {
            say(&format!("no such operation, or not with so many arguments: {name}"));
            return std::process::ExitCode::from(2);
        };
        say(&errors::shown(result));
    }
    std::process::ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _reader_went_away = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(not(target_os = "linux"))]
fn main() {}
