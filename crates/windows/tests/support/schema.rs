//! A validator for the part of JSON Schema that our schemas use. A keyword that it does not know is an error, so nothing is passed
//! over in silence. (The `jsonschema` crate depends on one under a licence that deny.toml does not allow.)

use serde_json::{Map, Value};

/// Checks `value` against `schema`; the errors say where.
pub fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    Validator { root: schema }.check(schema, value, "$", &mut errors);
    errors
}

/// What describes and does not restrict.
const ANNOTATIONS: [&str; 6] = ["$schema", "$defs", "title", "description", "default", "format"];

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let Value::Object(schema) = schema else {
            assert_eq!(schema, &Value::Bool(true), "{at}: a schema that is no object");
            return;
        };
        for (keyword, wanted) in schema {
            self.keyword(schema, keyword, wanted, value, at, errors);
        }
    }

    fn holds(&self, schema: &Value, value: &Value, at: &str) -> bool {
        let mut errors = Vec::new();
        self.check(schema, value, at, &mut errors);
        errors.is_empty()
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        at: &str,
        errors: &mut Vec<String>,
    ) {
        let list = || wanted.as_array().expect("a list of the schema");
        let fits = |holds: bool| if holds { Vec::new() } else { vec![format!("{at}: {keyword} {wanted}")] };
        let count = |schemas: &[Value]| schemas.iter().filter(|one| self.holds(one, value, at)).count();
        match keyword {
            name if ANNOTATIONS.contains(&name) => {}
            "$ref" => self.check(self.resolve(wanted), value, at, errors),
            "type" => errors.extend(fits(is_of(wanted, value))),
            "const" => errors.extend(fits(value == wanted)),
            "enum" => errors.extend(fits(list().contains(value))),
            "oneOf" => errors.extend(fits(count(list()) == 1)),
            "anyOf" => errors.extend(fits(count(list()) > 0)),
            "allOf" => errors.extend(fits(count(list()) == list().len())),
            "minimum" => errors.extend(fits(number(value).is_none_or(|n| Some(n) >= number(wanted)))),
            "maximum" => errors.extend(fits(number(value).is_none_or(|n| Some(n) <= number(wanted)))),
            "pattern" => errors.extend(fits(value.as_str().is_none_or(|text| matches(wanted, text)))),
            "required" => {
                let missing = |name: &&Value| {
                    value
                        .as_object()
                        .is_some_and(|object| !object.contains_key(name.as_str().expect("a name")))
                };
                errors.extend(list().iter().filter(missing).map(|name| format!("{at}: {name} is missing")));
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(wanted, item, &format!("{at}[{index}]"), errors);
                }
            }
            "properties" => {
                for (name, member) in wanted.as_object().expect("an object of the schema") {
                    if let Some(member_value) = value.get(name) {
                        self.check(member, member_value, &format!("{at}.{name}"), errors);
                    }
                }
            }
            "additionalProperties" => {
                let known =
                    |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
                for (name, member) in value.as_object().into_iter().flatten().filter(|(name, _)| !known(name))
                {
                    match wanted {
                        Value::Bool(false) => errors.push(format!("{at}: {name} is not known")),
                        other => self.check(other, member, &format!("{at}.{name}"), errors),
                    }
                }
            }
            other => panic!("{at}: the keyword {other} is not known to this validator"),
        }
    }

    fn resolve(&self, reference: &Value) -> &Value {
        let pointer =
            reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference into the schema");
        self.root.pointer(pointer).expect("a definition of the schema")
    }
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    if let Value::Array(types) = wanted {
        return types.iter().any(|one| is_of(one, value));
    }
    match wanted.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the type {other}"),
    }
}

/// The patterns that there are.
fn matches(pattern: &Value, text: &str) -> bool {
    match pattern.as_str().expect("a pattern") {
        r"^(\\\\\?\\)?[A-Z]:\\" => is_drive_path(text.strip_prefix(r"\\?\").unwrap_or(text).as_bytes()),
        "^S-1-[0-9]" => {
            text.strip_prefix("S-1-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }
        "^0x[0-9a-f]+$" => text.strip_prefix("0x").is_some_and(is_hex),
        other => panic!("the pattern {other}"),
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn is_drive_path(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && bytes[0].is_ascii_uppercase() && &bytes[1..3] == b":\\"
}
