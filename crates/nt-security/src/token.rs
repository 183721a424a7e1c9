//! The access token: who asks.

use crate::acl::Acl;
use crate::flags::bit_set;
use crate::sid::Sid;

mod privilege;
mod restrict;

pub use privilege::{Privilege, Privileges};
pub use restrict::{RestrictError, RestrictOptions};

/// An integrity level, 8192 for Medium; the relative identifier of the label's SID.
pub type IntegrityLevel = u32;

/// The integrity levels that have names (\[MS-DTYP\] 2.4.2.4).
pub mod integrity {
    use super::IntegrityLevel;

    /// SECURITY_MANDATORY_UNTRUSTED_RID
    pub const UNTRUSTED: IntegrityLevel = 0x0000;
    /// SECURITY_MANDATORY_LOW_RID
    pub const LOW: IntegrityLevel = 0x1000;
    /// Between Low and Medium; no SDK constant
    pub const MEDIUM_LOW: IntegrityLevel = 0x1800;
    /// SECURITY_MANDATORY_MEDIUM_RID
    pub const MEDIUM: IntegrityLevel = 0x2000;
    /// SECURITY_MANDATORY_MEDIUM_PLUS_RID
    pub const MEDIUM_PLUS: IntegrityLevel = 0x2100;
    /// SECURITY_MANDATORY_HIGH_RID
    pub const HIGH: IntegrityLevel = 0x3000;
    /// SECURITY_MANDATORY_SYSTEM_RID
    pub const SYSTEM: IntegrityLevel = 0x4000;
}

bit_set! {
    /// The attributes of a group in a token (\[MS-DTYP\] 2.4.8, SE_GROUP_*).
    GroupAttributes: u32 {
        /// SE_GROUP_MANDATORY
        MANDATORY = 0x1;
        /// SE_GROUP_ENABLED_BY_DEFAULT
        ENABLED_BY_DEFAULT = 0x2;
        /// SE_GROUP_ENABLED
        ENABLED = 0x4;
        /// SE_GROUP_OWNER: may be assigned as owner
        OWNER = 0x8;
        /// SE_GROUP_USE_FOR_DENY_ONLY
        USE_FOR_DENY_ONLY = 0x10;
        /// SE_GROUP_INTEGRITY
        INTEGRITY = 0x20;
        /// SE_GROUP_INTEGRITY_ENABLED
        INTEGRITY_ENABLED = 0x40;
        /// SE_GROUP_LOGON_ID
        LOGON_ID = 0xC000_0000;
        /// An ordinary group: mandatory, enabled, by default
        ORDINARY = 0x7;
    }
}

bit_set! {
    /// TOKEN_MANDATORY_POLICY.
    MandatoryPolicy: u32 {
        /// TOKEN_MANDATORY_POLICY_NO_WRITE_UP: labels are enforced
        NO_WRITE_UP = 1;
        /// TOKEN_MANDATORY_POLICY_NEW_PROCESS_MIN: a child's level is no higher than its image's label
        NEW_PROCESS_MIN = 2;
    }
}

/// A group in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    /// Which group.
    pub sid: Sid,
    /// Enabled, deny-only, and so on.
    pub attributes: GroupAttributes,
}

impl Group {
    /// An ordinary, enabled group.
    pub const fn enabled(sid: Sid) -> Self {
        Self { sid, attributes: GroupAttributes::ORDINARY }
    }

    /// A group that only deny ACEs see.
    pub const fn deny_only(sid: Sid) -> Self {
        Self { sid, attributes: GroupAttributes::USE_FOR_DENY_ONLY }
    }
}

/// Whether a second check with another list of SIDs follows the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Restriction {
    /// No second check.
    #[default]
    None,
    /// A second check for every right, with these SIDs.
    Full(Vec<Sid>),
    /// A second check for requests that contain a writing right, with these SIDs
    /// ([`GenericMapping::write_gate`](crate::mask::GenericMapping::write_gate)).
    Write(Vec<Sid>),
}

impl Restriction {
    /// The restricting SIDs, or `None` for a token that is not restricted. The list of a restricted token may be empty.
    pub fn sids(&self) -> Option<&[Sid]> {
        match self {
            Self::None => None,
            Self::Full(sids) | Self::Write(sids) => Some(sids),
        }
    }
}

/// An access token (\[MS-DTYP\] 2.5.2): what an access check and the creation of objects look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The user.
    pub user: Sid,
    /// Whether only deny ACEs see the user.
    pub user_deny_only: bool,
    /// The groups, in the order of the token: the first entry of a SID counts.
    pub groups: Vec<Group>,
    /// Restricting SIDs.
    pub restriction: Restriction,
    /// Privileges that are held and enabled.
    pub privileges: Privileges,
    /// Integrity level.
    pub integrity: IntegrityLevel,
    /// Whether labels are enforced for this token.
    pub mandatory_policy: MandatoryPolicy,
    /// Owner of new objects; the user when `None`.
    pub default_owner: Option<Sid>,
    /// Primary group of new objects.
    pub primary_group: Option<Sid>,
    /// DACL of new objects that inherit none.
    pub default_dacl: Option<Acl>,
    /// The process trust label `S-1-19-type-level` of a protected process.
    pub process_trust: Option<Sid>,
}

impl Token {
    /// A Medium token of a user with no groups and no privileges, labels enforced.
    pub fn new(user: Sid) -> Self {
        Self {
            user,
            user_deny_only: false,
            groups: Vec::new(),
            restriction: Restriction::None,
            privileges: Privileges::NONE,
            integrity: integrity::MEDIUM,
            mandatory_policy: MandatoryPolicy::NO_WRITE_UP | MandatoryPolicy::NEW_PROCESS_MIN,
            default_owner: None,
            primary_group: None,
            default_dacl: None,
            process_trust: None,
        }
    }

    /// Whether IsTokenRestricted would say so. A WRITE_RESTRICTED token with an empty list is restricted too.
    pub fn is_restricted(&self) -> bool {
        self.restriction.sids().is_some()
    }

    /// Owner of objects that the token creates.
    pub fn owner(&self) -> Sid {
        self.default_owner.unwrap_or(self.user)
    }

    /// The logon SID, if the token has one.
    pub fn logon_sid(&self) -> Option<Sid> {
        let is_logon = |group: &&Group| group.attributes.contains(GroupAttributes::LOGON_ID);
        self.groups.iter().find(is_logon).map(|group| group.sid)
    }

    /// Whether an allow ACE for `sid` applies in the first pass: the first entry of the SID is enabled and not
    /// deny-only. The user is always enabled unless deny-only.
    ///
    /// Source: windows-facts §3.
    pub fn allows(&self, sid: &Sid) -> bool {
        if self.user == *sid {
            return !self.user_deny_only;
        }
        self.group(sid).is_some_and(|attributes| {
            attributes.contains(GroupAttributes::ENABLED)
                && !attributes.contains(GroupAttributes::USE_FOR_DENY_ONLY)
        })
    }

    /// Whether a deny ACE for `sid` applies in the first pass: the first entry is enabled or deny-only.
    pub fn denies(&self, sid: &Sid) -> bool {
        let counts = GroupAttributes::ENABLED | GroupAttributes::USE_FOR_DENY_ONLY;
        self.user == *sid || self.group(sid).is_some_and(|attributes| attributes.intersects(counts))
    }

    fn group(&self, sid: &Sid) -> Option<GroupAttributes> {
        self.groups.iter().find(|group| group.sid == *sid).map(|group| group.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid::well_known::{ADMINISTRATORS, EVERYONE, SYSTEM, USERS};

    #[test]
    fn the_first_entry_of_a_sid_counts() {
        let mut token = Token::new(SYSTEM);
        token.groups = vec![Group::deny_only(ADMINISTRATORS), Group::enabled(ADMINISTRATORS)];
        assert!(!token.allows(&ADMINISTRATORS) && token.denies(&ADMINISTRATORS));
    }

    #[test]
    fn a_disabled_group_matches_nothing() {
        let mut token = Token::new(SYSTEM);
        token.groups = vec![Group { sid: USERS, attributes: GroupAttributes::MANDATORY }];
        assert!(!token.allows(&USERS) && !token.denies(&USERS));
        assert!(!token.allows(&EVERYONE) && !token.denies(&EVERYONE));
    }

    #[test]
    fn deny_only_outweighs_enabled() {
        let attributes = GroupAttributes::ORDINARY | GroupAttributes::USE_FOR_DENY_ONLY;
        let token = Token { groups: vec![Group { sid: USERS, attributes }], ..Token::new(SYSTEM) };
        assert!(!token.allows(&USERS) && token.denies(&USERS));
    }

    #[test]
    fn a_deny_only_user_is_seen_by_denies_alone() {
        let token = Token { user_deny_only: true, ..Token::new(SYSTEM) };
        assert!(!token.allows(&SYSTEM) && token.denies(&SYSTEM));
    }

    #[test]
    fn write_restricted_with_an_empty_list_is_restricted() {
        let token = Token { restriction: Restriction::Write(vec![]), ..Token::new(SYSTEM) };
        assert!(token.is_restricted());
    }
}
