//! Bytes as a self-relative security descriptor: read or refused, and what was read survives everything done with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nt_security::inherit::{ChildKind, propagate};
use nt_security::{
    AccessMask, Ace, ObjectType, Query, Readings, SecurityDescriptor, Sid, Token, access_check, verdict,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(descriptor) = SecurityDescriptor::from_self_relative(bytes) else { return };
    let again = descriptor.to_self_relative().expect("what was read fits");
    assert_eq!(SecurityDescriptor::from_self_relative(&again).as_ref(), Ok(&descriptor));
    for acl in [descriptor.dacl(), descriptor.sacl()].into_iter().flatten() {
        for ace in &acl.aces {
            assert_eq!(Ace::from_sddl(&ace.to_string()).as_ref(), Ok(ace));
        }
    }
    check(&descriptor);
    inherit(&descriptor);
});

/// The check with reasons says what the check without says.
fn check(descriptor: &SecurityDescriptor) {
    let user = descriptor.owner.unwrap_or(Sid::constant(5, [18]));
    let token = Token::new(user);
    let query = Query::new(descriptor, &token, AccessMask::MAXIMUM_ALLOWED, ObjectType::File.mapping());
    let decision = access_check(&query, &Readings::default());
    assert_eq!(decision.verdict, verdict(&query, &Readings::default()));
}

/// Inheriting from itself twice is the same as once.
fn inherit(descriptor: &SecurityDescriptor) {
    let mapping = ObjectType::File.mapping();
    let once = propagate(descriptor, descriptor, ChildKind::Container, &mapping);
    assert_eq!(propagate(descriptor, &once, ChildKind::Container, &mapping), once);
}
