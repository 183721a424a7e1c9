//! The table as text: for each kind of object what was asked, and how it came out.

use std::collections::BTreeMap;
use std::fmt;

use super::{Proof, Row, Says, Status, SubjectKind};

/// How many rows came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Policy and verdict agree, with every wall that there is.
    pub hold: usize,
    /// They agree by one wall.
    pub one_wall: usize,
    /// Declared as not enforced.
    pub declared: usize,
    /// Declared as stricter.
    pub stricter: usize,
    /// Against the plan.
    pub violations: usize,
}

impl Counts {
    /// Counts rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            let slot = match row.status {
                Status::Holds => &mut counts.hold,
                Status::OneWall { .. } => &mut counts.one_wall,
                Status::Declared { .. } => &mut counts.declared,
                Status::Stricter { .. } => &mut counts.stricter,
                Status::Hole | Status::Refused | Status::WallMissing { .. } => &mut counts.violations,
            };
            *slot += 1;
        }
        counts
    }
}

impl SubjectKind {
    /// The name in tables.
    pub fn name(self) -> String {
        let text = format!("{self:?}");
        let mut name = String::new();
        for (at, c) in text.char_indices() {
            if c.is_ascii_uppercase() && at > 0 {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }
}

/// Rows of one kind and operation that came out alike.
type Group<'a> = BTreeMap<(SubjectKind, &'a str, &'static str, &'static str, String), usize>;

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Group<'_> = BTreeMap::new();
        for row in &self.rows {
            let key =
                (row.kind, row.op.as_str(), row.policy.word(), row.verdict.word(), outcome(&row.status));
            *groups.entry(key).or_default() += 1;
        }
        writeln!(
            f,
            "{:<16} {:<18} {:<6} {:<7} {:>5}  outcome",
            "object", "operation", "policy", "windows", "rows"
        )?;
        for ((kind, op, policy, verdict, outcome), count) in groups {
            writeln!(f, "{:<16} {op:<18} {policy:<6} {verdict:<7} {count:>5}  {outcome}", kind.name())?;
        }
        for row in self.violations() {
            let says = |says: Says| says.word();
            writeln!(
                f,
                "VIOLATION {} {}: policy {}, windows {} ({})",
                row.op,
                row.object,
                says(row.policy),
                says(row.verdict),
                row.rule
            )?;
        }
        let counts = Counts::of(&self.rows);
        writeln!(
            f,
            "{} rows, {} tier: {} hold, {} hold by one wall, {} declared as not enforced, {} stricter, {} violations",
            self.rows.len(),
            self.tier.name(),
            counts.hold,
            counts.one_wall,
            counts.declared,
            counts.stricter,
            counts.violations
        )
    }
}

fn outcome(status: &Status) -> String {
    match status {
        Status::Holds => "holds".to_owned(),
        Status::OneWall { why } => format!("holds by one wall: {why}"),
        Status::Declared { gap } => format!("not enforced, and said so: {gap}"),
        Status::Stricter { limit } => format!("stricter, and said so: {limit}"),
        Status::Hole => "HOLE".to_owned(),
        Status::Refused => "REFUSED".to_owned(),
        Status::WallMissing { wall } => format!("MISSING WALL: {wall}"),
    }
}
