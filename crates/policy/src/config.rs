//! The configuration file and its overrides: text → [`Layer`] → [`Policy`].
//!
//! Pure: the caller reads the file (no more than [`MAX_BYTES`] and one byte) and hands in its bytes. Layers are applied in
//! order, later wins. The file is shared with an agent, so tables and keys that are not ours are passed over; inside one of
//! our tables every key has to be known.

mod keys;
mod nearest;
pub mod units;
mod value;

use std::path::Path;

use toml::de::{DeTable, DeValue};

pub use keys::{Key, Setting, keys};
use value::{Node, Source};

use crate::error::{PolicyError, Problem};
use crate::policy::{Mode, Origin, Policy};

/// The largest configuration file that is read, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The settings of one source, each with its origin, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    settings: Vec<(Setting, Origin)>,
}

impl Layer {
    /// A layer without settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a setting; later ones win.
    pub fn set(&mut self, setting: Setting, origin: Origin) {
        self.settings.push((setting, origin));
    }

    /// Its settings.
    pub fn settings(&self) -> impl Iterator<Item = &(Setting, Origin)> {
        self.settings.iter()
    }
}

/// Parses the bytes of the configuration file `path`. Origins and errors name `path` and the line.
///
/// # Errors
/// Too long, not UTF-8, not TOML, an unknown key in one of our tables, or a value that a key does not take.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Layer, PolicyError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PolicyError::new(Origin::File { path: path.to_path_buf(), line: 1 }, Problem::TooLarge));
    }
    let source = Source::file(path, bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| PolicyError::new(source.origin(e.valid_up_to()), Problem::NotUtf8))?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(PolicyError::new(source.origin(at), Problem::NulByte));
    }
    let table = DeTable::parse(text).map_err(|error| syntax(&error, text, &source))?;
    let mut layer = Layer::new();
    read_table("", table.get_ref(), &source, &mut layer)?;
    Ok(layer)
}

/// Parses one `-c KEY=VALUE`. The value is TOML, or a string without quotes.
///
/// # Errors
/// As [`parse`]; here every key has to be one of ours.
pub fn parse_override(text: &str) -> Result<Layer, PolicyError> {
    let source = Source::Override(text);
    let fail = |problem| PolicyError::new(source.origin(0), problem);
    let (key, written) = text.split_once('=').ok_or_else(|| fail(Problem::NotAnOverride))?;
    let (key, written) = (key.trim(), written.trim());
    if key.is_empty() || written.is_empty() {
        return Err(fail(Problem::NotAnOverride));
    }
    let looks_quoted = written.starts_with(['"', '\'', '[', '{']);
    let value = match DeValue::parse(written) {
        Ok(value) => value.into_inner(),
        Err(error) if looks_quoted => return Err(syntax(&error, written, &source)),
        Err(_) => DeValue::String(written.into()),
    };
    let mut layer = Layer::new();
    read_entry(key, &Node { value: &value, at: 0, source: &source }, &mut layer)?;
    Ok(layer)
}

/// The policy that `layers` make, later ones winning over earlier ones and all over the defaults.
///
/// # Errors
/// A flag that has no meaning in the mode that results (see docs/config.md).
pub fn assemble<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Result<Policy, PolicyError> {
    let mut policy = Policy::default();
    let mut mode_origin = Origin::Default;
    let mut network_origin = Origin::Default;
    let mut flags = Vec::new();
    for (setting, origin) in layers.into_iter().flat_map(Layer::settings) {
        match setting {
            Setting::Mode(_) => mode_origin = origin.clone(),
            Setting::NetworkAccess(_) => network_origin = origin.clone(),
            _ => {}
        }
        if let Origin::Flag(_) = origin {
            flags.push((setting, origin));
        }
        setting.apply(&mut policy);
    }
    // The key stands in the table of workspace-write and means that mode only; the flag means the run.
    if policy.mode == Mode::ReadOnly && !matches!(network_origin, Origin::Flag(_)) {
        policy.network_access = false;
    }
    for (setting, origin) in flags {
        if let Some(flag) = meaningless(setting, policy.mode) {
            let problem = Problem::Contradiction { flag, mode: policy.mode.name(), mode_origin };
            return Err(PolicyError::new(origin.clone(), problem));
        }
    }
    Ok(policy)
}

/// The flag behind `setting`, when it cannot do in `mode` what its user expects.
fn meaningless(setting: &Setting, mode: Mode) -> Option<&'static str> {
    match (mode, setting) {
        (Mode::ReadOnly, Setting::AddWritableRoot(_)) => Some("--writable"),
        (Mode::ReadOnly, Setting::Git(crate::policy::GitMode::Commit)) => Some("--git commit"),
        (Mode::DangerFullAccess, Setting::AddWritableRoot(_)) => Some("--writable"),
        (Mode::DangerFullAccess, Setting::NetworkAccess(_)) => Some("--network"),
        (Mode::DangerFullAccess, Setting::AddDenyRead(_)) => Some("--deny-read"),
        (Mode::DangerFullAccess, Setting::Git(_)) => Some("--git"),
        (Mode::DangerFullAccess, Setting::Memory(_)) => Some("--memory"),
        (Mode::DangerFullAccess, Setting::Processes(_)) => Some("--processes"),
        (Mode::DangerFullAccess, Setting::WallClock(_)) => Some("--timeout"),
        _ => None,
    }
}

/// Tables of ours. Each may also be written as dotted keys.
const TABLES: [&str; 5] = ["sandbox_workspace_write", "sandbox", "sandbox.limits", "network", "windows"];

fn read_table(
    prefix: &str,
    table: &DeTable<'_>,
    source: &Source<'_>,
    layer: &mut Layer,
) -> Result<(), PolicyError> {
    let mut entries: Vec<_> = table.iter().collect();
    // The first mistake in the file is the one that is reported.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let node = Node { value: value.get_ref(), at: key.span().start, source };
        // A quoted "sandbox.git" at the top is one foreign key, not ours.
        let foreign = prefix.is_empty() && key.get_ref().contains('.');
        if !foreign {
            read_entry(&name, &node, layer)?;
        }
    }
    Ok(())
}

fn read_entry(name: &str, node: &Node<'_>, layer: &mut Layer) -> Result<(), PolicyError> {
    if let Some(key) = keys().iter().find(|key| key.name == name) {
        let setting = (key.read)(key, node)?;
        layer.set(setting, node.origin());
        return Ok(());
    }
    if let Some(table) = TABLES.iter().find(|table| **table == name) {
        return match node.value {
            DeValue::Table(inner) => read_table(table, inner, node.source, layer),
            _ => Err(node.wrong_type(table, "a table")),
        };
    }
    let nearest = match node.source {
        Source::File { .. } if !name.contains('.') => match top_level_miss(name) {
            None => return Ok(()),
            near => near,
        },
        _ => nearest::nearest(name, keys().iter().map(|key| key.name)),
    };
    Err(node.fail(Problem::UnknownKey { key: name.to_owned(), nearest }))
}

/// Names at the top of the file that are so close to one of ours that they cannot be meant for somebody else. The short
/// names `network` and `windows` are left out: an agent may well have a `networks`.
fn top_level_miss(name: &str) -> Option<&'static str> {
    let close = [("sandbox_mode", 2), ("sandbox_workspace_write", 2), ("sandbox", 1)];
    let hit = |(ours, within): &(&'static str, usize)| {
        name.len() <= 2 * ours.len() && nearest::distance(&name.to_lowercase(), ours) <= *within
    };
    close.into_iter().find(hit).map(|(ours, _)| ours)
}

fn syntax(error: &toml::de::Error, text: &str, source: &Source<'_>) -> PolicyError {
    let mut at = error.span().map_or(0, |span| span.start.min(text.len()));
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let column = text[line_start..at].chars().count() + 1;
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    PolicyError::new(source.origin(at), Problem::Syntax { column, message })
}

#[cfg(test)]
mod tests;
