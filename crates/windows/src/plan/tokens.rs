//! The tokens of a host: the user's own, and the one that the plan's recipe makes.

use nt_security::token::{Group, GroupAttributes, RestrictOptions, integrity};
use nt_security::{AccessMask, Ace, Acl, Privilege, Sid, Token, well_known};

use super::facts::Facts;

/// The user's own token, with which the launcher runs.
///
/// Backup and restore rights do not count in an access check: the launcher opens nothing with FILE_OPEN_FOR_BACKUP_INTENT
/// for their sake.
pub fn launcher(facts: &Facts) -> Token {
    let user = &facts.user;
    let mut token = Token::new(user.sid.0);
    token.groups = user.groups.iter().map(|group| group_of(group.sid.0, group.deny_only)).collect();
    if token.logon_sid().is_none() {
        token.groups.push(logon_group(user.logon_sid.0));
    }
    for group in token.groups.iter_mut().filter(|group| group.sid == user.logon_sid.0) {
        group.attributes |= GroupAttributes::LOGON_ID;
    }
    let held = user.privileges.iter().filter_map(|name| name.parse::<Privilege>().ok());
    token.privileges = held.chain([Privilege::ChangeNotify]).collect();
    token.integrity = user.integrity;
    token.default_owner = user.default_owner.map(|owner| owner.0);
    token.default_dacl = Some(usual_dacl(token.owner(), user.logon_sid.0));
    token
}

/// TokenDefaultDacl as a logon leaves it.
fn usual_dacl(owner: Sid, logon: Sid) -> Acl {
    let read = AccessMask::GENERIC_READ | AccessMask::GENERIC_EXECUTE;
    let full = AccessMask::GENERIC_ALL;
    Acl::new(vec![Ace::allow(full, owner), Ace::allow(full, well_known::SYSTEM), Ace::allow(read, logon)])
}

/// What the user may do without elevation: "as you" in every promise means this token.
pub fn baseline(facts: &Facts) -> Token {
    let options = RestrictOptions { lua_token: true, ..RestrictOptions::default() };
    // Only a restricting list can make this fail, and there is none.
    launcher(facts).restricted(&options).unwrap_or_else(|_| launcher(facts))
}

/// The token of a process of the sandbox account before it is restricted: what CreateProcessWithLogonW gives the runner.
pub fn account(account: Sid, group: Option<Sid>, logon: Sid) -> Token {
    let mut token = Token::new(account);
    let usual = [
        well_known::EVERYONE,
        well_known::USERS,
        well_known::INTERACTIVE,
        well_known::AUTHENTICATED_USERS,
        well_known::LOCAL_ACCOUNT,
        well_known::LOCAL,
    ];
    token.groups = usual.into_iter().chain(group).map(Group::enabled).collect();
    token.groups.push(logon_group(logon));
    // Those of every member of Users.
    let usual = [
        Privilege::ChangeNotify,
        Privilege::Shutdown,
        Privilege::Undock,
        Privilege::IncreaseWorkingSet,
        Privilege::TimeZone,
    ];
    token.privileges = usual.into_iter().collect();
    token.integrity = integrity::MEDIUM;
    token.default_dacl = Some(usual_dacl(account, logon));
    token
}

/// An administrator's token, with which the set-up runs.
pub fn setup(facts: &Facts) -> Token {
    let mut token = launcher(facts);
    token.groups.retain(|group| group.sid != well_known::ADMINISTRATORS);
    token.groups.push(Group::enabled(well_known::ADMINISTRATORS));
    token.integrity = integrity::HIGH;
    token.default_owner = Some(well_known::ADMINISTRATORS);
    token
}

fn group_of(sid: Sid, deny_only: bool) -> Group {
    if deny_only { Group::deny_only(sid) } else { Group::enabled(sid) }
}

fn logon_group(sid: Sid) -> Group {
    Group { sid, attributes: GroupAttributes::ORDINARY | GroupAttributes::LOGON_ID }
}
