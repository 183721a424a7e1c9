//! The escape attempts of `doctor --attack`, each inside and outside, as two kinds of users.

use super::harness::{Machine, User};

/// Wine 10 has no junctions, short names and streams: these need real Windows.
const NEED_REAL_WINDOWS: [&str; 3] = ["junction", "git-short-name", "git-stream"];

fn attempts(machine: &Machine, also_untried: &[&str]) {
    let ended = machine.program(["doctor", "--attack", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&ended.out)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", ended.text(), ended.err));
    let rows = report["attempts"].as_array().expect("a table");
    assert!(rows.len() >= 50, "{} attempts", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| {
            let name = row["attempt"].as_str().unwrap_or_default();
            let untried = NEED_REAL_WINDOWS.contains(&name) || also_untried.contains(&name);
            let may_be_untried = untried && row["end"] == "not-tried";
            row["end"] != "held" && !may_be_untried
        })
        .map(|row| format!("{} {}: {}", row["attempt"], row["end"], row["detail"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let left = std::fs::read_dir(machine.home()).expect("the profile").flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().contains("attack")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_attempt_fails_inside_and_succeeds_outside_for_an_elevated_administrator() {
    let Some(machine) = Machine::new("attempts, elevated administrator") else { return };
    attempts(&machine, &[]);
}

#[test]
fn every_attempt_fails_inside_and_succeeds_outside_for_a_filtered_administrator() {
    let Some(machine) = Machine::new("attempts, filtered administrator") else { return };
    // The lab's `-l` starts the program from an elevated process, whose level the program's own process object keeps: nobody but
    // an elevated process may open it for writing.
    attempts(&machine.user(User::Filtered), &["launcher-memory"]);
}
