//! What the program prints about a described Windows host, through the real command line. `UPDATE_DOCS=1` writes what it prints now
//! to `tests/windows/`; without it, a difference is a failure, in continuous integration as everywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The hosts of docs/examples, each with three paths to explain.
const HOSTS: [(&str, [&str; 3]); 3] = [
    (
        "developer-laptop",
        [
            r"C:\Users\mia\src\app\src\main.rs",
            r"C:\Users\mia\src\app\GIT~1\config",
            r"C:\Users\mia\.gitconfig",
        ],
    ),
    (
        "managed-domain",
        [r"C:\dev\ledger\src\main.rs", r"C:\dev\ledger\.agents", r"C:\Users\j.müller\private\diary.txt"],
    ),
    ("administrators-drive", [r"D:\work\engine\README.md", r"D:\work\engine\.git", r"D:\out\report.txt"]),
];

fn facts(host: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/examples/{host}.facts.json"))
}

/// Runs the program with nobody's configuration.
fn program(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a temporary folder");
    Command::new(env!("CARGO_BIN_EXE_codex-sandbox"))
        .args(arguments)
        .env("CODEX_HOME", home.path())
        .output()
        .expect("the program is built")
}

/// The output of `command` about `host`.
fn about(host: &str, command: &str, more: &[&str]) -> Output {
    let facts = facts(host);
    let facts = facts.to_str().expect("the path of the tests is text");
    let mut arguments = vec![command, "--os", "windows", "--facts", facts];
    arguments.extend(more);
    program(&arguments)
}

/// Compares standard output with what is kept under `name`.
fn assert_kept(name: &str, output: &Output) {
    let text = String::from_utf8(output.stdout.clone()).expect("the output is text");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().expect("it has a folder"))
            .expect("the folder of the snapshots");
        std::fs::write(&file, &text).expect("the snapshot can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or_else(|| kept.lines().count().min(text.lines().count()));
    assert!(
        kept == text,
        "tests/windows/{name}, line {}:\n- {}\n+ {}\nif that is meant, run this test with UPDATE_DOCS=1",
        line + 1,
        kept.lines().nth(line).unwrap_or(""),
        text.lines().nth(line).unwrap_or("")
    );
}

fn assert_code(output: &Output, code: i32) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
}

#[test]
fn plan_of_each_example() {
    for (host, _) in HOSTS {
        let output = about(host, "plan", &[]);
        assert_code(&output, 0);
        assert_kept(&format!("{host}.plan.txt"), &output);
    }
}

#[test]
fn plan_as_json_of_each_example() {
    for (host, _) in HOSTS {
        let output = about(host, "plan", &["--json"]);
        assert_code(&output, 0);
        assert_kept(&format!("{host}.plan.json"), &output);
    }
}

#[test]
fn proof_of_each_example() {
    for (host, _) in HOSTS {
        let output = about(host, "plan", &["--prove"]);
        assert_code(&output, 0);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(", 0 violations"), "{text}");
        assert_kept(&format!("{host}.prove.txt"), &output);
    }
}

#[test]
fn explanations_of_each_example() {
    for (host, paths) in HOSTS {
        let mut arguments = vec!["--op", "write"];
        arguments.extend(paths);
        let output = about(host, "explain", &arguments);
        // Something of it is denied.
        assert_code(&output, 1);
        assert_kept(&format!("{host}.explain.txt"), &output);
        arguments.push("--json");
        let output = about(host, "explain", &arguments);
        assert_code(&output, 1);
        let answers: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answers.as_array().map(Vec::len), Some(paths.len()));
        assert_kept(&format!("{host}.explain.json"), &output);
    }
}

#[test]
fn a_path_that_is_allowed_alone_ends_with_success() {
    let output = about("developer-laptop", "explain", &["--op", "write", r"C:\Users\mia\src\app\README.md"]);
    assert_code(&output, 0);
}

#[test]
fn what_cannot_be_planned_is_an_error_that_says_why() {
    for (host, arguments, words) in [
        ("developer-laptop", ["-c", r#"windows.sandbox="elevated""#], "codex-sandbox setup"),
        ("developer-laptop", ["--mode", "danger-full-access"], "without a sandbox"),
        ("administrators-drive", ["--deny-read", r"D:\work\engine"], "label"),
    ] {
        let output = about(host, "plan", &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}

/// docs/windows-plan.md quotes what the program prints; `…` stands for lines that are left out.
#[test]
fn the_page_about_the_plan_quotes_real_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/windows-plan.md")).expect("the page is there");
    let quotes: Vec<&str> = page.split("```\n$ codex-sandbox ").skip(1).collect();
    assert_eq!(quotes.len(), 3);
    for quote in quotes {
        let (quote, _) = quote.split_once("\n```").expect("the quote ends");
        let mut lines = quote.lines();
        let arguments: Vec<String> = lines
            .next()
            .expect("a command")
            .split(' ')
            .map(|word| {
                if word.starts_with("docs/") {
                    root.join(word).display().to_string()
                } else {
                    word.to_owned()
                }
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = program(&arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let mut printed = text.lines();
        for line in lines.filter(|line| *line != "…") {
            assert!(
                printed.any(|other| other == line),
                "{arguments:?} does not print, or not in this order:\n{line}"
            );
        }
    }
}
