//! The token of a case.

use std::fmt;

use nt_security::sddl::SddlError;
use nt_security::token::{GroupAttributes, MandatoryPolicy, integrity};
use nt_security::{AccessMask, Group, Privilege, Privileges, Restriction, Sid, Token};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::error::CaseError;
use super::input::{Text, descriptor};

/// The token as it is written. Whatever is missing is empty, or what an ordinary token has.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenField<'a> {
    user: Member,
    #[serde(default)]
    user_deny_only: bool,
    #[serde(default)]
    groups: Option<Vec<Member>>,
    #[serde(default)]
    restricted: Option<Vec<Member>>,
    #[serde(default)]
    write_restricted: Option<bool>,
    #[serde(default)]
    privileges: Option<Vec<PrivilegeField>>,
    #[serde(default)]
    integrity: Option<Level>,
    #[serde(default)]
    mandatory_policy: Option<u32>,
    #[serde(default)]
    owner: Option<Sid>,
    #[serde(default)]
    primary_group: Option<Sid>,
    #[serde(default, borrow)]
    default_dacl: Option<Text<'a>>,
}

impl TokenField<'_> {
    /// The token that is meant.
    pub(crate) fn token(self) -> Result<Token, CaseError> {
        let mut token = Token::new(self.user.sid);
        token.user_deny_only = self.user_deny_only || self.user.deny_only;
        token.groups = self.groups.unwrap_or_default().into_iter().map(Member::group).collect();
        let restricting: Vec<_> =
            self.restricted.unwrap_or_default().iter().map(|member| member.sid).collect();
        token.restriction = match (self.write_restricted.unwrap_or_default(), restricting.is_empty()) {
            (true, _) => Restriction::Write(restricting),
            (false, true) => Restriction::None,
            (false, false) => Restriction::Full(restricting),
        };
        token.privileges = self
            .privileges
            .unwrap_or_default()
            .into_iter()
            .filter_map(|field| field.0)
            .collect::<Privileges>();
        token.integrity = self.integrity.map_or(integrity::MEDIUM, |level| level.0);
        if let Some(policy) = self.mandatory_policy {
            token.mandatory_policy = MandatoryPolicy(policy);
        }
        token.default_owner = self.owner;
        token.primary_group = self.primary_group;
        if let Some(text) = self.default_dacl {
            token.default_dacl = descriptor(&text.0, "default_dacl")?.dacl().cloned();
        }
        Ok(token)
    }
}

/// A user, group or restricting SID: the SID alone, or with what is special about it.
#[derive(Debug, Clone, Copy)]
struct Member {
    sid: Sid,
    attributes: Option<GroupAttributes>,
    deny_only: bool,
}

impl Member {
    fn group(self) -> Group {
        let otherwise =
            if self.deny_only { GroupAttributes::USE_FOR_DENY_ONLY } else { GroupAttributes::ORDINARY };
        Group { sid: self.sid, attributes: self.attributes.unwrap_or(otherwise) }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SID, or an object with sid and attrs or deny_only")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Member, E> {
        let sid = nt_security::sddl::parse_sid(text)
            .map_err(|SddlError { kind, .. }| E::custom(format_args!("{text:?} is not a SID: {kind}")))?;
        Ok(Member { sid, attributes: None, deny_only: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let mut sid: Option<Sid> = None;
        let mut attributes = None;
        let mut deny_only = false;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.0.as_ref() {
                "sid" => sid = Some(map.next_value()?),
                "attrs" | "attributes" => attributes = map.next_value::<Option<AccessMask>>()?,
                "deny_only" => deny_only = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        let sid = sid.ok_or_else(|| de::Error::missing_field("sid"))?;
        Ok(Member { sid, attributes: attributes.map(|mask| GroupAttributes(mask.0)), deny_only })
    }
}

/// A privilege by name, or an object that also says whether it is enabled. One that is not counts as not held.
#[derive(Debug)]
struct PrivilegeField(Option<Privilege>);

impl<'de> Deserialize<'de> for PrivilegeField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = PrivilegeField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a privilege, or an object with name and enabled")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<PrivilegeField, E> {
                name.parse()
                    .map(|privilege| PrivilegeField(Some(privilege)))
                    .map_err(|error| E::custom(format_args!("{error}: {name:?}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PrivilegeField, A::Error> {
                #[derive(Deserialize)]
                struct Full<'a> {
                    #[serde(borrow)]
                    name: Text<'a>,
                    #[serde(default)]
                    enabled: Option<bool>,
                }
                let full = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let field: PrivilegeField = self.visit_str(&full.name.0)?;
                Ok(PrivilegeField(field.0.filter(|_| full.enabled.unwrap_or(true))))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// An integrity level: its number, or its SID.
#[derive(Debug, Clone, Copy)]
struct Level(u32);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Levels;
        impl Visitor<'_> for Levels {
            type Value = Level;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integrity level: a number, or its SID")
            }

            fn visit_u64<E: de::Error>(self, level: u64) -> Result<Level, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(level), &self);
                u32::try_from(level).map(Level).map_err(wrong)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Level, E> {
                let by_sid = || nt_security::sddl::parse_sid(text).ok()?.integrity_level();
                let number = || AccessMask::parse(text).map(|mask| mask.0);
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                by_sid().or_else(number).map(Level).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_any(Levels)
    }
}
