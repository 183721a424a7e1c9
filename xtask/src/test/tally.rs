//! Counting what passed, failed and was skipped, from what cargo's test runner prints.

use std::fmt;

/// The sum so far.
#[derive(Debug, Default)]
pub struct Tally {
    passed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    /// One more that passed.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// One more that failed; `what` names it.
    pub fn fail(&mut self, what: String) {
        println!("FAILED {what}");
        self.failures.push(what);
    }

    /// One more that could not run; `what` is its name and the reason.
    pub fn skip(&mut self, what: String) {
        println!("SKIPPED {what}");
        self.skips.push(what);
    }

    /// Whether something ran and nothing failed.
    pub fn is_green(&self) -> bool {
        self.failures.is_empty() && self.passed > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (reason, names) in by_reason(&self.skips) {
            writeln!(out, "skipped: {reason}: {}", names.join(", "))?;
        }
        for failure in &self.failures {
            writeln!(out, "failed: {failure}")?;
        }
        writeln!(out, "{} passed, {} failed, {} skipped", self.passed, self.failures.len(), self.skips.len())
    }
}

/// Groups `PART: NAME: REASON` by the reason, in the order of their first appearance: a machine without something skips
/// many tests for it.
fn by_reason(skips: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for skip in skips {
        let named = skip.match_indices(": ").nth(1).map(|(at, _)| (&skip[..at], &skip[at + 2..]));
        let (name, reason) = named.or_else(|| skip.split_once(": ")).unwrap_or((skip, "no reason given"));
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => groups.push((reason, vec![name])),
        }
    }
    groups
}

/// Reads the output of one `cargo test`.
#[derive(Debug)]
pub struct Reader<'a> {
    part: &'static str,
    tally: &'a mut Tally,
    /// Failures and skips before this run, to see what this run adds.
    failures_before: usize,
    passed_in_results: usize,
    failed_in_results: usize,
    /// Tests that skipped themselves.
    markers: usize,
}

impl<'a> Reader<'a> {
    /// A reader that adds to the tally under the part's name.
    pub fn new(part: &'static str, tally: &'a mut Tally) -> Self {
        let failures_before = tally.failures.len();
        Self { part, tally, failures_before, passed_in_results: 0, failed_in_results: 0, markers: 0 }
    }

    /// Takes one line of output.
    pub fn line(&mut self, line: &str) {
        if let Some(what) = line.strip_prefix("SKIPPED ") {
            self.markers += 1;
            self.tally.skips.push(format!("{}: {what}", self.part));
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed_in_results += count(counts, "passed");
            self.failed_in_results += count(counts, "failed");
        } else if let Some(test) = line.strip_prefix("test ") {
            self.test(test);
        }
    }

    fn test(&mut self, line: &str) {
        let Some((name, result)) = line.split_once(" ... ") else { return };
        // libtest-mimic aligns the results.
        let name = name.trim_end();
        if result.starts_with("FAILED") {
            self.tally.failures.push(format!("{}: {name}", self.part));
        } else if let Some(reason) = result.strip_prefix("ignored") {
            let own = reason.strip_prefix(", ");
            let mimic = || reason.strip_prefix(" (")?.strip_suffix(')');
            let reason = own.or_else(mimic).unwrap_or("marked #[ignore]");
            self.tally.skips.push(format!("{}: {name}: {reason}", self.part));
        }
    }

    /// At the end of the output: a run that failed, and a failure that has no name, must not get lost.
    pub fn end(self, succeeded: bool) {
        // A test that skips itself ends as passed, since the runner knows no other way out.
        self.tally.passed += self.passed_in_results.saturating_sub(self.markers);
        let named = self.tally.failures.len() - self.failures_before;
        for _ in named..self.failed_in_results {
            self.tally.failures.push(format!("{}: a test whose name could not be read", self.part));
        }
        if !succeeded && self.tally.failures.len() == self.failures_before {
            self.tally.fail(format!("{}: cargo failed before or after the tests", self.part));
        }
    }
}

/// The number before `word` in `5 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    counts
        .split([';', '.'])
        .filter_map(|item| item.trim().split_once(' '))
        .find(|(_, what)| *what == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, succeeded: bool) -> Tally {
        let mut tally = Tally::default();
        let mut reader = Reader::new("unit", &mut tally);
        output.lines().for_each(|line| reader.line(line));
        reader.end(succeeded);
        tally
    }

    fn last_line(tally: &Tally) -> String {
        tally.to_string().lines().last().unwrap_or_default().to_owned()
    }

    const GREEN: &str = "\
running 3 tests
test a::one ... ok
test a::two ... ignored, needs a printer
test b::three ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";

    #[test]
    fn results_of_several_programs_are_added_up() {
        let tally = read(&format!("{GREEN}\n{GREEN}"), true);
        assert_eq!(last_line(&tally), "4 passed, 0 failed, 2 skipped");
        assert!(tally.to_string().contains("skipped: needs a printer: unit: a::two, unit: a::two\n"));
        assert!(tally.is_green());
    }

    #[test]
    fn a_reason_in_the_manner_of_libtest_mimic_is_read() {
        let output = "\
test inside::user::kernel-crypto   ... ignored (no such family)
test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let tally = read(output, true);
        assert!(tally.to_string().contains("skipped: no such family: unit: inside::user::kernel-crypto\n"));
        assert_eq!(last_line(&tally), "0 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_failure_is_named_and_counted_once() {
        let output = "\
test a::one ... ok
test a::two ... FAILED
failures:
    a::two
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let tally = read(output, false);
        assert_eq!(last_line(&tally), "1 passed, 1 failed, 0 skipped");
        assert!(tally.to_string().contains("failed: unit: a::two"));
        assert!(!tally.is_green());
    }

    #[test]
    fn a_test_that_skips_itself_has_not_passed() {
        let output = "\
SKIPPED real_work::java: no java here
test real_work::java ... ok
test real_work::make ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(last_line(&read(output, true)), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_build_that_fails_is_a_failure() {
        let tally = read("error[E0308]: mismatched types", false);
        assert_eq!(last_line(&tally), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_failure_without_a_name_is_counted() {
        // With output that is not captured, the name and `FAILED` end up on different lines.
        let output = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(last_line(&read(output, false)), "1 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn nothing_that_ran_is_not_green() {
        assert!(!read("", true).is_green());
    }
}
