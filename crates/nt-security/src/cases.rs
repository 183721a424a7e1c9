//! Files of cases: one JSON object on each line, one line of JSON for the answer. docs/nt-security.md describes them.

use std::io::{self, BufRead, Write};

mod check;
mod delete;
mod error;
mod inherit;
mod input;
mod report;
mod sddl;
mod token;

use error::CaseError;
use report::Report;

/// What a file asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseKind {
    /// One access check each.
    Check,
    /// The descriptor of a new child.
    Inherit,
    /// Whether a file can be deleted.
    Delete,
    /// SDDL to canonical SDDL and to bytes.
    Sddl,
}

impl CaseKind {
    /// The kind that a subcommand names.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "check" => Self::Check,
            "inherit" => Self::Inherit,
            "delete" => Self::Delete,
            "sddl" => Self::Sddl,
            _ => return None,
        })
    }

    fn run_case(self, line: &[u8], report: &mut Report) -> Result<(), CaseError> {
        // Once for the line is cheaper than once for each text in it.
        let line = std::str::from_utf8(line)?;
        match self {
            Self::Check => check::run(line, report),
            Self::Inherit => inherit::run(line, report),
            Self::Delete => delete::run(line, report),
            Self::Sddl => sddl::run(line, report),
        }
    }
}

/// How many cases came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Cases that say nothing of what to expect.
    pub(crate) unjudged: u64,
    /// Lines that are no case.
    pub(crate) malformed: u64,
}

impl Summary {
    fn count(&mut self, pass: Option<bool>) {
        match pass {
            Some(true) => self.passed += 1,
            Some(false) => self.failed += 1,
            None => self.unjudged += 1,
        }
    }
}

/// Runs every line of `input`. A line that is no case is named on `errors`, and the rest is run all the same.
///
/// # Errors
/// Reading or writing fails.
pub(crate) fn run(
    kind: CaseKind,
    mut input: impl BufRead,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut report = Report::default();
    let mut line = Vec::new();
    let mut number = 0u64;
    while input.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        let case = line.trim_ascii();
        if !case.is_empty() {
            match kind.run_case(case, &mut report) {
                Ok(()) => {
                    summary.count(report.pass());
                    output.write_all(report.finish())?;
                }
                Err(error) => {
                    summary.malformed += 1;
                    writeln!(errors, "line {number}: {}: {error}", error.code())?;
                }
            }
            report.clear();
        }
        line.clear();
    }
    writeln!(
        output,
        "{{\"summary\":true,\"passed\":{},\"failed\":{},\"unjudged\":{},\"malformed\":{}}}",
        summary.passed, summary.failed, summary.unjudged, summary.malformed
    )?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_text(kind: CaseKind, text: &str) -> (Summary, String, String) {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let summary = run(kind, text.as_bytes(), &mut output, &mut errors).unwrap();
        (summary, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[test]
    fn a_malformed_line_is_named_and_the_rest_is_run() {
        let good = r#"{"name":"a","sddl":"D:","canonical":"D:"}"#;
        let (summary, output, errors) = run_text(CaseKind::Sddl, &format!("{{\n\n{good}\n"));
        assert_eq!(summary, Summary { passed: 1, malformed: 1, ..Summary::default() });
        assert!(errors.starts_with("line 1: case-json: "), "{errors}");
        assert_eq!(output.lines().count(), 2);
    }

    #[test]
    fn a_case_that_expects_nothing_is_not_judged() {
        let (summary, output, _) = run_text(CaseKind::Sddl, r#"{"sddl":"D:"}"#);
        assert_eq!(summary, Summary { unjudged: 1, ..Summary::default() });
        assert!(output.starts_with(r#"{"name":null,"pass":null,"got":"D:","expected":null"#), "{output}");
    }

    #[test]
    fn a_wrong_expectation_fails() {
        let case = r#"{"name":"x","sddl":"O:BA","canonical":"O:S-1-5-32-545"}"#;
        let (summary, output, _) = run_text(CaseKind::Sddl, case);
        assert_eq!(summary.failed, 1);
        assert!(output.contains(r#""got":"O:S-1-5-32-544","expected":"O:S-1-5-32-545""#), "{output}");
    }

    #[test]
    fn every_form_of_token_and_number_is_read() {
        let cases = [
            r#"{"name":"short","sddl":"D:(A;;FA;;;BU)","token":{"user":"S-1-5-21-1-2-3-4","groups":["BU"]},"desired":1,"expected_granted":1}"#,
            r#"{"name":"long","sd_hex":"0100048000000000000000000000000014000000020008000000000000000000","token":{"user":{"sid":"S-1-5-18"},"groups":null,"restricted":null,"privileges":null},"desired":"0x2","mapping":"key","expected_granted":"0x00000000","status":"STATUS_ACCESS_DENIED"}"#,
            r#"{"name":"escaped \"name\"","sddl":"D:(A;;FA;;;WD)","token":{"user":{"sid":"SY","deny_only":true},"groups":[{"sid":"WD","attrs":"0x7"}],"restricted":[{"sid":"WD"}],"write_restricted":true,"privileges":["SeDebugPrivilege",{"name":"SeSecurityPrivilege","enabled":false}],"integrity":"S-1-16-8192"},"desired":"1179785","mapping":{"read":"0x120089","write":1179926,"execute":"0x1200a0","all":"0x1f01ff"},"expected_granted":"0x00120089","status":"STATUS_SUCCESS"}"#,
        ];
        let (summary, output, errors) = run_text(CaseKind::Check, &cases.join("\n"));
        assert_eq!(summary, Summary { passed: 3, ..Summary::default() }, "{output}{errors}");
        assert!(output.contains(r#"{"name":"escaped \"name\"","pass":true"#), "{output}");
    }
}
