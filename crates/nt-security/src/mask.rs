//! Access masks: 32 rights, and how the four generic ones map to an object type's own.

use std::fmt;

use crate::flags::bit_set;
use crate::object_type::ObjectType;

bit_set! {
    /// A set of access rights (\[MS-DTYP\] 2.4.3). Bits 0–15 belong to the object type, 16–20 are standard.
    AccessMask: u32 {
        /// DELETE
        DELETE = 0x0001_0000;
        /// READ_CONTROL: read the descriptor except its SACL
        READ_CONTROL = 0x0002_0000;
        /// WRITE_DAC
        WRITE_DAC = 0x0004_0000;
        /// WRITE_OWNER
        WRITE_OWNER = 0x0008_0000;
        /// SYNCHRONIZE
        SYNCHRONIZE = 0x0010_0000;
        /// The five standard rights: STANDARD_RIGHTS_ALL
        STANDARD_RIGHTS_ALL = 0x001F_0000;
        /// ACCESS_SYSTEM_SECURITY: read and write the SACL; only a privilege grants it
        ACCESS_SYSTEM_SECURITY = 0x0100_0000;
        /// MAXIMUM_ALLOWED: not a right but the wish for all that can be had
        MAXIMUM_ALLOWED = 0x0200_0000;
        /// GENERIC_ALL
        GENERIC_ALL = 0x1000_0000;
        /// GENERIC_EXECUTE
        GENERIC_EXECUTE = 0x2000_0000;
        /// GENERIC_WRITE
        GENERIC_WRITE = 0x4000_0000;
        /// GENERIC_READ
        GENERIC_READ = 0x8000_0000;
        /// The four generic bits
        GENERIC = 0xF000_0000;

        /// FILE_READ_DATA, and FILE_LIST_DIRECTORY on a folder
        FILE_READ_DATA = 0x1;
        /// FILE_LIST_DIRECTORY
        FILE_LIST_DIRECTORY = 0x1;
        /// FILE_WRITE_DATA, and FILE_ADD_FILE on a folder
        FILE_WRITE_DATA = 0x2;
        /// FILE_ADD_FILE
        FILE_ADD_FILE = 0x2;
        /// FILE_APPEND_DATA, and FILE_ADD_SUBDIRECTORY on a folder
        FILE_APPEND_DATA = 0x4;
        /// FILE_ADD_SUBDIRECTORY
        FILE_ADD_SUBDIRECTORY = 0x4;
        /// FILE_READ_EA
        FILE_READ_EA = 0x8;
        /// FILE_WRITE_EA
        FILE_WRITE_EA = 0x10;
        /// FILE_EXECUTE, and FILE_TRAVERSE on a folder
        FILE_EXECUTE = 0x20;
        /// FILE_TRAVERSE
        FILE_TRAVERSE = 0x20;
        /// FILE_DELETE_CHILD: delete whatever the folder holds
        FILE_DELETE_CHILD = 0x40;
        /// FILE_READ_ATTRIBUTES
        FILE_READ_ATTRIBUTES = 0x80;
        /// FILE_WRITE_ATTRIBUTES
        FILE_WRITE_ATTRIBUTES = 0x100;
        /// FILE_GENERIC_READ
        FILE_GENERIC_READ = 0x0012_0089;
        /// FILE_GENERIC_WRITE
        FILE_GENERIC_WRITE = 0x0012_0116;
        /// FILE_GENERIC_EXECUTE
        FILE_GENERIC_EXECUTE = 0x0012_00A0;
        /// FILE_ALL_ACCESS, which the security page calls Full control
        FILE_ALL_ACCESS = 0x001F_01FF;
        /// What the security page calls Modify: all but FILE_DELETE_CHILD, WRITE_DAC and WRITE_OWNER
        FILE_MODIFY = 0x0013_01BF;
    }
}

impl AccessMask {
    /// The rights as words for an object type, joined by `|`, such as `FILE_WRITE_DATA|DELETE`; what has no
    /// name is left as one hexadecimal number, and no right at all is `0`.
    pub fn names(self, object_type: ObjectType) -> String {
        crate::object_type::describe(self, object_type)
    }

    /// The single bits, lowest first.
    pub fn bits(self) -> impl Iterator<Item = AccessMask> {
        (0..32).map(|bit| AccessMask(1 << bit)).filter(move |bit| self.intersects(*bit))
    }

    /// Reads `0x1f01ff`, an octal `0…` or a decimal number.
    pub fn parse(text: &str) -> Option<Self> {
        let value = match text.as_bytes() {
            [b'0', b'x' | b'X', ..] => u32::from_str_radix(text.get(2..)?, 16),
            [b'0', _, ..] => u32::from_str_radix(text.get(1..)?, 8),
            _ => text.parse(),
        };
        // `from_str_radix` takes a plus sign, which no number of ours has.
        if text.contains('+') { None } else { value.ok().map(Self) }
    }
}

impl fmt::Display for AccessMask {
    /// `0x1f01ff`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What the generic rights mean for one object type: GENERIC_MAPPING (\[MS-DTYP\] 2.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenericMapping {
    /// GENERIC_READ
    pub read: AccessMask,
    /// GENERIC_WRITE
    pub write: AccessMask,
    /// GENERIC_EXECUTE
    pub execute: AccessMask,
    /// GENERIC_ALL
    pub all: AccessMask,
}

impl GenericMapping {
    /// A mapping from its four masks.
    pub const fn new(read: u32, write: u32, execute: u32, all: u32) -> Self {
        Self {
            read: AccessMask(read),
            write: AccessMask(write),
            execute: AccessMask(execute),
            all: AccessMask(all),
        }
    }

    /// Replaces the generic bits of a mask by what they stand for: MapGenericMask.
    pub const fn map(&self, mask: AccessMask) -> AccessMask {
        if !mask.intersects(AccessMask::GENERIC) {
            return mask;
        }
        let mut mapped = mask.without(AccessMask::GENERIC);
        if mask.intersects(AccessMask::GENERIC_READ) {
            mapped = mapped.union(self.read);
        }
        if mask.intersects(AccessMask::GENERIC_WRITE) {
            mapped = mapped.union(self.write);
        }
        if mask.intersects(AccessMask::GENERIC_EXECUTE) {
            mapped = mapped.union(self.execute);
        }
        if mask.intersects(AccessMask::GENERIC_ALL) {
            mapped = mapped.union(self.all);
        }
        mapped
    }

    /// The rights for which a WRITE_RESTRICTED token is checked a second time:
    /// `0x010D0000 | (write & ~(read | execute))`, which for files is 0x010D0116.
    ///
    /// Source: windows-facts §4, after the published `Test-NtAccessMask -WriteRestricted`. FILE_DELETE_CHILD is
    /// not among them.
    pub const fn write_gate(&self) -> AccessMask {
        let standard = AccessMask(0x010D_0000);
        standard.union(self.write.without(self.read.union(self.execute)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_of_each_type_is_the_published_one() {
        for (object_type, gate) in [
            (ObjectType::File, 0x010D_0116),
            (ObjectType::Key, 0x010D_0006),
            (ObjectType::Event, 0x010D_0002),
            (ObjectType::Section, 0x010D_0002),
            (ObjectType::ObjectDirectory, 0x010D_000C),
            (ObjectType::Process, 0x010D_0BEA),
            (ObjectType::Mutant, 0x010D_0000),
        ] {
            assert_eq!(object_type.mapping().write_gate(), AccessMask(gate), "{object_type:?}");
        }
    }

    #[test]
    fn modify_is_read_write_execute_and_delete() {
        let file = ObjectType::File.mapping();
        assert_eq!(file.read | file.write | file.execute | AccessMask::DELETE, AccessMask::FILE_MODIFY);
    }

    #[test]
    fn numbers_are_read_in_three_bases() {
        assert_eq!(AccessMask::parse("0x1F01ff"), Some(AccessMask::FILE_ALL_ACCESS));
        assert_eq!(AccessMask::parse("010"), Some(AccessMask(8)));
        assert_eq!(AccessMask::parse("16"), Some(AccessMask(16)));
        for wrong in ["", "0x", "0x1_0", "-1", "+1", "0x+1", "0x100000000"] {
            assert_eq!(AccessMask::parse(wrong), None, "{wrong}");
        }
    }
}
