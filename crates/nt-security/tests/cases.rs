//! The command on the case files: the sample in `tests/data` always, and the whole set where it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nt_security::SecurityDescriptor;
use serde_json::Value;

/// The case files, the subcommand that runs each, and how many cases the whole set has.
const FILES: [(&str, &str, usize); 5] = [
    ("access-named.jsonl", "check", 150),
    ("access-random.jsonl", "check", 3000),
    ("delete.jsonl", "delete", 600),
    ("inherit.jsonl", "inherit", 647),
    ("sddl.jsonl", "sddl", 300),
];

/// Runs a file and gives the answers, without the summary, which must say the same.
fn answers(subcommand: &str, file: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_nt-security")).arg(subcommand).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    let failed: Vec<&Value> = lines.iter().filter(|line| line["pass"] != true).collect();
    assert!(failed.is_empty(), "{}: {} fail: {:#?}", file.display(), failed.len(), failed.first());
    assert_eq!(summary["passed"], lines.len());
    assert_eq!(summary["malformed"], 0, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    lines
}

fn cases(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where the readings differ the answer says so, and gives the other reading's verdict too.
fn mixed_requests_are_unsure(file: &Path, answers: &[Value]) -> usize {
    let mut count = 0;
    for (case, answer) in cases(file).iter().zip(answers) {
        let other = &case["mixed_request_sensitive"]["expected_granted"];
        assert_eq!(answer["generous"], *other, "{}", case["name"]);
        assert_eq!(answer["certainty"].is_null(), other.is_null(), "{}", case["name"]);
        count += usize::from(!other.is_null());
    }
    count
}

fn run_all(folder: &Path) -> Vec<usize> {
    FILES
        .iter()
        .map(|(name, subcommand, _)| {
            let file = folder.join(name);
            let answers = answers(subcommand, &file);
            if *subcommand == "check" {
                assert!(mixed_requests_are_unsure(&file, &answers) >= 2, "{name}");
            }
            answers.len()
        })
        .collect()
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// `../shared/cases` seen from the project's root.
fn whole_set() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases")
}

#[test]
fn every_case_of_the_sample_passes() {
    let counts = run_all(&sample());
    assert!(counts.iter().all(|count| *count >= 50), "{counts:?}");
}

#[test]
fn every_case_of_the_whole_set_passes() {
    let folder = whole_set();
    if !folder.is_dir() {
        // Not through `println!`, which a passing test swallows.
        let reason = format!("skipped: {} is not there; tests/data was run instead\n", folder.display());
        std::io::stderr().write_all(reason.as_bytes()).unwrap();
        return;
    }
    let expected: Vec<usize> = FILES.iter().map(|(_, _, count)| *count).collect();
    assert_eq!(run_all(&folder), expected);
}

#[test]
fn text_and_bytes_of_a_case_are_the_same_descriptor() {
    let with_bytes = cases(&sample().join("access-named.jsonl"));
    for case in &with_bytes {
        let text = case["sddl"].as_str().unwrap();
        let bytes: Vec<u8> = case["sd_hex"]
            .as_str()
            .unwrap()
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let descriptor = SecurityDescriptor::from_sddl(text).unwrap();
        assert_eq!(SecurityDescriptor::from_self_relative(&bytes), Ok(descriptor.clone()), "{text}");
        assert_eq!(descriptor.to_self_relative(), Ok(bytes), "{text}");
    }
}

/// Runs the command on a text, as `nt-security check < file` does, and gives exit code, output and errors.
fn pipe(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nt-security"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let (mut output, mut errors) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (child.wait().unwrap().code().unwrap(), output, errors)
}

#[test]
fn the_exit_code_says_what_came_of_it() {
    let right = r#"{"name":"a","sddl":"O:BA","canonical":"O:S-1-5-32-544"}"#;
    let wrong = r#"{"name":"a","sddl":"O:BA","canonical":"O:S-1-5-32-545"}"#;
    assert_eq!(pipe(&["sddl"], right).0, 0);
    assert_eq!(pipe(&["sddl"], wrong).0, 1);
    let (code, output, errors) = pipe(&["sddl"], &format!("{right}\n{{\"sddl\":\"O:ZZ\"}}\n{wrong}"));
    assert_eq!(code, 2);
    assert_eq!(
        errors,
        "line 2: sddl-alias: sddl: at byte 2 of the SDDL text: no SID alias of these letters\n"
    );
    assert!(
        output.ends_with("{\"summary\":true,\"passed\":1,\"failed\":1,\"unjudged\":0,\"malformed\":1}\n")
    );
}

#[test]
fn a_wrong_call_is_answered_with_the_usage() {
    for arguments in [&[][..], &["chek"], &["check", "a", "b"]] {
        let (code, output, errors) = pipe(arguments, "");
        assert_eq!((code, output.as_str()), (2, ""));
        assert!(errors.starts_with("usage: nt-security"), "{errors}");
    }
    let (code, _, errors) = pipe(&["check", "/no/such/file"], "");
    assert_eq!(code, 2);
    assert!(errors.contains("cannot read /no/such/file"), "{errors}");
    assert_eq!(pipe(&["--help"], "").0, 0);
}
