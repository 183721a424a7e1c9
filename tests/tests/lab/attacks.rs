//! The escape attempts of `doctor --attack`, each inside and outside, as each kind of user and in both readings of "write".

use super::harness::{Machine, User};

/// Wine 10 has no junctions, short names, streams, global root and administrative shares: these need real Windows.
const NEED_REAL_WINDOWS: [&str; 7] = [
    "junction",
    "git-short-name",
    "git-stream",
    "global-root",
    "unc-loopback",
    "stream-outside",
    "stream-git",
];

fn attempts(machine: &Machine) {
    // The lab's `-l` and `-u` start the program from an elevated process, whose level the program's own process object keeps: one
    // more process in between has that of its token.
    let own = machine.own_path();
    let ended = machine.outside(["cmd", "/c", &own, "doctor", "--attack", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&ended.out)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", ended.text(), ended.err));
    let rows = report["attempts"].as_array().expect("a table");
    assert!(rows.len() >= 87, "{} attempts", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| {
            let name = row["attempt"].as_str().unwrap_or_default();
            let may_be_untried = NEED_REAL_WINDOWS.contains(&name) && row["end"] == "not-tried";
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
    attempts(&machine);
}

#[test]
fn every_attempt_fails_inside_and_succeeds_outside_for_a_filtered_administrator() {
    let Some(machine) = Machine::new("attempts, filtered administrator") else { return };
    attempts(&machine.user(User::Filtered));
}

#[test]
fn every_attempt_fails_inside_and_succeeds_outside_for_a_standard_user() {
    let Some(machine) = Machine::new("attempts, standard user") else { return };
    attempts(&machine.user(User::Standard));
}

#[test]
fn every_attempt_fails_inside_in_the_strict_reading_too() {
    let Some(machine) = Machine::reading("attempts, strict reading", "strict") else { return };
    attempts(&machine.user(User::Filtered));
}
