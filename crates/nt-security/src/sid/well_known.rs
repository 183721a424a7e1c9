//! SIDs that are the same on every machine, their names, and the two-letter aliases of SDDL.
//!
//! Source: \[MS-DTYP\] 2.4.2.4 (well-known SIDs) and 2.5.1.1 (SDDL `sid-token`).

use super::Sid;

macro_rules! well_known {
    ($($(#[$doc:meta])* $constant:ident = $authority:literal $values:tt, $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: Sid = Sid::constant($authority, $values);)*

        /// Every constant of this module with the name that Windows shows for it.
        pub const ALL: &[(Sid, &str)] = &[$(($constant, $name)),*];
    };
}

well_known! {
    /// S-1-0-0
    NULL = 0 [0], "NULL SID";
    /// S-1-1-0, `WD`
    EVERYONE = 1 [0], "Everyone";
    /// S-1-2-0
    LOCAL = 2 [0], "LOCAL";
    /// S-1-3-0, `CO`: replaced by the owner when inherited
    CREATOR_OWNER = 3 [0], "CREATOR OWNER";
    /// S-1-3-1, `CG`: replaced by the primary group when inherited
    CREATOR_GROUP = 3 [1], "CREATOR GROUP";
    /// S-1-3-4, `OW`: stands for the present owner in a DACL
    OWNER_RIGHTS = 3 [4], "OWNER RIGHTS";
    /// S-1-5-2, `NU`
    NETWORK = 5 [2], "NT AUTHORITY\\NETWORK";
    /// S-1-5-3
    BATCH = 5 [3], "NT AUTHORITY\\BATCH";
    /// S-1-5-4, `IU`
    INTERACTIVE = 5 [4], "NT AUTHORITY\\INTERACTIVE";
    /// S-1-5-6, `SU`
    SERVICE = 5 [6], "NT AUTHORITY\\SERVICE";
    /// S-1-5-7, `AN`
    ANONYMOUS = 5 [7], "NT AUTHORITY\\ANONYMOUS LOGON";
    /// S-1-5-9, `ED`
    ENTERPRISE_DOMAIN_CONTROLLERS = 5 [9], "NT AUTHORITY\\ENTERPRISE DOMAIN CONTROLLERS";
    /// S-1-5-10, `PS`: the object's own principal
    PRINCIPAL_SELF = 5 [10], "NT AUTHORITY\\SELF";
    /// S-1-5-11, `AU`
    AUTHENTICATED_USERS = 5 [11], "NT AUTHORITY\\Authenticated Users";
    /// S-1-5-12, `RC`
    RESTRICTED_CODE = 5 [12], "NT AUTHORITY\\RESTRICTED";
    /// S-1-5-18, `SY`
    SYSTEM = 5 [18], "NT AUTHORITY\\SYSTEM";
    /// S-1-5-19, `LS`
    LOCAL_SERVICE = 5 [19], "NT AUTHORITY\\LOCAL SERVICE";
    /// S-1-5-20, `NS`
    NETWORK_SERVICE = 5 [20], "NT AUTHORITY\\NETWORK SERVICE";
    /// S-1-5-33, `WR`
    WRITE_RESTRICTED_CODE = 5 [33], "NT AUTHORITY\\WRITE RESTRICTED";
    /// S-1-5-113
    LOCAL_ACCOUNT = 5 [113], "NT AUTHORITY\\Local account";
    /// S-1-5-32-544, `BA`
    ADMINISTRATORS = 5 [32, 544], "BUILTIN\\Administrators";
    /// S-1-5-32-545, `BU`
    USERS = 5 [32, 545], "BUILTIN\\Users";
    /// S-1-5-32-546, `BG`
    GUESTS = 5 [32, 546], "BUILTIN\\Guests";
    /// S-1-5-32-547, `PU`
    POWER_USERS = 5 [32, 547], "BUILTIN\\Power Users";
    /// S-1-5-32-551, `BO`
    BACKUP_OPERATORS = 5 [32, 551], "BUILTIN\\Backup Operators";
    /// S-1-5-80-…: the service that owns system files
    TRUSTED_INSTALLER = 5 [80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464],
        "NT SERVICE\\TrustedInstaller";
    /// S-1-15-2-1, `AC`
    ALL_APPLICATION_PACKAGES = 15 [2, 1],
        "APPLICATION PACKAGE AUTHORITY\\ALL APPLICATION PACKAGES";
    /// S-1-15-2-2
    ALL_RESTRICTED_APPLICATION_PACKAGES = 15 [2, 2],
        "APPLICATION PACKAGE AUTHORITY\\ALL RESTRICTED APPLICATION PACKAGES";
    /// S-1-16-0
    UNTRUSTED_LEVEL = 16 [0], "Mandatory Label\\Untrusted Mandatory Level";
    /// S-1-16-4096, `LW`
    LOW_LEVEL = 16 [4096], "Mandatory Label\\Low Mandatory Level";
    /// S-1-16-8192, `ME`
    MEDIUM_LEVEL = 16 [8192], "Mandatory Label\\Medium Mandatory Level";
    /// S-1-16-8448, `MP`
    MEDIUM_PLUS_LEVEL = 16 [8448], "Mandatory Label\\Medium Plus Mandatory Level";
    /// S-1-16-12288, `HI`
    HIGH_LEVEL = 16 [12288], "Mandatory Label\\High Mandatory Level";
    /// S-1-16-16384, `SI`
    SYSTEM_LEVEL = 16 [16384], "Mandatory Label\\System Mandatory Level";
}

/// The name that Windows shows for a SID that is the same on every machine.
pub fn name(sid: &Sid) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| known == sid).map(|(_, name)| *name)
}

/// Where an SDDL alias takes the front of its SID from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasSid {
    /// The same everywhere.
    Fixed(Sid),
    /// A relative identifier in the machine's own account domain.
    Machine(u32),
    /// A relative identifier in the domain that the machine is joined to.
    Domain(u32),
    /// A relative identifier in the root domain of the forest.
    RootDomain(u32),
}

/// What the two letters of an SDDL SID alias stand for; `None` when they are no alias.
pub fn alias(letters: [u8; 2]) -> Option<AliasSid> {
    use AliasSid::{Domain, Fixed, Machine, RootDomain};
    Some(match &letters {
        b"WD" => Fixed(EVERYONE),
        b"SY" => Fixed(SYSTEM),
        b"AU" => Fixed(AUTHENTICATED_USERS),
        b"CO" => Fixed(CREATOR_OWNER),
        b"CG" => Fixed(CREATOR_GROUP),
        b"OW" => Fixed(OWNER_RIGHTS),
        b"PS" => Fixed(PRINCIPAL_SELF),
        b"AN" => Fixed(ANONYMOUS),
        b"IU" => Fixed(INTERACTIVE),
        b"NU" => Fixed(NETWORK),
        b"SU" => Fixed(SERVICE),
        b"ED" => Fixed(ENTERPRISE_DOMAIN_CONTROLLERS),
        b"RC" => Fixed(RESTRICTED_CODE),
        b"WR" => Fixed(WRITE_RESTRICTED_CODE),
        b"LS" => Fixed(LOCAL_SERVICE),
        b"NS" => Fixed(NETWORK_SERVICE),
        b"AC" => Fixed(ALL_APPLICATION_PACKAGES),
        b"AS" => Fixed(Sid::constant(18, [1])),
        b"SS" => Fixed(Sid::constant(18, [2])),
        b"UD" => Fixed(Sid::constant(5, [84, 0, 0, 0, 0, 0])),
        b"LW" => Fixed(LOW_LEVEL),
        b"ME" => Fixed(MEDIUM_LEVEL),
        b"MP" => Fixed(MEDIUM_PLUS_LEVEL),
        b"HI" => Fixed(HIGH_LEVEL),
        b"SI" => Fixed(SYSTEM_LEVEL),
        b"LA" => Machine(500),
        b"LG" => Machine(501),
        b"RO" => RootDomain(498),
        b"SA" => RootDomain(518),
        b"EA" => RootDomain(519),
        b"DA" => Domain(512),
        b"DU" => Domain(513),
        b"DG" => Domain(514),
        b"DC" => Domain(515),
        b"DD" => Domain(516),
        b"CA" => Domain(517),
        b"PA" => Domain(520),
        b"CN" => Domain(522),
        b"AP" => Domain(525),
        b"KA" => Domain(526),
        b"EK" => Domain(527),
        b"RS" => Domain(553),
        builtin => Fixed(Sid::constant(5, [32, builtin_alias(*builtin)?])),
    })
}

/// Relative identifiers of the BUILTIN domain S-1-5-32.
fn builtin_alias(letters: [u8; 2]) -> Option<u32> {
    Some(match &letters {
        b"BA" => 544,
        b"BU" => 545,
        b"BG" => 546,
        b"PU" => 547,
        b"AO" => 548,
        b"SO" => 549,
        b"PO" => 550,
        b"BO" => 551,
        b"RE" => 552,
        b"RU" => 554,
        b"RD" => 555,
        b"NO" => 556,
        b"MU" => 558,
        b"LU" => 559,
        b"IS" => 568,
        b"CY" => 569,
        b"ER" => 573,
        b"CD" => 574,
        b"RA" => 575,
        b"ES" => 576,
        b"MS" => 577,
        b"HA" => 578,
        b"AA" => 579,
        b"RM" => 580,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_what_the_table_says() {
        assert_eq!(alias(*b"BA"), Some(AliasSid::Fixed(ADMINISTRATORS)));
        assert_eq!(alias(*b"DU"), Some(AliasSid::Domain(513)));
        assert_eq!(alias(*b"ZZ"), None);
    }

    #[test]
    fn names_are_found_by_sid() {
        assert_eq!(name(&Sid::parse("S-1-5-32-545").unwrap()), Some("BUILTIN\\Users"));
        assert_eq!(name(&Sid::parse("S-1-5-21-1-2-3-1001").unwrap()), None);
    }
}
