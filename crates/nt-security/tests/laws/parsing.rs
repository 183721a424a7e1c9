//! Parsers and printers are inverse, and no input makes a parser panic.

use nt_security::{Ace, AclField, Control, SecurityDescriptor, Sid};
use proptest::prelude::*;

use crate::arbitrary::{any_ace, any_descriptor, any_sid};

/// What SDDL has words for: see `SecurityDescriptor::to_sddl`.
fn sayable(descriptor: SecurityDescriptor) -> SecurityDescriptor {
    let of_dacl = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED | Control::DACL_AUTO_INHERIT_REQ;
    let of_sacl = Control::SACL_PROTECTED | Control::SACL_AUTO_INHERITED | Control::SACL_AUTO_INHERIT_REQ;
    let bits = |field: &AclField, bits| if *field == AclField::Absent { Control::NONE } else { bits };
    let said = bits(&descriptor.dacl, of_dacl) | bits(&descriptor.sacl, of_sacl);
    SecurityDescriptor { control: descriptor.control & said, resource_manager_control: 0, ..descriptor }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_sid_is_its_text_and_its_bytes(sid in any_sid()) {
        prop_assert_eq!(Sid::parse(&sid.to_string()), Ok(sid));
        prop_assert_eq!(Sid::from_bytes(&sid.to_bytes()), Ok(sid));
    }

    #[test]
    fn an_ace_is_its_text(ace in any_ace()) {
        prop_assert_eq!(Ace::from_sddl(&ace.to_string()), Ok(ace));
    }

    #[test]
    fn a_descriptor_is_its_bytes(descriptor in any_descriptor()) {
        let bytes = descriptor.to_self_relative().expect("small lists fit");
        let read = SecurityDescriptor::from_self_relative(&bytes);
        prop_assert_eq!(read.as_ref(), Ok(&descriptor));
        prop_assert_eq!(read.map(|read| read.to_self_relative()), Ok(Ok(bytes)));
    }

    #[test]
    fn a_descriptor_is_its_text_as_far_as_text_goes(descriptor in any_descriptor()) {
        let descriptor = sayable(descriptor);
        prop_assert_eq!(SecurityDescriptor::from_sddl(&descriptor.to_sddl()), Ok(descriptor));
    }

    /// Damaged descriptors reach deeper into the parser than noise does.
    #[test]
    fn damaged_bytes_are_read_or_refused(
        descriptor in any_descriptor(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = descriptor.to_self_relative().expect("small lists fit");
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(read) = SecurityDescriptor::from_self_relative(&bytes) {
            let again = read.to_self_relative().expect("what was read fits");
            prop_assert_eq!(SecurityDescriptor::from_self_relative(&again), Ok(read));
        }
    }

    #[test]
    fn damaged_text_is_read_or_refused(
        descriptor in any_descriptor(),
        place in any::<prop::sample::Index>(),
        with in "[A-Z;:()#0-9S{}\"&|!@% -]{0,3}",
    ) {
        let mut text = descriptor.to_sddl();
        let place = place.index(text.len() + 1);
        text.replace_range(place..text.len().min(place + 1), &with);
        if let Ok(read) = SecurityDescriptor::from_sddl(&text) {
            prop_assert_eq!(SecurityDescriptor::from_sddl(&read.to_sddl()), Ok(read));
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,100}") {
        let _ = SecurityDescriptor::from_self_relative(&bytes);
        let _ = SecurityDescriptor::from_sddl(&text);
        let _ = Ace::from_sddl(&text);
    }
}
