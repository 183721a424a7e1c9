//! Names as people may see them: a file's name can hold whatever a terminal obeys.

use std::fmt::Write;

/// `text` in one line, with control characters and those that change the direction of writing as `\\x1b`, `\\n`, `\\u{202e}`.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() => {
                // Formatting into a String cannot fail.
                let _infallible = write!(shown, "\\x{:02x}", u32::from(c));
            }
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// A path in one line, as [`line`].
pub fn path(path: &std::path::Path) -> String {
    line(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(line("a\x1b]0;x\x07\nb\u{202e}c\u{9b}31m"), "a\\x1b]0;x\\x07\\nb\\u{202e}c\\x9b31m");
        assert_eq!(line("grün 名前 .git"), "grün 名前 .git");
    }
}
