//! Protected names: path components that stay read-only inside every root, in any spelling a file system may fold.

use std::ffi::{OsStr, OsString};

/// The set of protected component names, stored folded.
///
/// Two names are equal here when some file system that we know of could take them for the same: ASCII and simple Unicode
/// case folding, and code points that ext4's and F2FS' casefold tables ignore (zero-width joiners and their kin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedNames {
    folded: Vec<String>,
    written: Vec<OsString>,
}

impl ProtectedNames {
    /// Takes names as the user wrote them; each must be one path component (see [`is_component`]).
    pub fn new<I, S>(names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let written: Vec<OsString> = names.into_iter().map(Into::into).collect();
        let folded = written.iter().map(|name| fold(name.as_encoded_bytes())).collect();
        Self { folded, written }
    }

    /// The protected name that `component` is a spelling of, as the user wrote it.
    pub fn find(&self, component: &[u8]) -> Option<&OsStr> {
        self.find_plain(component).or_else(|| self.find_plain(plain(component)))
    }

    fn find_plain(&self, component: &[u8]) -> Option<&OsStr> {
        let position = if component.is_ascii() {
            self.folded.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(component))
        } else {
            let folded = fold(component);
            self.folded.iter().position(|name| *name == folded)
        };
        let position = position.or_else(|| self.folded.iter().position(|name| is_short(name, component)));
        position.map(|index| self.written[index].as_os_str())
    }

    /// The names as the user wrote them.
    pub fn iter(&self) -> impl Iterator<Item = &OsStr> {
        self.written.iter().map(OsString::as_os_str)
    }
}

/// What FAT and NTFS make of a name: it ends at a stream, and blanks and dots at its end are dropped.
fn plain(component: &[u8]) -> &[u8] {
    let stem = component.split(|byte| *byte == b':').next().unwrap_or_default();
    let kept = stem.iter().rposition(|byte| *byte != b' ' && *byte != b'.').map_or(0, |at| at + 1);
    &stem[..kept]
}

/// Whether `component` can be the short name (8.3) of `name`: `GIT~1` for `.git`.
fn is_short(name: &str, component: &[u8]) -> bool {
    let Some(tilde) = component.iter().position(|byte| *byte == b'~') else { return false };
    let (start, number) = (&component[..tilde], &component[tilde + 1..]);
    let letters: Vec<u8> = name.bytes().filter(u8::is_ascii_alphanumeric).collect();
    !number.is_empty()
        && number.iter().all(u8::is_ascii_digit)
        && !start.is_empty()
        && start.len() <= 6
        && start.len() == letters.len().min(6)
        && letters[..start.len()].eq_ignore_ascii_case(start)
}

/// Whether `name` can be one component of a path: not empty, not `.` or `..`, no separator, no NUL.
pub fn is_component(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

/// `name` folded for comparison. Bytes that are not UTF-8 are kept out of the fold (no file system folds them).
pub(crate) fn fold(name: &[u8]) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in String::from_utf8_lossy(name).chars().filter(|c| !ignorable(*c)) {
        match ligature(c) {
            Some(letters) => folded.push_str(letters),
            None => folded.extend(fold_char(c)),
        }
    }
    folded
}

/// Characters whose full case folding is several letters of ASCII (CaseFolding.txt, status F).
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{df}' | '\u{1e9e}' => "ss",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

/// Simple case folding; the two extra letters fold to ASCII although `to_lowercase` leaves the first as it is.
fn fold_char(c: char) -> impl Iterator<Item = char> {
    let c = match c {
        '\u{17f}' => 's',  // LATIN SMALL LETTER LONG S
        '\u{212a}' => 'k', // KELVIN SIGN
        other => other,
    };
    c.to_lowercase()
}

/// Unicode's Default_Ignorable_Code_Point, which casefold tables drop (Linux' `utf8nfdicf`, HFS+).
fn ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> ProtectedNames {
        ProtectedNames::new([".git", ".codex", ".agents"])
    }

    #[test]
    fn any_letter_case_is_the_same_name() {
        for spelling in [".git", ".GIT", ".Git", ".cOdEx", ".AGENTS"] {
            assert!(names().find(spelling.as_bytes()).is_some(), "{spelling}");
        }
    }

    #[test]
    fn spellings_that_casefold_file_systems_fold_are_the_same_name() {
        for spelling in [".g\u{200c}it", ".agent\u{17f}", ".\u{feff}GIT", ".codex\u{2060}"] {
            assert!(names().find(spelling.as_bytes()).is_some(), "{spelling:?}");
        }
    }

    #[test]
    fn what_fat_and_ntfs_take_for_the_name_is_the_name() {
        for spelling in
            [".git.", ".git ", ".git::$INDEX_ALLOCATION", ".GIT. .", "GIT~1", "git~12", "codex~1", "AGENTS~2"]
        {
            assert!(names().find(spelling.as_bytes()).is_some(), "{spelling:?}");
        }
    }

    #[test]
    fn neighbours_are_not_protected() {
        for spelling in [".github", ".gitignore", "git", "git~", "git~x", "gits~1", ".gi", ".gıt", "x.git"] {
            assert_eq!(names().find(spelling.as_bytes()), None, "{spelling:?}");
        }
        assert_eq!(names().find(b".gi\xff"), None);
    }
}
