//! Any bytes as the description of a host: it is read and planned for, or an error says why not; never a panic.
#![no_main]

use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_policy::{GitMode, Policy};
use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(facts) = serde_json::from_slice::<Facts>(bytes) else { return };
    for (windows_tier, git) in
        [(WindowsTier::Unelevated, GitMode::Protect), (WindowsTier::Elevated, GitMode::Commit)]
    {
        match plan(&Policy { windows_tier, git, ..Policy::default() }, &facts) {
            Ok(plan) => assert!(!plan.to_string().is_empty()),
            Err(error) => assert!(!error.to_string().is_empty() && !error.code().is_empty()),
        }
    }
});
