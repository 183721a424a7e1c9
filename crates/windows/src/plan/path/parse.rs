//! From text to a path: every spelling that Windows' own programs take.

use super::WinPath;
use super::names::is_device_name;

/// The longest component in UTF-16 units (NTFS).
const MAX_COMPONENT: usize = 255;
/// The longest path in UTF-16 units (UNICODE_STRING_MAX_CHARS).
const MAX_PATH: usize = 32_767;

/// What a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A file or folder on a drive letter.
    Drive {
        /// Where.
        path: WinPath,
        /// The alternate data stream, when the text names one that is not the default.
        stream: Option<String>,
    },
    /// A share of another machine, WebDAV included.
    Unc {
        /// The machine.
        server: String,
        /// The rest, beginning with the share.
        rest: String,
    },
    /// A file of a Linux distribution under WSL.
    Wsl {
        /// The distribution and the path in it.
        rest: String,
    },
    /// A device: `NUL`, `\\.\pipe\x`, `\\.\PhysicalDrive0`, `\\.\C:`.
    Device {
        /// As the text names it.
        name: String,
    },
    /// A volume by its GUID, or an object of the NT namespace.
    Volume {
        /// `Volume{…}` or the first component.
        volume: String,
        /// What follows.
        rest: String,
    },
}

impl Parsed {
    /// The kind in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Drive { .. } => "a path on a drive",
            Self::Unc { .. } => "a network share",
            Self::Wsl { .. } => "a WSL file system",
            Self::Device { .. } => "a device",
            Self::Volume { .. } => "a volume or NT object name",
        }
    }
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("it is relative, and there is no folder that it could be relative to")]
    Relative,
    #[error("it is relative to the current folder of drive {0}:, which is not known")]
    OtherDrive(char),
    #[error("the character {0:?} cannot be in a name")]
    Character(char),
    #[error("a component is longer than 255 UTF-16 units")]
    LongComponent,
    #[error("it is longer than 32767 UTF-16 units")]
    TooLong,
    #[error(r"after \\?\ the components . and .. are names, which no file system has")]
    DotsInVerbatim,
    #[error("a stream stands before the last component")]
    InnerStream,
    #[error("it names a stream")]
    Stream,
    #[error("it is {kind}, not a path on a drive letter")]
    NotOnADrive { kind: &'static str },
}

/// A text that is no path, or not the kind of path that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("windows path {path:?}: {fault}")]
pub struct PathError {
    path: String,
    fault: Fault,
}

impl PathError {
    pub(super) fn new(path: &str, fault: Fault) -> Self {
        Self { path: path.to_owned(), fault }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self.fault {
            Fault::Empty => "path-empty",
            Fault::Relative | Fault::OtherDrive(_) => "path-relative",
            Fault::Character(_) => "path-character",
            Fault::LongComponent | Fault::TooLong => "path-too-long",
            Fault::DotsInVerbatim => "path-verbatim-dots",
            Fault::InnerStream | Fault::Stream => "path-stream",
            Fault::NotOnADrive { .. } => "path-not-on-a-drive",
        }
    }
}

/// Reads `text` as Windows would; a relative path is taken to be relative to `base`.
///
/// `/` is a separator; components lose what the Win32 layer takes away (a final dot, at the end all dots and spaces);
/// `\\?\` and `\??\` switch both off. Letter case is kept as written.
///
/// # Errors
/// [`PathError`] for a text that can name nothing.
pub fn parse(text: &str, base: Option<&WinPath>) -> Result<Parsed, PathError> {
    parse_checked(text, base).map_err(|fault| PathError::new(text, fault))
}

fn parse_checked(text: &str, base: Option<&WinPath>) -> Result<Parsed, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::Empty);
    }
    if text.encode_utf16().count() > MAX_PATH {
        return Err(Fault::TooLong);
    }
    if let Some(rest) = text.strip_prefix(r"\\?\").or_else(|| text.strip_prefix(r"\??\")) {
        return namespace(rest, &Style::Verbatim);
    }
    let text = text.replace('/', "\\");
    // `//?/` goes through the Win32 layer first, so its components are normalised.
    if let Some(rest) = text.strip_prefix(r"\\.\").or_else(|| text.strip_prefix(r"\\?\")) {
        return namespace(rest, &Style::Win32);
    }
    if let Some(rest) = text.strip_prefix(r"\\") {
        return Ok(share(rest));
    }
    if is_device_name(&text) {
        return Ok(Parsed::Device { name: text });
    }
    if let Some((drive, rest)) = drive(&text) {
        return match rest.strip_prefix('\\') {
            Some(rest) => on_drive(drive, &[], rest, &Style::Win32),
            None => relative_to_drive(drive, rest, base),
        };
    }
    let base = base.ok_or(Fault::Relative)?;
    match text.strip_prefix('\\') {
        Some(rest) => on_drive(base.drive(), &[], rest, &Style::Win32),
        None => on_drive(base.drive(), &base.components().collect::<Vec<_>>(), &text, &Style::Win32),
    }
}

/// `C:name`: relative to the current folder of that drive, which is known only for the base's drive.
fn relative_to_drive(letter: char, rest: &str, base: Option<&WinPath>) -> Result<Parsed, Fault> {
    match base {
        Some(base) if base.drive() == letter => {
            on_drive(letter, &base.components().collect::<Vec<_>>(), rest, &Style::Win32)
        }
        _ => Err(Fault::OtherDrive(letter)),
    }
}

/// Whether the Win32 layer touches the components.
enum Style {
    Win32,
    Verbatim,
}

/// What follows `\\?\` or `\\.\`.
fn namespace(rest: &str, style: &Style) -> Result<Parsed, Fault> {
    let (first, tail) = rest.split_once('\\').unwrap_or((rest, ""));
    if first.eq_ignore_ascii_case("UNC") {
        return Ok(share(tail));
    }
    if let Some((letter, "")) = drive(first) {
        // Without a separator it is the volume itself.
        return if rest.len() == 2 {
            Ok(Parsed::Device { name: rest.to_owned() })
        } else {
            on_drive(letter, &[], tail, style)
        };
    }
    let is_volume = first.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("Volume{"));
    if is_volume || first.eq_ignore_ascii_case("GLOBALROOT") {
        return Ok(Parsed::Volume { volume: first.to_owned(), rest: tail.to_owned() });
    }
    Ok(Parsed::Device { name: rest.to_owned() })
}

/// What follows `\\`.
fn share(rest: &str) -> Parsed {
    let (server, tail) = rest.split_once('\\').unwrap_or((rest, ""));
    if server.eq_ignore_ascii_case("wsl$") || server.eq_ignore_ascii_case("wsl.localhost") {
        return Parsed::Wsl { rest: tail.to_owned() };
    }
    Parsed::Unc { server: server.to_owned(), rest: tail.to_owned() }
}

/// Splits `C:rest`, the letter in upper case.
fn drive(text: &str) -> Option<(char, &str)> {
    let letter = text.chars().next().filter(char::is_ascii_alphabetic)?;
    Some((letter.to_ascii_uppercase(), text[1..].strip_prefix(':')?))
}

/// Adds the components of `rest` to those of `base`.
fn on_drive(letter: char, base: &[&str], rest: &str, style: &Style) -> Result<Parsed, Fault> {
    let mut parts: Vec<&str> = base.to_vec();
    let mut stream = None;
    let written: Vec<&str> = rest.split('\\').filter(|part| !part.is_empty()).collect();
    let ends_with_separator = rest.ends_with('\\');
    for (at, part) in written.iter().enumerate() {
        let is_last = at + 1 == written.len();
        match (*part, style) {
            ("." | "..", Style::Verbatim) => return Err(Fault::DotsInVerbatim),
            (".", Style::Win32) => continue,
            ("..", Style::Win32) => {
                parts.pop();
                continue;
            }
            _ => {}
        }
        let (name, this_stream) = split_stream(part)?;
        if matches!(name, "." | "..") {
            // Neither has streams, and what the Win32 layer does not resolve is no name of NTFS.
            return Err(Fault::Character(':'));
        }
        if this_stream.is_some() && !is_last {
            return Err(Fault::InnerStream);
        }
        stream = this_stream.map(str::to_owned);
        let name = match style {
            Style::Verbatim => name,
            Style::Win32 => trimmed(name, is_last && !ends_with_separator),
        };
        if matches!(style, Style::Win32) && is_device_name(name) {
            return Ok(Parsed::Device { name: (*part).to_owned() });
        }
        if !name.is_empty() {
            check(name)?;
            parts.push(name);
        }
    }
    Ok(Parsed::Drive { path: WinPath::from_parts(letter, parts), stream })
}

/// Splits `name:stream:$TYPE`. The default data stream and a folder's own index are no stream of their own.
fn split_stream(part: &str) -> Result<(&str, Option<&str>), Fault> {
    let Some((name, rest)) = part.split_once(':') else { return Ok((part, None)) };
    let (stream, kind) = rest.split_once(':').unwrap_or((rest, "$DATA"));
    if kind.contains(':') {
        return Err(Fault::Character(':'));
    }
    let is_index = kind.eq_ignore_ascii_case("$INDEX_ALLOCATION");
    let is_default = stream.is_empty() || (is_index && stream.eq_ignore_ascii_case("$I30"));
    Ok((name, (!is_default).then_some(stream)))
}

/// What the Win32 layer leaves of a component.
fn trimmed(name: &str, is_end: bool) -> &str {
    if is_end {
        return name.trim_end_matches(['.', ' ']);
    }
    match name.strip_suffix('.') {
        // One final dot goes; names of dots alone stay.
        Some(rest) if !rest.ends_with('.') && !rest.is_empty() => rest,
        _ => name,
    }
}

fn check(name: &str) -> Result<(), Fault> {
    let is_bad = |c: char| matches!(c, '<' | '>' | '"' | '|' | '?' | '*' | '/') || u32::from(c) < 0x20;
    if let Some(bad) = name.chars().find(|c| is_bad(*c)) {
        return Err(Fault::Character(bad));
    }
    if name.encode_utf16().count() > MAX_COMPONENT {
        return Err(Fault::LongComponent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive_path(text: &str) -> String {
        let base = WinPath::absolute(r"C:\Users\me").unwrap();
        match parse(text, Some(&base)).unwrap() {
            Parsed::Drive { path, stream } => {
                format!("{path}{}", stream.map_or(String::new(), |s| format!("|{s}")))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn spellings_of_one_path() {
        for text in [
            r"C:\Users\me\w",
            "c:/Users/me/w",
            r"C:\Users\me\.\x\..\w\",
            r"\\?\C:\Users\me\w",
            r"\\.\C:\Users\me\w",
            r"\??\C:\Users\me\w",
            "//?/C:/Users/me/w. .",
            r"\Users\me\w",
            "w",
            "C:w",
            r"C:\Users\me\w::$INDEX_ALLOCATION",
            r"C:\Users\me:$I30:$INDEX_ALLOCATION\w",
            r"C:\Users\me.\w",
            "C:\\Users\\me\\w. . ",
        ] {
            assert_eq!(drive_path(text), r"C:\Users\me\w", "{text}");
        }
    }

    #[test]
    fn parents_do_not_lead_above_the_drive() {
        assert_eq!(drive_path(r"C:\..\..\x"), r"C:\x");
        assert_eq!(drive_path(r"..\..\..\.."), r"C:\");
    }

    #[test]
    fn streams_are_told_from_the_file() {
        assert_eq!(drive_path(r"w\a.txt:secret"), r"C:\Users\me\w\a.txt|secret");
        assert_eq!(drive_path(r"w\a.txt:secret:$DATA"), r"C:\Users\me\w\a.txt|secret");
        assert_eq!(drive_path(r"w\a.txt::$DATA"), r"C:\Users\me\w\a.txt");
        assert_eq!(parse(r"C:\a:s\b", None).unwrap_err().code(), "path-stream");
    }

    #[test]
    fn verbatim_names_keep_their_dots_and_spaces() {
        assert_eq!(drive_path(r"\\?\C:\w\.git. "), r"C:\w\.git. ");
        assert_eq!(parse(r"\\?\C:\w\..\x", None).unwrap_err().code(), "path-verbatim-dots");
    }

    #[test]
    fn what_is_not_on_a_drive_says_what_it_is() {
        for (text, kind) in [
            (r"\\server\share\x", "a network share"),
            (r"\\?\UNC\server\share", "a network share"),
            (r"\\host@SSL\DavWWWRoot\x", "a network share"),
            (r"\\wsl$\Ubuntu\home", "a WSL file system"),
            (r"\\wsl.localhost\Ubuntu", "a WSL file system"),
            (r"\\?\UNC\wsl.localhost\Ubuntu", "a WSL file system"),
            ("NUL", "a device"),
            (r"C:\w\con.txt", "a device"),
            (r"\\.\pipe\x", "a device"),
            (r"\\.\C:", "a device"),
            (r"\\?\Volume{0a}\x", "a volume or NT object name"),
            (r"\\?\GLOBALROOT\Device\HarddiskVolume3\x", "a volume or NT object name"),
        ] {
            assert_eq!(parse(text, None).unwrap().kind(), kind, "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_an_error() {
        for (text, code) in [
            ("", "path-empty"),
            ("x", "path-relative"),
            ("D:x", "path-relative"),
            (r"C:\a*b", "path-character"),
            (r"C:\a\..::$INDEX_ALLOCATION\b", "path-character"),
            (r"C:\a\.:s", "path-character"),
            ("C:\\a\u{1}", "path-character"),
        ] {
            assert_eq!(parse(text, None).unwrap_err().code(), code, "{text}");
        }
        let long = format!(r"C:\{}", "x".repeat(256));
        assert_eq!(parse(&long, None).unwrap_err().code(), "path-too-long");
    }
}
