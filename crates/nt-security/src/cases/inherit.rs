//! `nt-security inherit`: the descriptor of a new child.

use nt_security::inherit::{ChildKind, Creation, new_child};
use nt_security::{AclField, Control, SecurityDescriptor, Sid, Token, well_known};
use serde::Deserialize;

use super::error::CaseError;
use super::input::{Mapping, Text, descriptor};
use super::report::Report;
use super::token::TokenField;

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    parent_sddl: Option<Text<'a>>,
    #[serde(borrow)]
    child: Text<'a>,
    #[serde(default, borrow)]
    creator_sddl: Option<Text<'a>>,
    #[serde(default, borrow)]
    token: Option<TokenField<'a>>,
    #[serde(default)]
    owner: Option<Sid>,
    #[serde(default)]
    group: Option<Sid>,
    #[serde(default, borrow)]
    default_dacl: Option<Text<'a>>,
    #[serde(default)]
    mapping: Mapping,
    #[serde(default, borrow)]
    expected_child_sddl: Option<Text<'a>>,
    #[serde(default, borrow)]
    expected_child_dacl: Option<Text<'a>>,
}

impl Case<'_> {
    /// The creator's token: that of the case, with the case's owner, group and default DACL over it.
    fn token(&mut self) -> Result<Token, CaseError> {
        let owner = self.owner;
        let mut token = match self.token.take() {
            Some(field) => field.token()?,
            None => Token::new(owner.unwrap_or(well_known::NULL)),
        };
        token.default_owner = owner.or(token.default_owner);
        token.primary_group = self.group.or(token.primary_group);
        if let Some(text) = &self.default_dacl {
            token.default_dacl = descriptor(&text.0, "default_dacl")?.dacl().cloned();
        }
        Ok(token)
    }
}

fn kind(word: &str) -> Result<ChildKind, CaseError> {
    match word {
        "file" | "leaf" => Ok(ChildKind::Leaf),
        "dir" | "directory" | "folder" | "container" => Ok(ChildKind::Container),
        _ => Err(CaseError::Word { field: "child", found: word.to_owned(), expected: "file, dir" }),
    }
}

/// Runs the case on one line.
pub(super) fn run(line: &str, report: &mut Report) -> Result<(), CaseError> {
    let mut case: Case<'_> = serde_json::from_str(line)?;
    let read =
        |text: &Option<Text<'_>>, field| text.as_ref().map(|text| descriptor(&text.0, field)).transpose();
    let parent = read(&case.parent_sddl, "parent_sddl")?;
    let creator = read(&case.creator_sddl, "creator_sddl")?;
    let token = case.token()?;
    let child = new_child(&Creation {
        parent: parent.as_ref(),
        creator: creator.as_ref(),
        token: &token,
        kind: kind(&case.child.0)?,
        mapping: case.mapping.0,
    });

    let whole = read(&case.expected_child_sddl, "expected_child_sddl")?;
    let dacl = read(&case.expected_child_dacl, "expected_child_dacl")?;
    let pass = match (&whole, &dacl) {
        (None, None) => None,
        (whole, dacl) => Some(
            whole.as_ref().is_none_or(|expected| *expected == child)
                && dacl.as_ref().is_none_or(|expected| same_dacl(expected, &child)),
        ),
    };
    let expected = case.expected_child_sddl.as_ref().or(case.expected_child_dacl.as_ref());
    let got = if whole.is_none() && dacl.is_some() { dacl_alone(&child) } else { child };
    report.start(case.name.as_ref().map(|name| name.0.as_ref()), pass);
    report.text("got", Some(&got.to_sddl()));
    report.text("expected", expected.map(|text| text.0.as_ref()));
    Ok(())
}

/// The DACL with the control bits that belong to it.
fn dacl_alone(descriptor: &SecurityDescriptor) -> SecurityDescriptor {
    let of_dacl = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED | Control::DACL_AUTO_INHERIT_REQ;
    SecurityDescriptor {
        control: descriptor.control & of_dacl,
        dacl: descriptor.dacl.clone(),
        ..SecurityDescriptor::default()
    }
}

/// The format writes a child without a DACL as `D:`, as its notes say.
fn same_dacl(expected: &SecurityDescriptor, child: &SecurityDescriptor) -> bool {
    let mut got = dacl_alone(child);
    if got.dacl == AclField::Absent {
        got.dacl = AclField::List(nt_security::Acl::default());
    }
    *expected == got
}
