//! The security identifier: who an ACE, a token entry or an owner field speaks of.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

pub mod well_known;

/// The most sub-authorities a SID may have: SID_MAX_SUB_AUTHORITIES (\[MS-DTYP\] 2.4.2).
pub const MAX_SUB_AUTHORITIES: usize = 15;
/// The only revision there is: SID_REVISION.
const REVISION: u8 = 1;
/// Bytes before the first sub-authority: revision, count, six bytes of authority.
const HEADER: usize = 8;
/// The identifier authority is a 48-bit number.
const MAX_AUTHORITY: u64 = (1 << 48) - 1;

/// A security identifier (\[MS-DTYP\] 2.4.2): an authority and up to fifteen sub-authorities.
///
/// Plain data without a heap allocation, so that lists of them are cheap to compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid {
    // Unused sub-authorities are zero, so that derived equality and hashing are right.
    count: u8,
    authority: [u8; 6],
    sub_authorities: [u32; MAX_SUB_AUTHORITIES],
}

/// Why bytes or text are not a SID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidError {
    /// The text does not start with `S-1-`.
    #[error("a SID starts with S-1-")]
    Prefix,
    /// A part of the text is not a number of the right size.
    #[error("part {part} of the SID is not a number in range")]
    Number {
        /// Counted from the authority, which is part 0.
        part: usize,
    },
    /// More than fifteen sub-authorities.
    #[error("a SID has at most 15 sub-authorities")]
    TooManySubAuthorities,
    /// The authority does not fit in 48 bits.
    #[error("a SID's authority fits in 48 bits")]
    Authority,
    /// The revision byte is not 1.
    #[error("SID revision {0} is not known; only 1 is")]
    Revision(u8),
    /// The bytes end before the SID does.
    #[error("the bytes end inside a SID")]
    Truncated,
}

impl SidError {
    /// A stable word for programs that act on the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Prefix => "sid-prefix",
            Self::Number { .. } => "sid-number",
            Self::TooManySubAuthorities => "sid-too-long",
            Self::Authority => "sid-authority",
            Self::Revision(_) => "sid-revision",
            Self::Truncated => "sid-truncated",
        }
    }
}

impl Sid {
    /// A SID from its 48-bit authority and its sub-authorities.
    ///
    /// # Errors
    /// [`SidError::Authority`] and [`SidError::TooManySubAuthorities`].
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Result<Self, SidError> {
        if authority > MAX_AUTHORITY {
            return Err(SidError::Authority);
        }
        let mut builder = Builder::new(authority);
        for value in sub_authorities {
            builder.push(*value)?;
        }
        Ok(builder.finish())
    }

    /// A SID known when the program is compiled. A wrong authority or length does not compile when
    /// used in a constant.
    ///
    /// # Panics
    /// When the authority exceeds 48 bits or there are more than fifteen sub-authorities.
    pub const fn constant<const N: usize>(authority: u64, values: [u32; N]) -> Self {
        assert!(N <= MAX_SUB_AUTHORITIES && authority <= MAX_AUTHORITY);
        let mut sub_authorities = [0; MAX_SUB_AUTHORITIES];
        let mut i = 0;
        while i < N {
            sub_authorities[i] = values[i];
            i += 1;
        }
        Self { count: N as u8, authority: authority_bytes(authority), sub_authorities }
    }

    /// The SID that follows `self` in the same domain: `self` with one more sub-authority, as a
    /// domain SID becomes an account's.
    ///
    /// # Errors
    /// [`SidError::TooManySubAuthorities`] when there is no room.
    pub fn child(&self, relative_id: u32) -> Result<Self, SidError> {
        let mut child = *self;
        let slot =
            child.sub_authorities.get_mut(self.count as usize).ok_or(SidError::TooManySubAuthorities)?;
        *slot = relative_id;
        child.count += 1;
        Ok(child)
    }

    /// The identifier authority as a number, 5 for NT AUTHORITY.
    pub fn authority(&self) -> u64 {
        let [a, b, c, d, e, f] = self.authority;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The sub-authorities in order; the last one is the relative identifier.
    pub fn sub_authorities(&self) -> &[u32] {
        &self.sub_authorities[..self.count as usize]
    }

    /// The last sub-authority, if there is one.
    pub fn relative_id(&self) -> Option<u32> {
        self.sub_authorities().last().copied()
    }

    /// Whether `self` is `prefix` with further sub-authorities.
    pub fn is_below(&self, prefix: &Sid) -> bool {
        self.authority == prefix.authority
            && self.count > prefix.count
            && self.sub_authorities().starts_with(prefix.sub_authorities())
    }

    /// The integrity level that this SID names (`S-1-16-8192` is 8192), or `None` for other SIDs.
    pub fn integrity_level(&self) -> Option<u32> {
        match (self.authority(), self.sub_authorities()) {
            (16, [level]) => Some(*level),
            _ => None,
        }
    }

    /// Length of the binary form in bytes: 8 and 4 for each sub-authority.
    pub fn binary_len(&self) -> usize {
        HEADER + 4 * self.count as usize
    }

    /// Appends the binary form (\[MS-DTYP\] 2.4.2.2).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.push(REVISION);
        out.push(self.count);
        out.extend_from_slice(&self.authority);
        for value in self.sub_authorities() {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// The binary form.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.binary_len());
        self.write_to(&mut out);
        out
    }

    /// Reads the binary form from the start of `bytes`. The SID's [`binary_len`](Self::binary_len)
    /// says how many bytes it took; what follows is not looked at.
    ///
    /// # Errors
    /// [`SidError::Truncated`], [`SidError::Revision`], [`SidError::TooManySubAuthorities`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SidError> {
        let [revision, count, a, b, c, d, e, f, rest @ ..] = bytes else {
            return Err(SidError::Truncated);
        };
        if *revision != REVISION {
            return Err(SidError::Revision(*revision));
        }
        if *count as usize > MAX_SUB_AUTHORITIES {
            return Err(SidError::TooManySubAuthorities);
        }
        let body = rest.get(..4 * *count as usize).ok_or(SidError::Truncated)?;
        let mut sub_authorities = [0; MAX_SUB_AUTHORITIES];
        for (slot, chunk) in sub_authorities.iter_mut().zip(body.as_chunks().0) {
            *slot = u32::from_le_bytes(*chunk);
        }
        Ok(Self { count: *count, authority: [*a, *b, *c, *d, *e, *f], sub_authorities })
    }

    /// Reads the text form `S-1-…` (\[MS-DTYP\] 2.4.2.1); the whole of `text` must be the SID.
    /// Numbers may be decimal or, with `0x`, hexadecimal, as the system's own parser takes them.
    ///
    /// # Errors
    /// [`SidError`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, SidError> {
        Self::parse_bytes(text.as_bytes())
    }

    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self, SidError> {
        let [b'S' | b's', b'-', b'1', b'-', rest @ ..] = bytes else { return Err(SidError::Prefix) };
        let (authority, mut rest) = parse_number(rest).ok_or(SidError::Number { part: 0 })?;
        if authority > MAX_AUTHORITY {
            return Err(SidError::Authority);
        }
        let mut builder = Builder::new(authority);
        for part in 1.. {
            let [b'-', digits @ ..] = rest else { break };
            let (value, after) = parse_number(digits).ok_or(SidError::Number { part })?;
            builder.push(u32::try_from(value).map_err(|_| SidError::Number { part })?)?;
            rest = after;
        }
        Ok(builder.finish())
    }
}

/// A SID in the making.
struct Builder(Sid);

impl Builder {
    fn new(authority: u64) -> Self {
        Self(Sid {
            count: 0,
            authority: authority_bytes(authority),
            sub_authorities: [0; MAX_SUB_AUTHORITIES],
        })
    }

    fn push(&mut self, value: u32) -> Result<(), SidError> {
        let slot =
            self.0.sub_authorities.get_mut(self.0.count as usize).ok_or(SidError::TooManySubAuthorities)?;
        *slot = value;
        self.0.count += 1;
        Ok(())
    }

    fn finish(self) -> Sid {
        self.0
    }
}

const fn authority_bytes(authority: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = authority.to_be_bytes();
    [a, b, c, d, e, f]
}

/// A decimal or `0x` hexadecimal number that ends at a dash or with the text, and what follows it; `None` for anything
/// else and for numbers of more than 56 bits.
fn parse_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, radix) = match bytes {
        [b'0', b'x' | b'X', hex @ ..] => (hex, 16),
        decimal => (decimal, 10),
    };
    let mut value = 0u64;
    let mut len = 0;
    for byte in digits {
        let digit = match byte {
            b'-' => break,
            b'0'..=b'9' => byte - b'0',
            _ => (*byte as char).to_digit(radix)? as u8,
        };
        value = value * u64::from(radix) + u64::from(digit);
        // One more hexadecimal digit cannot overflow a u64 that is this small.
        if value >> 56 != 0 {
            return None;
        }
        len += 1;
    }
    (len > 0).then(|| (value, &digits[len..]))
}

impl fmt::Display for Sid {
    /// `S-1-5-18`. An authority above 32 bits is written in hexadecimal, as Windows does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority();
        if authority > u64::from(u32::MAX) {
            write!(f, "S-1-0x{authority:012x}")?;
        } else {
            write!(f, "S-1-{authority}")?;
        }
        self.sub_authorities().iter().try_for_each(|value| write!(f, "-{value}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        Self::parse(text)
    }
}

impl Ord for Sid {
    /// By authority, then sub-authority by sub-authority: a domain sorts before its accounts.
    fn cmp(&self, other: &Self) -> Ordering {
        self.authority.cmp(&other.authority).then_with(|| self.sub_authorities().cmp(other.sub_authorities()))
    }
}

impl PartialOrd for Sid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree_on_a_known_sid() {
        let sid = Sid::parse("S-1-5-21-1-2-3-1001").unwrap();
        let bytes = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xe9, 3, 0, 0];
        assert_eq!(sid.to_bytes(), bytes);
        assert_eq!(Sid::from_bytes(&bytes), Ok(sid));
        assert_eq!(sid.to_string(), "S-1-5-21-1-2-3-1001");
    }

    #[test]
    fn large_authorities_are_hexadecimal() {
        let sid = Sid::parse("S-1-0x0123456789ab-7").unwrap();
        assert_eq!(sid.authority(), 0x0123_4567_89ab);
        assert_eq!(sid.to_string(), "S-1-0x0123456789ab-7");
    }

    #[test]
    fn wrong_texts_name_their_fault() {
        assert_eq!(Sid::parse("S-2-5"), Err(SidError::Prefix));
        assert_eq!(Sid::parse("S-1-5-"), Err(SidError::Number { part: 1 }));
        assert_eq!(Sid::parse("S-1-5-4294967296"), Err(SidError::Number { part: 1 }));
        assert_eq!(Sid::parse("S-1-281474976710656"), Err(SidError::Authority));
        assert_eq!(Sid::parse("S-1-5x-1"), Err(SidError::Number { part: 0 }));
        assert_eq!(Sid::parse("S-1-5-1-"), Err(SidError::Number { part: 2 }));
        assert_eq!(Sid::parse("S-1-99999999999999999999"), Err(SidError::Number { part: 0 }));
        let long = format!("S-1-5{}", "-1".repeat(16));
        assert_eq!(Sid::parse(&long), Err(SidError::TooManySubAuthorities));
    }

    #[test]
    fn wrong_bytes_name_their_fault() {
        assert_eq!(Sid::from_bytes(&[1, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0]), Err(SidError::Truncated));
        assert_eq!(Sid::from_bytes(&[2, 0, 0, 0, 0, 0, 0, 5]), Err(SidError::Revision(2)));
        assert_eq!(Sid::from_bytes(&[1, 16, 0, 0, 0, 0, 0, 5]), Err(SidError::TooManySubAuthorities));
    }

    #[test]
    fn a_domain_sorts_before_its_accounts() {
        let domain = Sid::parse("S-1-5-21-1-2-3").unwrap();
        let account = domain.child(500).unwrap();
        assert!(domain < account && account.is_below(&domain) && !domain.is_below(&domain));
    }
}
