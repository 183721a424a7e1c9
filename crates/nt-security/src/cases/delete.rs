//! `nt-security delete`: opening a file with DELETE, which its folder may grant too.

use nt_security::AccessMask;
use nt_security::file_rules::{Node, Operator};
use serde::Deserialize;

use super::error::CaseError;
use super::input::{Text, descriptor};
use super::report::Report;
use super::token::TokenField;

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    parent_sddl: Option<Text<'a>>,
    #[serde(borrow)]
    child_sddl: Text<'a>,
    #[serde(borrow)]
    token: TokenField<'a>,
    #[serde(default)]
    desired: Option<AccessMask>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    expected_allowed: Option<bool>,
    #[serde(default)]
    needs_parent_file_delete_child: Option<bool>,
}

/// Runs the case on one line.
pub(super) fn run(line: &str, report: &mut Report) -> Result<(), CaseError> {
    let case: Case<'_> = serde_json::from_str(line)?;
    let parent = case.parent_sddl.as_ref().map(|text| descriptor(&text.0, "parent_sddl")).transpose()?;
    let child = descriptor(&case.child_sddl.0, "child_sddl")?;
    let token = case.token.token()?;
    let node =
        Node { descriptor: &child, parent: parent.as_ref(), is_folder: false, is_read_only: case.read_only };
    let desired = case.desired.unwrap_or(AccessMask::DELETE);
    let decision = Operator::new(&token).open(&node, desired);

    let allowed = decision.is_allowed();
    let by_parent = decision.by_parent.contains(AccessMask::DELETE);
    let expected_by_parent = case.needs_parent_file_delete_child;
    let pass = case.expected_allowed.map(|expected| {
        expected == allowed && expected_by_parent.is_none_or(|expected| expected == by_parent)
    });
    report.start(case.name.as_ref().map(|name| name.0.as_ref()), pass);
    report.bool("got", Some(allowed));
    report.bool("expected", case.expected_allowed);
    report.bool("needs_parent_file_delete_child", Some(by_parent));
    if expected_by_parent.is_some_and(|expected| expected != by_parent) {
        report.bool("expected_needs_parent_file_delete_child", expected_by_parent);
    }
    Ok(())
}
