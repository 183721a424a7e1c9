//! CreateRestrictedToken: the token that a filtered process runs with.

use super::{Group, GroupAttributes, Privilege, Privileges, Restriction, Token, integrity};
use crate::sid::{Sid, well_known};

/// What CreateRestrictedToken is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestrictOptions {
    /// DISABLE_MAX_PRIVILEGE: every privilege but SeChangeNotifyPrivilege goes.
    pub disable_max_privilege: bool,
    /// LUA_TOKEN: the token is filtered as UAC filters an administrator's.
    pub lua_token: bool,
    /// WRITE_RESTRICTED: the restricting SIDs count for writing only.
    pub write_restricted: bool,
    /// SIDs that become deny-only.
    pub sids_to_disable: Vec<Sid>,
    /// Privileges that go.
    pub privileges_to_delete: Privileges,
    /// Restricting SIDs.
    pub restricting_sids: Vec<Sid>,
}

/// Why a token cannot be restricted as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestrictError {
    /// The token is write-restricted and would become fully restricted, or the other way round; what the two lists
    /// would then mean together is documented nowhere.
    #[error("a restricted token cannot be restricted again with the other kind of restriction")]
    MixedRestriction,
}

impl RestrictError {
    /// A stable word for programs that act on the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MixedRestriction => "token-mixed-restriction",
        }
    }
}

/// Privileges that a LUA token keeps: those of an ordinary user.
const LUA_PRIVILEGES: [Privilege; 5] = [
    Privilege::ChangeNotify,
    Privilege::Shutdown,
    Privilege::Undock,
    Privilege::IncreaseWorkingSet,
    Privilege::TimeZone,
];

/// Groups that become deny-only in a LUA token.
const LUA_DENY_ONLY: [Sid; 3] =
    [well_known::ADMINISTRATORS, well_known::BACKUP_OPERATORS, well_known::POWER_USERS];

impl Token {
    /// The token that CreateRestrictedToken would make of this one.
    ///
    /// Restricting a token that is restricted already leaves the SIDs that are in both lists. A token is restricted if
    /// there is a restricting SID, or if WRITE_RESTRICTED is asked for, even with an empty list.
    ///
    /// Source: Microsoft's documentation of CreateRestrictedToken; windows-facts §4.
    ///
    /// # Errors
    /// [`RestrictError::MixedRestriction`].
    pub fn restricted(&self, options: &RestrictOptions) -> Result<Self, RestrictError> {
        let mut token = self.clone();
        token.restriction = combined(&self.restriction, options)?;
        for sid in &options.sids_to_disable {
            token.make_deny_only(sid);
        }
        let gone = options.privileges_to_delete;
        token.privileges = self.privileges.iter().filter(|held| !gone.contains(*held)).collect();
        if options.disable_max_privilege {
            let kept = Privileges::NONE.with(Privilege::ChangeNotify);
            token.privileges = token.privileges.intersection(kept);
        }
        if options.lua_token {
            token.filter_as_uac_does();
        }
        Ok(token)
    }

    fn make_deny_only(&mut self, sid: &Sid) {
        self.user_deny_only |= self.user == *sid;
        for group in self.groups.iter_mut().filter(|group| group.sid == *sid) {
            deny_only(group);
        }
    }

    fn filter_as_uac_does(&mut self) {
        let below = LUA_DENY_ONLY;
        self.groups.iter_mut().filter(|group| below.contains(&group.sid)).for_each(deny_only);
        self.privileges = self.privileges.intersection(LUA_PRIVILEGES.into_iter().collect());
        self.integrity = self.integrity.min(integrity::MEDIUM);
        if self.default_owner.is_some_and(|owner| below.contains(&owner)) {
            self.default_owner = None;
        }
    }
}

/// Deny-only and enabled exclude each other (SE_GROUP_USE_FOR_DENY_ONLY).
fn deny_only(group: &mut Group) {
    let enabled = GroupAttributes::ENABLED | GroupAttributes::ENABLED_BY_DEFAULT | GroupAttributes::MANDATORY;
    group.attributes = group.attributes.without(enabled) | GroupAttributes::USE_FOR_DENY_ONLY;
}

fn combined(old: &Restriction, options: &RestrictOptions) -> Result<Restriction, RestrictError> {
    let new = &options.restricting_sids;
    if new.is_empty() && !options.write_restricted {
        return Ok(old.clone());
    }
    let both = |old: &[Sid]| old.iter().filter(|sid| new.contains(sid)).copied().collect();
    match (old, options.write_restricted) {
        (Restriction::None, true) => Ok(Restriction::Write(new.clone())),
        (Restriction::None, false) => Ok(Restriction::Full(new.clone())),
        (Restriction::Write(old), true) => Ok(Restriction::Write(both(old))),
        (Restriction::Full(old), false) => Ok(Restriction::Full(both(old))),
        (Restriction::Write(_), false) | (Restriction::Full(_), true) => Err(RestrictError::MixedRestriction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid::well_known::{ADMINISTRATORS, EVERYONE, USERS};

    fn administrator() -> Token {
        let mut token = Token::new(Sid::parse("S-1-5-21-1-2-3-1001").unwrap());
        token.groups = vec![Group::enabled(EVERYONE), Group::enabled(ADMINISTRATORS)];
        token.privileges =
            [Privilege::Debug, Privilege::ChangeNotify, Privilege::Shutdown].into_iter().collect();
        token.integrity = integrity::HIGH;
        token.default_owner = Some(ADMINISTRATORS);
        token
    }

    #[test]
    fn the_lua_flag_filters_an_administrator() {
        let options = RestrictOptions { lua_token: true, ..RestrictOptions::default() };
        let token = administrator().restricted(&options).unwrap();
        assert!(!token.allows(&ADMINISTRATORS) && token.denies(&ADMINISTRATORS));
        assert!(token.privileges.contains(Privilege::Shutdown));
        assert!(!token.privileges.contains(Privilege::Debug));
        assert_eq!((token.integrity, token.owner()), (integrity::MEDIUM, token.user));
    }

    #[test]
    fn disable_max_privilege_leaves_change_notify() {
        let options = RestrictOptions { disable_max_privilege: true, ..RestrictOptions::default() };
        let token = administrator().restricted(&options).unwrap();
        assert_eq!(token.privileges.iter().collect::<Vec<_>>(), [Privilege::ChangeNotify]);
    }

    #[test]
    fn restricting_twice_intersects_and_does_not_mix() {
        let options = |sids: &[Sid], write_restricted| RestrictOptions {
            restricting_sids: sids.to_vec(),
            write_restricted,
            ..RestrictOptions::default()
        };
        let once = administrator().restricted(&options(&[EVERYONE, USERS], true)).unwrap();
        let twice = once.restricted(&options(&[USERS, ADMINISTRATORS], true)).unwrap();
        assert_eq!(twice.restriction, Restriction::Write(vec![USERS]));
        assert_eq!(once.restricted(&options(&[USERS], false)), Err(RestrictError::MixedRestriction));
    }

    #[test]
    fn write_restricted_with_no_sid_is_still_restricted() {
        let options = RestrictOptions { write_restricted: true, ..RestrictOptions::default() };
        let token = administrator().restricted(&options).unwrap();
        assert_eq!(token.restriction, Restriction::Write(vec![]));
    }
}
