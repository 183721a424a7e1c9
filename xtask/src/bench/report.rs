//! The page of results.

use std::fmt;

/// One section's table.
#[derive(Debug, Default)]
pub struct Table {
    title: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub fn new<const N: usize>(title: &'static str, head: [&'static str; N]) -> Self {
        Self { title, head: head.to_vec(), ..Self::default() }
    }

    /// Adds a row, as many cells as the head has.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "{}", self.title);
        self.rows.push(cells.into());
    }

    /// Adds a paragraph under the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "## {}\n", self.title)?;
        writeln!(out, "| {} |", self.head.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(self.head.len()))?;
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | "))?;
        }
        for note in &self.notes {
            writeln!(out, "\n{note}")?;
        }
        Ok(())
    }
}

/// All tables.
#[derive(Debug, Default)]
pub struct Report {
    /// In order.
    pub tables: Vec<Table>,
}

impl Report {
    /// The page, with the lines about the machine.
    pub fn text(&self, machine: &[String]) -> String {
        let mut text = String::from(HEAD);
        for line in machine {
            text.push_str(&format!("* {line}\n"));
        }
        for table in &self.tables {
            text.push_str(&format!("\n{table}"));
        }
        text
    }
}

const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench`; run it again to repeat them (as root it measures as the ordinary user `codexsb-test`; it
installs what it needs with apt-get where it may). `cargo xtask bench --only SECTION` measures one section and only
prints it. Ratios are of figures taken in one run, since seconds differ between machines; the machine should be idle.

Times are medians. \"Added\" is the time of the command in the sandbox less that of the bare command.

";

/// Milliseconds, from seconds.
pub fn ms(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

/// A ratio as a factor.
pub fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

/// `met` or `missed`, with the target.
pub fn verdict(value: f64, at_most: f64, unit: &str) -> String {
    let word = if value <= at_most { "met" } else { "**missed**" };
    format!("at most {at_most}{unit}: {word}")
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        let shown: Vec<String> = [7, 999, 1000, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("T", ["a", "b"]);
        table.row(["1".to_owned(), "2".to_owned()]);
        table.note("Note.");
        assert_eq!(table.to_string(), "## T\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nNote.\n");
    }

    #[test]
    fn a_target_is_met_up_to_its_value() {
        assert_eq!(verdict(0.6, 0.6, " ×"), "at most 0.6 ×: met");
        assert!(verdict(0.61, 0.6, "").contains("missed"));
    }
}
