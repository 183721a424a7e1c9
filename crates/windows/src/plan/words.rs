//! Names for people: SIDs, integrity levels, command lines.

use nt_security::token::integrity;
use nt_security::{Sid, well_known};

use super::facts::Facts;
use super::path::WinPath;

/// What a SID is called on this host; its text if it has no name. Decides nothing.
pub fn sid_name(sid: &Sid, facts: &Facts) -> String {
    if *sid == facts.user.sid.0 {
        return facts.user.name.clone();
    }
    if *sid == facts.user.logon_sid.0 {
        return "logon session".to_owned();
    }
    let group = facts.user.groups.iter().find(|group| group.sid.0 == *sid && !group.name.is_empty());
    let account =
        facts.accounts.iter().find(|account| account.sid.0 == *sid).map(|account| account.name.clone());
    let write = facts.state.write_sids.iter().find(|known| known.sid.0 == *sid);
    group
        .map(|group| group.name.clone())
        .or(account)
        .or_else(|| write.map(|known| format!("write SID of {}", known.root)))
        .or_else(|| well_known::name(sid).map(str::to_owned))
        .unwrap_or_else(|| sid.to_string())
}

/// An integrity level in words.
pub fn level_name(level: u32) -> String {
    match level {
        integrity::LOW => "Low".to_owned(),
        integrity::MEDIUM_LOW => "Medium-Low".to_owned(),
        integrity::MEDIUM => "Medium".to_owned(),
        integrity::HIGH => "High".to_owned(),
        integrity::SYSTEM => "System".to_owned(),
        other => format!("{other:#x}"),
    }
}

/// The command that gives the user full control of a folder, for an elevated prompt. SIDs, not names: names are translated.
pub fn icacls_grant(path: &WinPath, user: &Sid) -> String {
    format!("icacls \"{path}\" /grant \"*{user}:(OI)(CI)F\" /T")
}

/// The names of a list of paths, shortened.
pub fn some_paths(paths: &[WinPath]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(WinPath::to_string).collect();
    let more = paths.len().saturating_sub(shown.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{tail}", shown.join(", "))
}
