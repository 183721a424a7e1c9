//! The GUID that an object ACE carries.

use std::fmt;

/// A GUID in the byte order of the wire: the first three fields little-endian (\[MS-DTYP\] 2.3.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

/// Where each hexadecimal pair of the text form stands on the wire.
const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
/// How many characters the text form has.
const TEXT_LEN: usize = 36;

impl Guid {
    /// Reads `bf967aba-0de6-11d0-a285-00aa003049e2`, in either case, with or without braces.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = match text.as_bytes() {
            [b'{', inner @ .., b'}'] => inner,
            bare => bare,
        };
        if bytes.len() != TEXT_LEN || [8, 13, 18, 23].iter().any(|dash| bytes[*dash] != b'-') {
            return None;
        }
        let mut digits = bytes.iter().filter(|byte| **byte != b'-').map(|byte| (*byte as char).to_digit(16));
        let mut guid = [0; 16];
        for slot in TEXT_ORDER {
            let (high, low) = (digits.next()??, digits.next()??);
            guid[slot] = (high * 16 + low) as u8;
        }
        digits.next().is_none().then_some(Self(guid))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, slot) in TEXT_ORDER.into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[slot])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_order_differ_as_they_should() {
        let text = "bf967aba-0de6-11d0-a285-00aa003049e2";
        let guid = Guid::parse(text).unwrap();
        assert_eq!(&guid.0[..6], [0xba, 0x7a, 0x96, 0xbf, 0xe6, 0x0d]);
        assert_eq!(guid.to_string(), text);
        assert_eq!(Guid::parse(&format!("{{{}}}", text.to_uppercase())), Some(guid));
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in
            ["", "bf967aba", "bf967aba-0de6-11d0-a285-00aa003049eg", "-f967aba-0de6-11d0-a285-00aa003049e2"]
        {
            assert_eq!(Guid::parse(wrong), None, "{wrong}");
        }
    }
}
