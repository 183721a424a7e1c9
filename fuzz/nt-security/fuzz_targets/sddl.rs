//! Text as SDDL: read or refused, and what was read is written in a form that says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nt_security::sddl::Domains;
use nt_security::{Ace, Acl, SecurityDescriptor, Sid};

fuzz_target!(|text: &str| {
    let domain = Some(Sid::constant(5, [21, 1, 2, 3]));
    let domains = Domains { machine: domain, joined: domain, root: domain };
    let _ = Sid::parse(text);
    let _ = Acl::from_sddl(text);
    if let Ok(ace) = Ace::from_sddl(text) {
        assert_eq!(Ace::from_sddl(&ace.to_string()).as_ref(), Ok(&ace));
    }
    let Ok(descriptor) = SecurityDescriptor::from_sddl_in(text, &domains) else { return };
    let printed = descriptor.to_sddl();
    assert_eq!(SecurityDescriptor::from_sddl(&printed).as_ref(), Ok(&descriptor), "{printed}");
    let bytes = descriptor.to_self_relative().expect("the parser keeps lists within 64 KiB");
    assert_eq!(SecurityDescriptor::from_self_relative(&bytes).as_ref(), Ok(&descriptor));
});
