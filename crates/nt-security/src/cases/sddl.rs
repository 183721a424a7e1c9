//! `nt-security sddl`: text to canonical text and to bytes, and back.

use nt_security::SecurityDescriptor;
use serde::Deserialize;

use super::error::CaseError;
use super::input::{Text, bytes, descriptor};
use super::report::Report;

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    sddl: Option<Text<'a>>,
    #[serde(default, borrow)]
    canonical: Option<Text<'a>>,
    #[serde(default, borrow)]
    sd_hex: Option<Text<'a>>,
}

/// Runs the case on one line.
pub(super) fn run(line: &str, report: &mut Report) -> Result<(), CaseError> {
    let case: Case<'_> = serde_json::from_str(line)?;
    let expected_bytes = case.sd_hex.as_ref().map(|digits| bytes(&digits.0)).transpose()?;
    let descriptor = match (&case.sddl, &expected_bytes) {
        (Some(text), _) => descriptor(&text.0, "sddl")?,
        (None, Some(bytes)) => SecurityDescriptor::from_self_relative(bytes)?,
        (None, None) => return Err(CaseError::Missing("sddl or sd_hex")),
    };
    let canonical = descriptor.to_sddl();
    let got_bytes = descriptor.to_self_relative()?;

    let text_is_right = case.canonical.as_ref().map(|expected| expected.0 == canonical);
    let bytes_are_right = expected_bytes.as_ref().map(|expected| *expected == got_bytes);
    let returns = SecurityDescriptor::from_sddl(&canonical).as_ref() == Ok(&descriptor)
        && SecurityDescriptor::from_self_relative(&got_bytes).as_ref() == Ok(&descriptor);
    let pass = match (text_is_right, bytes_are_right) {
        (None, None) => None,
        (text, bytes) => Some(text.unwrap_or(true) && bytes.unwrap_or(true) && returns),
    };
    report.start(case.name.as_ref().map(|name| name.0.as_ref()), pass);
    report.text("got", Some(&canonical));
    report.text("expected", case.canonical.as_ref().map(|text| text.0.as_ref()));
    if bytes_are_right == Some(false) {
        let digits: String = got_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        report.text("got_hex", Some(&digits));
        report.text("expected_hex", case.sd_hex.as_ref().map(|text| text.0.as_ref()));
    }
    Ok(())
}
