//! Windows paths as Windows reads them, on every operating system: nothing here asks `std::path`.
//!
//! Source: Microsoft's "Naming Files, Paths, and Namespaces" and "File path formats on Windows systems".

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod names;
mod parse;

pub use names::{is_device_name, looks_like_short_name};
pub use parse::{Parsed, PathError, parse};

/// An absolute, normalised path on a drive letter: `C:\` or `C:\one\two`, no trailing separator, no `.` or `..`,
/// no stream.
///
/// Two paths are equal when Windows takes them for the same in a folder that is not case-sensitive.
#[derive(Clone)]
pub struct WinPath {
    text: String,
    /// `text` in upper case, by which paths are compared.
    key: String,
}

impl WinPath {
    /// `C:\` and then the components, which must be normalised already.
    fn from_parts<'a>(drive: char, components: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = format!("{}:", drive.to_ascii_uppercase());
        for component in components {
            text.push('\\');
            text.push_str(component);
        }
        if text.len() == 2 {
            text.push('\\');
        }
        let key = fold(&text);
        Self { text, key }
    }

    /// Reads an absolute path on a drive letter, in any of its spellings.
    ///
    /// # Errors
    /// [`PathError`] for everything else: relative paths, shares, devices, streams.
    pub fn absolute(text: &str) -> Result<Self, PathError> {
        match parse(text, None)? {
            Parsed::Drive { path, stream: None } => Ok(path),
            Parsed::Drive { .. } => Err(PathError::new(text, parse::Fault::Stream)),
            other => Err(PathError::new(text, parse::Fault::NotOnADrive { kind: other.kind() })),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form by which paths are compared: upper case, so that it can be a key of a map.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The drive letter in upper case.
    pub fn drive(&self) -> char {
        self.text.chars().next().unwrap_or('C')
    }

    /// The components below the drive's root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text[3..].split('\\').filter(|component| !component.is_empty())
    }

    /// How many components there are; the root of a drive has none.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether it is the root of a drive.
    pub fn is_drive_root(&self) -> bool {
        self.text.len() == 3
    }

    /// The last component; `None` for the root of a drive.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The folder that holds it; `None` for the root of a drive.
    pub fn parent(&self) -> Option<Self> {
        if self.is_drive_root() {
            return None;
        }
        let end = self.text.rfind('\\')?.max(3);
        // `C:\a` keeps the separator of the root, deeper paths lose theirs.
        Some(Self { text: self.text[..end].to_owned(), key: self.key[..self.key_end()?.max(3)].to_owned() })
    }

    fn key_end(&self) -> Option<usize> {
        self.key.rfind('\\')
    }

    /// The path and every folder above it, itself first, the root of the drive last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// The path of a child. `name` must be one normalised component or several joined by `\`.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let separator = if self.is_drive_root() || name.is_empty() { "" } else { "\\" };
        let text = format!("{}{separator}{name}", self.text);
        let key = fold(&text);
        Self { text, key }
    }

    /// Whether it is `other` or lies below it.
    pub fn is_in(&self, other: &Self) -> bool {
        self == other || self.is_below(other)
    }

    /// Whether it lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        match self.key.strip_prefix(&other.key) {
            Some(rest) if other.is_drive_root() => !rest.is_empty(),
            Some(rest) => rest.starts_with('\\'),
            None => false,
        }
    }

    /// The components from `other` down to it; `None` when it is not in `other`.
    pub fn below(&self, other: &Self) -> Option<Vec<&str>> {
        self.is_in(other).then(|| self.components().skip(other.depth()).collect())
    }
}

/// Upper case as NTFS compares names: character by character, never changing the length.
pub fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    // NTFS' table folds code units one by one and leaves what Unicode would map to ASCII as it is.
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if !one.is_ascii() && u32::from(one) < 0x1_0000 => one,
        _ => c,
    }
}

/// Whether two names are the same in a folder that is not case-sensitive.
pub fn same_name(a: &str, b: &str) -> bool {
    fold(a) == fold(b)
}

impl PartialEq for WinPath {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for WinPath {}

impl Hash for WinPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Ord for WinPath {
    /// A folder sorts before what it holds, and that before the folder's next sibling.
    fn cmp(&self, other: &Self) -> Ordering {
        // No name contains a byte below 0x20, so a separator read as 0 sorts before whatever continues a name.
        let separator_first = |byte| if byte == b'\\' { 0 } else { byte };
        self.key.bytes().map(separator_first).cmp(other.key.bytes().map(separator_first))
    }
}

impl PartialOrd for WinPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for WinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for WinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl WinPath {
    /// The path in a spelling that leads back to it: with `\\?\` in front where the Win32 layer would take something of a name
    /// away, or take it for a device.
    pub fn exact(&self) -> std::borrow::Cow<'_, str> {
        match Self::absolute(&self.text) {
            Ok(path) if path.text == self.text => (&self.text).into(),
            _ => format!(r"\\?\{}", self.text).into(),
        }
    }
}

impl Serialize for WinPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact())
    }
}

impl<'de> Deserialize<'de> for WinPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::absolute(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for WinPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WinPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^(\\\\\?\\)?[A-Z]:\\" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> WinPath {
        WinPath::absolute(text).unwrap()
    }

    #[test]
    fn letter_case_does_not_matter_and_length_never_changes() {
        assert_eq!(path(r"c:\Users\Ärger"), path(r"C:\USERS\äRGER"));
        assert_ne!(path(r"C:\straße"), path(r"C:\STRASSE"));
        assert_ne!(path("C:\\\u{212a}"), path(r"C:\k"));
    }

    #[test]
    fn containment_goes_by_whole_components() {
        let root = path(r"C:\work");
        assert!(path(r"C:\WORK\a").is_below(&root) && path(r"C:\work").is_in(&root));
        assert!(!path(r"C:\workshop").is_in(&root));
        assert!(path(r"C:\x").is_below(&path(r"C:\")) && !path(r"D:\x").is_in(&path(r"C:\")));
        assert_eq!(path(r"C:\work\a\b").below(&root), Some(vec!["a", "b"]));
    }

    #[test]
    fn parents_end_at_the_drive() {
        let all: Vec<String> = path(r"C:\a\b").ancestors().map(|path| path.to_string()).collect();
        assert_eq!(all, [r"C:\a\b", r"C:\a", r"C:\"]);
        assert_eq!(path(r"C:\").parent(), None);
        assert_eq!(path(r"C:\").join("a").join(r"b\c").as_str(), r"C:\a\b\c");
    }

    #[test]
    fn a_folder_sorts_before_its_content_and_that_before_its_sibling() {
        let mut paths = [path(r"C:\a b"), path(r"C:\a\z"), path(r"C:\a")];
        paths.sort();
        assert_eq!(paths, [path(r"C:\a"), path(r"C:\a\z"), path(r"C:\a b")]);
    }
}
