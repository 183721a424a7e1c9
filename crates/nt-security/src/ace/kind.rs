//! The types of ACE there are (\[MS-DTYP\] 2.4.4.1) and what each does in an access check.

/// The type of an ACE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AceKind {
    /// ACCESS_ALLOWED_ACE_TYPE, 0, `A`
    Allow,
    /// ACCESS_DENIED_ACE_TYPE, 1, `D`
    Deny,
    /// SYSTEM_AUDIT_ACE_TYPE, 2, `AU`
    Audit,
    /// SYSTEM_ALARM_ACE_TYPE, 3, `AL`
    Alarm,
    /// ACCESS_ALLOWED_OBJECT_ACE_TYPE, 5, `OA`
    AllowObject,
    /// ACCESS_DENIED_OBJECT_ACE_TYPE, 6, `OD`
    DenyObject,
    /// SYSTEM_AUDIT_OBJECT_ACE_TYPE, 7, `OU`
    AuditObject,
    /// SYSTEM_ALARM_OBJECT_ACE_TYPE, 8, `OL`
    AlarmObject,
    /// ACCESS_ALLOWED_CALLBACK_ACE_TYPE, 9, `XA`
    AllowCallback,
    /// ACCESS_DENIED_CALLBACK_ACE_TYPE, 10, `XD`
    DenyCallback,
    /// ACCESS_ALLOWED_CALLBACK_OBJECT_ACE_TYPE, 11, `ZA`
    AllowCallbackObject,
    /// ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE, 12
    DenyCallbackObject,
    /// SYSTEM_AUDIT_CALLBACK_ACE_TYPE, 13, `XU`
    AuditCallback,
    /// SYSTEM_ALARM_CALLBACK_ACE_TYPE, 14
    AlarmCallback,
    /// SYSTEM_AUDIT_CALLBACK_OBJECT_ACE_TYPE, 15
    AuditCallbackObject,
    /// SYSTEM_ALARM_CALLBACK_OBJECT_ACE_TYPE, 16
    AlarmCallbackObject,
    /// SYSTEM_MANDATORY_LABEL_ACE_TYPE, 17, `ML`
    MandatoryLabel,
    /// SYSTEM_RESOURCE_ATTRIBUTE_ACE_TYPE, 18, `RA`
    ResourceAttribute,
    /// SYSTEM_SCOPED_POLICY_ID_ACE_TYPE, 19, `SP`
    ScopedPolicy,
    /// SYSTEM_PROCESS_TRUST_LABEL_ACE_TYPE, 20, `TL`
    ProcessTrustLabel,
    /// SYSTEM_ACCESS_FILTER_ACE_TYPE, 21, `FL`
    AccessFilter,
    /// Any other number, ACCESS_ALLOWED_COMPOUND_ACE_TYPE (4) included
    Unknown(u8),
}

/// What an ACE of a DACL does in an access check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum AceEffect {
    /// Grants its rights to its SID.
    Allow,
    /// Refuses its rights to its SID.
    Deny,
}

impl AceKind {
    /// Every kind that is known, in the order of the numbers.
    pub const KNOWN: [Self; 21] = [
        Self::Allow,
        Self::Deny,
        Self::Audit,
        Self::Alarm,
        Self::AllowObject,
        Self::DenyObject,
        Self::AuditObject,
        Self::AlarmObject,
        Self::AllowCallback,
        Self::DenyCallback,
        Self::AllowCallbackObject,
        Self::DenyCallbackObject,
        Self::AuditCallback,
        Self::AlarmCallback,
        Self::AuditCallbackObject,
        Self::AlarmCallbackObject,
        Self::MandatoryLabel,
        Self::ResourceAttribute,
        Self::ScopedPolicy,
        Self::ProcessTrustLabel,
        Self::AccessFilter,
    ];

    /// The number on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Deny => 1,
            Self::Audit => 2,
            Self::Alarm => 3,
            Self::AllowObject => 5,
            Self::DenyObject => 6,
            Self::AuditObject => 7,
            Self::AlarmObject => 8,
            Self::AllowCallback => 9,
            Self::DenyCallback => 10,
            Self::AllowCallbackObject => 11,
            Self::DenyCallbackObject => 12,
            Self::AuditCallback => 13,
            Self::AlarmCallback => 14,
            Self::AuditCallbackObject => 15,
            Self::AlarmCallbackObject => 16,
            Self::MandatoryLabel => 17,
            Self::ResourceAttribute => 18,
            Self::ScopedPolicy => 19,
            Self::ProcessTrustLabel => 20,
            Self::AccessFilter => 21,
            Self::Unknown(number) => number,
        }
    }

    /// The kind of a number on the wire.
    pub const fn from_u8(number: u8) -> Self {
        match number {
            // 4, the compound ACE, was never used: it stays unknown and leaves a gap in the table.
            0..=3 => Self::KNOWN[number as usize],
            5..=21 => Self::KNOWN[number as usize - 1],
            other => Self::Unknown(other),
        }
    }

    /// Whether the ACE carries GUIDs.
    pub const fn is_object(self) -> bool {
        matches!(
            self,
            Self::AllowObject
                | Self::DenyObject
                | Self::AuditObject
                | Self::AlarmObject
                | Self::AllowCallbackObject
                | Self::DenyCallbackObject
                | Self::AuditCallbackObject
                | Self::AlarmCallbackObject
        )
    }

    /// Whether the ACE carries a condition.
    pub const fn is_callback(self) -> bool {
        matches!(
            self,
            Self::AllowCallback
                | Self::DenyCallback
                | Self::AllowCallbackObject
                | Self::DenyCallbackObject
                | Self::AuditCallback
                | Self::AlarmCallback
                | Self::AuditCallbackObject
                | Self::AlarmCallbackObject
        )
    }

    /// What it does in a DACL; `None` for kinds that an access check passes over there.
    pub const fn effect(self) -> Option<AceEffect> {
        match self {
            Self::Allow | Self::AllowObject | Self::AllowCallback | Self::AllowCallbackObject => {
                Some(AceEffect::Allow)
            }
            Self::Deny | Self::DenyObject | Self::DenyCallback | Self::DenyCallbackObject => {
                Some(AceEffect::Deny)
            }
            _ => None,
        }
    }

    /// Whether the mask is made of access rights, which inheritance maps; the mask of a label is a policy.
    pub const fn mask_is_rights(self) -> bool {
        !matches!(
            self,
            Self::MandatoryLabel | Self::ResourceAttribute | Self::ScopedPolicy | Self::Unknown(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_itself() {
        for number in 0..=u8::MAX {
            assert_eq!(AceKind::from_u8(number).to_u8(), number);
        }
        assert_eq!(AceKind::from_u8(4), AceKind::Unknown(4));
        assert_eq!(AceKind::from_u8(17), AceKind::MandatoryLabel);
    }
}
