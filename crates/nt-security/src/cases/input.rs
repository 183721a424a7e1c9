//! The small parts of a case: texts that are not copied, mappings, descriptors.

use std::borrow::Cow;
use std::fmt;

use nt_security::{AccessMask, GenericMapping, ObjectType, SecurityDescriptor};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::error::CaseError;

/// A text that is borrowed from the line wherever it has no escapes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// An object type by name, or the four masks of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping(pub(crate) GenericMapping);

impl Default for Mapping {
    fn default() -> Self {
        Self(ObjectType::File.mapping())
    }
}

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mappings;
        impl<'de> Visitor<'de> for Mappings {
            type Value = Mapping;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object type, or the masks read, write, execute and all")
            }

            fn visit_unit<E>(self) -> Result<Mapping, E> {
                Ok(Mapping::default())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mapping, E> {
                let object_type: ObjectType =
                    text.parse().map_err(|error| E::custom(format_args!("{error}: {text:?}")))?;
                Ok(Mapping(object_type.mapping()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapping, A::Error> {
                #[derive(Deserialize)]
                struct Masks {
                    read: AccessMask,
                    write: AccessMask,
                    execute: AccessMask,
                    all: AccessMask,
                }
                let Masks { read, write, execute, all } =
                    Masks::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Mapping(GenericMapping { read, write, execute, all }))
            }
        }
        deserializer.deserialize_any(Mappings)
    }
}

/// Reads a descriptor in SDDL.
pub(crate) fn descriptor(text: &str, field: &'static str) -> Result<SecurityDescriptor, CaseError> {
    SecurityDescriptor::from_sddl(text).map_err(|source| CaseError::Sddl { field, source })
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn bytes(digits: &str) -> Result<Vec<u8>, CaseError> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return Err(CaseError::Hex) };
    let digit = |byte: u8| (byte as char).to_digit(16).ok_or(CaseError::Hex);
    pairs.iter().map(|[high, low]| Ok((digit(*high)? * 16 + digit(*low)?) as u8)).collect()
}
