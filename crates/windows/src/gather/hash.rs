//! Short names for descriptors and policies, the same in every version of the program.

use codex_sandbox_policy::Policy;
use nt_security::SecurityDescriptor;

use crate::plan::inherit;

/// The owner, DACL and label of an object.
pub(super) fn descriptor(descriptor: &SecurityDescriptor) -> String {
    let dacl = SecurityDescriptor { sacl: Default::default(), ..descriptor.clone() };
    let labels: Vec<String> = inherit::label_aces(descriptor).iter().map(ToString::to_string).collect();
    hash(&format!("{} {}", dacl.to_sddl(), labels.join("")))
}

/// What of a policy decides which objects matter.
pub(super) fn policy(policy: &Policy) -> String {
    let roots: Vec<_> = policy.writable_roots.iter().map(|root| &root.path).collect();
    let denied: Vec<_> = policy.deny_read.iter().map(|denied| &denied.path).collect();
    let (mode, git, tier) = (policy.mode, policy.git, policy.windows_tier);
    hash(&format!("{mode:?} {git:?} {tier:?} {:?} {roots:?} {denied:?}", policy.protected))
}

/// FNV-1a with 128 bits: whoever could forge it would have to change the descriptor that it names, which he cannot.
fn hash(text: &str) -> String {
    let step = |hash: u128, byte: u8| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B)
    };
    format!("{:032x}", text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step))
}
