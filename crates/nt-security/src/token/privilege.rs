//! Privileges: the named powers of a token.

use std::fmt;
use std::str::FromStr;

macro_rules! privileges {
    ($($variant:ident = $value:literal, $name:literal;)*) => {
        /// A privilege; the number is the low part of its LUID.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Privilege {
            $(#[doc = $name] $variant = $value,)*
        }

        impl Privilege {
            /// Every privilege, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, such as `SeBackupPrivilege`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

privileges! {
    CreateToken = 2, "SeCreateTokenPrivilege";
    AssignPrimaryToken = 3, "SeAssignPrimaryTokenPrivilege";
    LockMemory = 4, "SeLockMemoryPrivilege";
    IncreaseQuota = 5, "SeIncreaseQuotaPrivilege";
    MachineAccount = 6, "SeMachineAccountPrivilege";
    Tcb = 7, "SeTcbPrivilege";
    Security = 8, "SeSecurityPrivilege";
    TakeOwnership = 9, "SeTakeOwnershipPrivilege";
    LoadDriver = 10, "SeLoadDriverPrivilege";
    SystemProfile = 11, "SeSystemProfilePrivilege";
    SystemTime = 12, "SeSystemtimePrivilege";
    ProfileSingleProcess = 13, "SeProfileSingleProcessPrivilege";
    IncreaseBasePriority = 14, "SeIncreaseBasePriorityPrivilege";
    CreatePagefile = 15, "SeCreatePagefilePrivilege";
    CreatePermanent = 16, "SeCreatePermanentPrivilege";
    Backup = 17, "SeBackupPrivilege";
    Restore = 18, "SeRestorePrivilege";
    Shutdown = 19, "SeShutdownPrivilege";
    Debug = 20, "SeDebugPrivilege";
    Audit = 21, "SeAuditPrivilege";
    SystemEnvironment = 22, "SeSystemEnvironmentPrivilege";
    ChangeNotify = 23, "SeChangeNotifyPrivilege";
    RemoteShutdown = 24, "SeRemoteShutdownPrivilege";
    Undock = 25, "SeUndockPrivilege";
    SyncAgent = 26, "SeSyncAgentPrivilege";
    EnableDelegation = 27, "SeEnableDelegationPrivilege";
    ManageVolume = 28, "SeManageVolumePrivilege";
    Impersonate = 29, "SeImpersonatePrivilege";
    CreateGlobal = 30, "SeCreateGlobalPrivilege";
    TrustedCredManAccess = 31, "SeTrustedCredManAccessPrivilege";
    Relabel = 32, "SeRelabelPrivilege";
    IncreaseWorkingSet = 33, "SeIncreaseWorkingSetPrivilege";
    TimeZone = 34, "SeTimeZonePrivilege";
    CreateSymbolicLink = 35, "SeCreateSymbolicLinkPrivilege";
    DelegateSessionUserImpersonate = 36, "SeDelegateSessionUserImpersonatePrivilege";
}

/// The text is no [`Privilege::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no privilege of that name")]
pub struct UnknownPrivilege;

impl FromStr for Privilege {
    type Err = UnknownPrivilege;

    /// Letter case does not count, as in LookupPrivilegeValue.
    fn from_str(text: &str) -> Result<Self, UnknownPrivilege> {
        let same = |privilege: &&Self| privilege.name().eq_ignore_ascii_case(text);
        Self::ALL.iter().find(same).copied().ok_or(UnknownPrivilege)
    }
}

/// A set of privileges that are held and enabled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Privileges(u64);

impl Privileges {
    /// No privilege.
    pub const NONE: Self = Self(0);

    /// Whether a privilege is in the set.
    pub const fn contains(self, privilege: Privilege) -> bool {
        self.0 & (1 << privilege as u8) != 0
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, privilege: Privilege) -> Self {
        Self(self.0 | 1 << privilege as u8)
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The privileges of the set, by number.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.iter().copied().filter(move |privilege| self.contains(*privilege))
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        privileges.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Privilege::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_privilege() {
        for privilege in Privilege::ALL {
            assert_eq!(privilege.name().parse(), Ok(*privilege));
        }
        assert!("SePrivilege".parse::<Privilege>().is_err());
    }

    #[test]
    fn a_set_knows_its_members() {
        let set: Privileges = [Privilege::Backup, Privilege::ChangeNotify].into_iter().collect();
        assert!(set.contains(Privilege::Backup) && !set.contains(Privilege::Restore));
        assert_eq!(set.iter().count(), 2);
    }
}
