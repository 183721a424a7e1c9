//! `nt-security check`: one access check for each case.

use nt_security::{AccessMask, Outcome, Query, Readings, SecurityDescriptor, Sid, certain_verdict};
use serde::Deserialize;

use super::error::CaseError;
use super::input::{Mapping, Text, bytes, descriptor};
use super::report::Report;
use super::token::TokenField;

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    sddl: Option<Text<'a>>,
    #[serde(default, borrow)]
    sd_hex: Option<Text<'a>>,
    #[serde(borrow)]
    token: TokenField<'a>,
    desired: AccessMask,
    #[serde(default)]
    mapping: Mapping,
    #[serde(default)]
    principal_self: Option<Sid>,
    #[serde(default)]
    expected_granted: Option<AccessMask>,
    #[serde(default, borrow)]
    status: Option<Text<'a>>,
}

impl Case<'_> {
    /// The text is taken where both are given; that they agree is for `nt-security sddl` to say.
    fn descriptor(&self) -> Result<SecurityDescriptor, CaseError> {
        match (&self.sddl, &self.sd_hex) {
            (Some(text), _) => descriptor(&text.0, "sddl"),
            (None, Some(digits)) => Ok(SecurityDescriptor::from_self_relative(&bytes(&digits.0)?)?),
            (None, None) => Err(CaseError::Missing("sddl or sd_hex")),
        }
    }
}

/// Runs the case on one line.
pub(super) fn run(line: &str, report: &mut Report) -> Result<(), CaseError> {
    let case: Case<'_> = serde_json::from_str(line)?;
    let descriptor = case.descriptor()?;
    let token = case.token.token()?;
    let mut query = Query::new(&descriptor, &token, case.desired, case.mapping.0);
    query.principal_self = case.principal_self;
    let (verdict, outcome, generous) = certain_verdict(&query, &Readings::default());

    let granted = case.expected_granted.map(|mask| mask == verdict.granted);
    let status = case.status.as_ref().map(|text| text.0 == verdict.status.name());
    let pass = match (granted, status) {
        (None, None) => None,
        (granted, status) => Some(granted.unwrap_or(true) && status.unwrap_or(true)),
    };
    report.start(case.name.as_ref().map(|name| name.0.as_ref()), pass);
    report.mask("got", Some(verdict.granted));
    report.mask("expected", case.expected_granted);
    report.text("status", Some(verdict.status.name()));
    if status == Some(false) {
        report.text("expected_status", case.status.as_ref().map(|text| text.0.as_ref()));
    }
    if let Outcome::Unknown { .. } = outcome {
        report.text("certainty", Some("readings differ"));
        report.mask("generous", Some(generous.granted));
    }
    Ok(())
}
