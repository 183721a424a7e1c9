//! Postfix bytes to expression text.

use std::fmt::Write as _;

use super::{MAX_DEPTH, ON_ATTRIBUTE, ON_SIDS, PREFIXES, RELATIONS, SIGNATURE, code, form, is_name_char};
use crate::sid::Sid;
use crate::wire::u32_at;

/// The expression of an ACE's bytes in parentheses, or `None` for bytes that are no expression this crate can write.
/// The caller still has to see that reading the text gives the same bytes: they may say the same in another form.
pub(in crate::sddl) fn print(bytes: &[u8]) -> Option<String> {
    let mut tokens = Tokens { bytes: bytes.strip_prefix(SIGNATURE)? };
    let mut stack: Vec<Part> = Vec::new();
    while let Some(token) = tokens.next() {
        if token == 0 {
            // Padding to a multiple of four: nothing but zeros may follow.
            if tokens.bytes.iter().any(|byte| *byte != 0) {
                return None;
            }
            break;
        }
        let part = match operator(token) {
            Some(operator) => operator.apply(&mut stack)?,
            None => Part { text: tokens.operand(token, 0)?, binding: Binding::Atom, depth: 1 },
        };
        stack.push(part);
    }
    let whole = stack.pop().filter(|part| stack.is_empty() && part.depth <= MAX_DEPTH)?;
    Some(format!("({})", whole.text))
}

/// A piece of the expression.
struct Part {
    text: String,
    binding: Binding,
    /// How deeply it nests. Texts are copied at each level, so this bounds the work too.
    depth: usize,
}

/// How tightly the outermost operator of a piece binds.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Binding {
    Or,
    And,
    Atom,
}

impl Part {
    /// The text as an operand of an operator that binds like this.
    fn inside(&self, binding: Binding) -> String {
        if self.binding < binding { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// What a token code does.
enum Operator {
    Prefix(&'static str),
    Relation(&'static str),
    Not,
    And,
    Or,
}

fn operator(token: u8) -> Option<Operator> {
    let find =
        |table: &[(u8, &'static str)]| table.iter().find(|(known, _)| *known == token).map(|(_, w)| *w);
    Some(match token {
        code::NOT => Operator::Not,
        code::AND => Operator::And,
        code::OR => Operator::Or,
        _ => match find(&RELATIONS) {
            Some(word) => Operator::Relation(word),
            None => Operator::Prefix(find(&ON_SIDS).or_else(|| find(&ON_ATTRIBUTE))?),
        },
    })
}

impl Operator {
    fn apply(self, stack: &mut Vec<Part>) -> Option<Part> {
        let right = stack.pop()?;
        match self {
            Self::Prefix(word) => {
                Part::new(format!("{word} {}", right.inside(Binding::Atom)), Binding::Atom, right.depth)
            }
            Self::Not => Part::new(format!("!({})", right.text), Binding::Atom, right.depth + 1),
            Self::Relation(word) => {
                let left = stack.pop()?;
                let space = if word.starts_with(|c: char| c.is_ascii_alphabetic()) { " " } else { "" };
                let text = format!("{}{space}{word}{space}{}", left.text, right.text);
                Part::new(text, Binding::Atom, left.depth.max(right.depth))
            }
            Self::And => Part::joined(&stack.pop()?, "&&", &right, Binding::And),
            Self::Or => Part::joined(&stack.pop()?, "||", &right, Binding::Or),
        }
    }
}

impl Part {
    fn new(text: String, binding: Binding, depth: usize) -> Option<Self> {
        (depth <= MAX_DEPTH).then_some(Self { text, binding, depth })
    }

    /// Operators group to the left; an operand on the right that is the same operator needs parentheses.
    fn joined(left: &Self, word: &str, right: &Self, binding: Binding) -> Option<Self> {
        let right_text =
            if right.binding == binding { format!("({})", right.text) } else { right.inside(binding) };
        let text = format!("{}{word}{right_text}", left.inside(binding));
        // A long chain to the left copies its text at every link, as nesting does.
        Self::new(text, binding, left.depth.max(right.depth) + 1)
    }
}

/// Tokens that have not been read.
struct Tokens<'a> {
    bytes: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<u8> {
        let (token, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*token)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Bytes with their length before them.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = u32_at(self.take(4)?, 0)?;
        self.take(usize::try_from(len).ok()?)
    }

    fn operand(&mut self, token: u8, depth: usize) -> Option<String> {
        match token {
            code::INT64 => integer(self.take(10)?),
            code::UNICODE => {
                Some(format!("\"{}\"", utf16(self.counted()?).filter(|text| !text.contains('"'))?))
            }
            code::OCTETS => {
                let mut text = "#".to_owned();
                crate::sddl::cursor::push_hex(&mut text, self.counted()?);
                Some(text)
            }
            code::SID => Some(format!("SID({})", Sid::from_bytes(self.counted()?).ok()?)),
            code::COMPOSITE if depth < 1 => composite(self.counted()?, depth + 1),
            code::LOCAL => name("", self.counted()?),
            _ => {
                let (_, prefix) = PREFIXES.iter().find(|(known, _)| *known == token)?;
                name(prefix, self.counted()?)
            }
        }
    }
}

fn composite(bytes: &[u8], depth: usize) -> Option<String> {
    let mut tokens = Tokens { bytes };
    let mut text = "{".to_owned();
    while let Some(token) = tokens.next() {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&tokens.operand(token, depth)?);
    }
    text.push('}');
    Some(text)
}

fn integer(bytes: &[u8]) -> Option<String> {
    let (value, [sign, base]) = bytes.split_first_chunk::<8>()? else { return None };
    let value = i64::from_le_bytes(*value);
    let sign = match *sign {
        form::POSITIVE => "+",
        form::NEGATIVE => "-",
        form::UNSIGNED => "",
        _ => return None,
    };
    let magnitude = value.unsigned_abs();
    Some(match *base {
        form::OCTAL => format!("{sign}0{magnitude:o}"),
        form::DECIMAL => format!("{sign}{magnitude}"),
        form::HEXADECIMAL => format!("{sign}{magnitude:#x}"),
        _ => return None,
    })
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, []) = bytes.as_chunks::<2>() else { return None };
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))).collect::<Result<_, _>>().ok()
}

fn name(prefix: &str, bytes: &[u8]) -> Option<String> {
    let name = utf16(bytes).filter(|name| !name.is_empty())?;
    let mut text = prefix.to_owned();
    for character in name.chars() {
        if is_name_char(character) {
            text.push(character);
        } else {
            // Only ASCII is not a name character, so four digits are enough.
            let _ = write!(text, "%{:04x}", character as u32);
        }
    }
    Some(text)
}
