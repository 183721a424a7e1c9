//! The feature `serde`: SIDs, ACEs and descriptors as SDDL text, masks as `0x…`, object types by name, statuses by the
//! name that Windows gives them. What is derived elsewhere is made of these.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::ace::{Ace, LabelPolicy};
use crate::acl::Acl;
use crate::check::{Doubt, Status};
use crate::descriptor::SecurityDescriptor;
use crate::mask::AccessMask;
use crate::object_type::ObjectType;
use crate::sddl;
use crate::sid::Sid;
use crate::token::Privilege;

/// Serializes as its text, and reads the text with a function.
macro_rules! as_text {
    ($type:ty, $what:literal, $parse:expr) => {
        as_text!($type);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Texts;
                impl Visitor<'_> for Texts {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $parse(text)
                            .map_err(|error| E::custom(format_args!("{text:?} is not {}: {error}", $what)))
                    }
                }
                deserializer.deserialize_str(Texts)
            }
        }
    };
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

as_text!(Sid, "a SID", sddl::parse_sid);
as_text!(Ace, "an ACE in SDDL", Ace::from_sddl);
as_text!(Acl, "ACEs in SDDL", Acl::from_sddl);
as_text!(SecurityDescriptor, "a security descriptor in SDDL", SecurityDescriptor::from_sddl);
as_text!(AccessMask);

/// Serializes as the text that a function gives.
macro_rules! as_name {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    )*};
}

as_name!(ObjectType, Status, Privilege);

impl Serialize for LabelPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl Serialize for Doubt {
    /// A list of the open points in words.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.descriptions())
    }
}

/// Names that are read back.
macro_rules! from_name {
    ($($type:ty, $what:literal);*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Names;
                impl Visitor<'_> for Names {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, name: &str) -> Result<$type, E> {
                        name.parse().map_err(|error| E::custom(format_args!("{error}: {name:?}")))
                    }
                }
                deserializer.deserialize_str(Names)
            }
        }
    )*};
}

from_name!(ObjectType, "the name of an object type"; Privilege, "the name of a privilege");

impl<'de> Deserialize<'de> for AccessMask {
    /// A number, or a text with a number in it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Masks)
    }
}

struct Masks;

impl Visitor<'_> for Masks {
    type Value = AccessMask;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an access mask: a 32-bit number, or such a number as text")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<AccessMask, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(value), &self);
        u32::try_from(value).map(AccessMask).map_err(wrong)
    }

    /// Languages without unsigned numbers write GENERIC_READ as a negative one.
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<AccessMask, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Signed(value), &self);
        i32::try_from(value).map(|mask| AccessMask(mask as u32)).map_err(wrong)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AccessMask, E> {
        let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
        AccessMask::parse(text).ok_or_else(wrong)
    }
}

#[cfg(all(test, feature = "cases"))]
mod tests {
    use super::*;
    use crate::check::{Query, Readings, access_check};
    use crate::token::Token;

    #[test]
    fn texts_are_read_back() {
        let descriptor = SecurityDescriptor::from_sddl("O:SYD:P(A;OICI;FA;;;BA)").unwrap();
        let json = serde_json::to_string(&descriptor).unwrap();
        assert_eq!(json, r#""O:S-1-5-18D:P(A;OICI;0x1f01ff;;;S-1-5-32-544)""#);
        assert_eq!(serde_json::from_str::<SecurityDescriptor>(&json).unwrap(), descriptor);
        assert_eq!(serde_json::from_str::<AccessMask>("-2147483648").unwrap(), AccessMask::GENERIC_READ);
        assert_eq!(serde_json::from_str::<AccessMask>(r#""0x10""#).unwrap(), AccessMask(16));
        let error = serde_json::from_str::<Sid>(r#""S-1""#).unwrap_err().to_string();
        assert!(error.contains("\"S-1\" is not a SID"), "{error}");
    }

    #[test]
    fn a_decision_is_an_object_with_words_in_it() {
        let descriptor = SecurityDescriptor::from_sddl("O:SYD:(D;;SD;;;WR)(A;;FR;;;WR)").unwrap();
        let token = Token::new(crate::sid::well_known::WRITE_RESTRICTED_CODE);
        let desired = AccessMask::DELETE;
        let query = Query::new(&descriptor, &token, desired, ObjectType::File.mapping());
        let decision = access_check(&query, &Readings::default());
        let json = serde_json::to_value(&decision).unwrap();
        assert_eq!(json["verdict"]["status"], "STATUS_ACCESS_DENIED");
        assert_eq!(json["outcome"], "denied");
        assert_eq!(json["rights"][0]["right"], "0x10000");
        assert_eq!(json["rights"][0]["reason"]["ace"]["ace"]["text"], "(D;;0x10000;;;S-1-5-33)");
    }
}
