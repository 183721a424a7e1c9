//! Plans hold over a space of hosts and policies.
//!
//! The cases are the same in every run, so that a change which has nothing to do with a case cannot make it fail. To look at
//! others: `PROPTEST_RNG_SEED=random` or `PROPTEST_RNG_SEED=<number>`, and `PROPTEST_CASES=<number>` for more of them.

mod support;

use codex_sandbox_windows::plan::data::Change;
use codex_sandbox_windows::plan::{PlanError, plan};
use codex_sandbox_windows::prove::{facts_after, prove};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::generate::{build, cases, run_elsewhere};

/// The seed of every run that names no other.
const SEED: u64 = 20_261_124;

/// Cases of each property, where the environment does not say how many.
const CASES: u32 = 40;

fn config() -> ProptestConfig {
    // The default reads the variables of proptest; what it does not find there is ours.
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_plan_that_is_made_is_proved(case in cases()) {
        let (facts, policy) = build(&case);
        match plan(&policy, &facts) {
            Err(PlanError::DenyRead { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
            Ok(plan) => {
                let proof = prove(&plan, &facts).unwrap();
                let rows: Vec<_> = proof.violations().collect();
                prop_assert!(rows.is_empty(), "{} violations: {:#?}", rows.len(), rows.iter().take(3).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_host_that_was_granted_needs_nothing(case in cases()) {
        let (facts, policy) = build(&case);
        let Ok(first) = plan(&policy, &facts) else { return Ok(()) };
        let mut after = facts_after(&first, &facts).unwrap();
        let mut second = plan(&policy, &after).unwrap();
        // A root inside another may become grantable by what the outer one gave the user.
        if second.roots != first.roots {
            after = facts_after(&second, &after).unwrap();
            second = plan(&policy, &after).unwrap();
        }
        let changes: Vec<_> = second.aces.iter().filter(|ace| ace.change != Change::Keep).collect();
        prop_assert!(changes.is_empty(), "{changes:#?}");
        let labels: Vec<_> = second.labels.iter().filter(|label| label.change != Change::Keep).collect();
        prop_assert!(labels.is_empty(), "{labels:#?}");
        prop_assert!(second.placeholders.is_empty() && second.folders.is_empty());
    }

    #[test]
    fn a_run_with_another_policy_is_proved_on_the_granted_host(one in cases(), other in cases()) {
        let (facts, policy) = build(&one);
        let Ok(first) = plan(&policy, &facts) else { return Ok(()) };
        let mut after = facts_after(&first, &facts).unwrap();
        let policy = run_elsewhere(&mut after, &other);
        match plan(&policy, &after) {
            Err(PlanError::DenyRead { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
            Ok(second) => {
                let proof = prove(&second, &after).unwrap();
                let rows: Vec<_> = proof.violations().collect();
                prop_assert!(rows.is_empty(), "{} violations: {:#?}", rows.len(), rows.iter().take(3).collect::<Vec<_>>());
            }
        }
    }
}
