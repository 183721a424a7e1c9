//! Generators. SIDs come from a small pool, so that tokens and ACEs meet.

use nt_security::ace::ObjectTypes;
use nt_security::guid::Guid;
use nt_security::token::GroupAttributes;
use nt_security::{
    AccessMask, Ace, AceFlags, AceKind, Acl, AclField, Control, Group, ObjectType, Privilege, Restriction,
    SecurityDescriptor, Sid, Token, well_known,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn user(relative_id: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, relative_id]).expect("five sub-authorities fit")
}

/// SIDs that may own, act, and be spoken of.
fn pool() -> Vec<Sid> {
    vec![
        user(1001),
        user(1002),
        user(7),
        well_known::EVERYONE,
        well_known::USERS,
        well_known::ADMINISTRATORS,
        well_known::AUTHENTICATED_USERS,
        Sid::constant(5, [5, 0, 777]),
    ]
}

pub fn principal() -> impl Strategy<Value = Sid> {
    select(pool())
}

/// SIDs of ACEs: principals and those that stand for someone.
pub fn trustee() -> impl Strategy<Value = Sid> {
    prop_oneof![
        8 => principal(),
        1 => Just(well_known::OWNER_RIGHTS),
        1 => select(vec![well_known::CREATOR_OWNER, well_known::CREATOR_GROUP]),
    ]
}

pub fn any_sid() -> impl Strategy<Value = Sid> {
    (0u64..1 << 48, vec(any::<u32>(), 0..=15))
        .prop_map(|(authority, values)| Sid::new(authority, &values).expect("in range"))
}

pub fn file_mask() -> impl Strategy<Value = AccessMask> {
    let usual = [0x1, 0x2, 0x40, 0x80, 0x116, 0x1_0000, 0x12_0089, 0x12_0116, 0x13_01BF, 0x1F_01FF, 0xD_0156];
    let bits = (0u32..=0x1FF, 0u32..=0x1F).prop_map(|(low, high)| low | high << 16);
    let generic = (1u32..16).prop_map(|bits| bits << 28);
    prop_oneof![select(usual.to_vec()), bits, generic].prop_map(AccessMask)
}

/// A request: rights, with generic ones, the SACL's and MAXIMUM_ALLOWED now and then.
pub fn request() -> impl Strategy<Value = AccessMask> {
    (file_mask(), prop::bool::weighted(0.1), prop::bool::weighted(0.2)).prop_map(|(mask, sacl, maximum)| {
        let mut desired = mask;
        if sacl {
            desired |= AccessMask::ACCESS_SYSTEM_SECURITY;
        }
        if maximum {
            desired |= AccessMask::MAXIMUM_ALLOWED;
        }
        desired
    })
}

pub fn inheritance_flags() -> impl Strategy<Value = AceFlags> {
    prop_oneof![2 => Just(0u8), 3 => 0u8..0x20].prop_map(AceFlags)
}

/// ACEs of a DACL.
pub fn dacl_ace() -> impl Strategy<Value = Ace> {
    let kind = prop_oneof![
        10 => Just(AceKind::Allow),
        6 => Just(AceKind::Deny),
        1 => select(vec![
            AceKind::AllowCallback, AceKind::DenyCallback, AceKind::AllowObject, AceKind::DenyObject,
        ]),
    ];
    (kind, file_mask(), trustee(), inheritance_flags(), any::<bool>()).prop_map(
        |(kind, mask, sid, flags, has_guid)| {
            let object = has_guid.then_some(Guid([9; 16]));
            let types = ObjectTypes { object, inherited_object: None };
            Ace::object(kind, mask, types, sid, vec![])
                .or_else(|| Ace::with_extra(kind, mask, sid, vec![]))
                .expect("object kinds have one constructor and the others the other")
                .with_flags(flags)
        },
    )
}

pub fn label_ace() -> impl Strategy<Value = Ace> {
    let levels = vec![0, 0x1000, 0x1800, 0x2000, 0x3000, 0x4000];
    (select(levels), 0u32..8, inheritance_flags()).prop_map(|(level, policy, flags)| {
        Ace::label(level, nt_security::LabelPolicy(policy)).with_flags(flags)
    })
}

fn dacl() -> impl Strategy<Value = AclField> {
    prop_oneof![
        1 => Just(AclField::Absent),
        1 => Just(AclField::Null),
        18 => vec(dacl_ace(), 0..7).prop_map(|aces| AclField::List(Acl::new(aces))),
    ]
}

fn sacl() -> impl Strategy<Value = AclField> {
    prop_oneof![
        3 => Just(AclField::Absent),
        2 => vec(label_ace(), 0..3).prop_map(|aces| AclField::List(Acl::new(aces))),
    ]
}

fn control() -> impl Strategy<Value = Control> {
    let known = Control::DACL_PROTECTED.0
        | Control::SACL_PROTECTED.0
        | Control::DACL_AUTO_INHERITED.0
        | Control::SACL_AUTO_INHERITED.0;
    any::<u16>().prop_map(move |bits| Control(bits & known))
}

/// Descriptors of files as an access check meets them.
pub fn descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    (control(), prop::option::weighted(0.95, principal()), dacl(), sacl()).prop_map(
        |(control, owner, dacl, sacl)| SecurityDescriptor {
            control,
            resource_manager_control: 0,
            owner,
            group: Some(well_known::SYSTEM),
            dacl,
            sacl,
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let attributes = prop_oneof![
        6 => Just(GroupAttributes::ORDINARY),
        1 => Just(GroupAttributes::USE_FOR_DENY_ONLY),
        1 => Just(GroupAttributes::NONE),
    ];
    (principal(), attributes).prop_map(|(sid, attributes)| Group { sid, attributes })
}

pub fn restricting_sids() -> impl Strategy<Value = Vec<Sid>> {
    vec(principal(), 0..4)
}

fn restriction() -> impl Strategy<Value = Restriction> {
    prop_oneof![
        Just(Restriction::None),
        restricting_sids().prop_map(Restriction::Full),
        restricting_sids().prop_map(Restriction::Write),
    ]
}

pub fn token() -> impl Strategy<Value = Token> {
    let privileges = vec(
        select(vec![
            Privilege::Security,
            Privilege::TakeOwnership,
            Privilege::Relabel,
            Privilege::Backup,
            Privilege::ChangeNotify,
        ]),
        0..2,
    );
    let level = prop_oneof![4 => Just(0x2000u32), 1 => select(vec![0, 0x1000, 0x1800, 0x3000])];
    (principal(), prop::bool::weighted(0.1), vec(group(), 0..5), restriction(), privileges, level).prop_map(
        |(user, user_deny_only, groups, restriction, privileges, integrity)| Token {
            user_deny_only,
            groups,
            restriction,
            privileges: privileges.into_iter().collect(),
            integrity,
            ..Token::new(user)
        },
    )
}

/// A token without the second pass.
pub fn unrestricted_token() -> impl Strategy<Value = Token> {
    token().prop_map(|token| Token { restriction: Restriction::None, ..token })
}

pub fn object_type() -> impl Strategy<Value = ObjectType> {
    select(ObjectType::ALL.to_vec())
}

/// Bytes in the size of an ACE's end.
pub fn quads(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u32>(), count).prop_map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect())
}

/// ACEs of every kind there is, with anything in them.
pub fn any_ace() -> impl Strategy<Value = Ace> {
    let known = (select(AceKind::KNOWN.to_vec()), any::<u32>(), any_sid(), quads(0..4), guids()).prop_map(
        |(kind, mask, sid, extra, types)| {
            Ace::object(kind, AccessMask(mask), types, sid, extra.clone())
                .or_else(|| Ace::with_extra(kind, AccessMask(mask), sid, extra))
                .expect("object kinds have one constructor and the others the other")
        },
    );
    let unknown = (22u8.., quads(0..4))
        .prop_map(|(number, body)| Ace::unknown(number, body).expect("no such type is known"));
    (prop_oneof![8 => known, 1 => unknown], any::<u8>())
        .prop_map(|(ace, flags)| ace.with_flags(AceFlags(flags)))
}

fn guids() -> impl Strategy<Value = ObjectTypes> {
    let guid = || prop::option::of(any::<[u8; 16]>().prop_map(Guid));
    (guid(), guid()).prop_map(|(object, inherited_object)| ObjectTypes { object, inherited_object })
}

fn any_list() -> impl Strategy<Value = AclField> {
    prop_oneof![
        Just(AclField::Absent),
        Just(AclField::Null),
        vec(any_ace(), 0..6).prop_map(|aces| AclField::List(Acl::new(aces))),
    ]
}

/// Descriptors with anything in them.
pub fn any_descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let owner = || prop::option::of(any_sid());
    (any::<u16>(), any::<u8>(), owner(), owner(), any_list(), any_list()).prop_map(
        |(control, resource_manager_control, owner, group, dacl, sacl)| SecurityDescriptor {
            control: Control(control).without(Control::DERIVED),
            resource_manager_control,
            owner,
            group,
            dacl,
            sacl,
        },
    )
}
