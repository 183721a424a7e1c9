//! Grants and teardown on generated hosts in memory: what is granted is what the plan's model says, and what is taken back
//! leaves every descriptor as it was, wherever the process was killed.

mod support;

use std::collections::BTreeMap;

use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_windows::grants::{Quiet, apply};
use codex_sandbox_windows::host::Host;
use codex_sandbox_windows::memory::{Fault, FaultKind, MemoryHost};
use codex_sandbox_windows::plan::apply::Editors;
use codex_sandbox_windows::plan::facts::{Facts, NodeKind};
use codex_sandbox_windows::plan::{WinPath, WindowsPlan, changed, inherit, plan, with_new_objects};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Scope, teardown};
use nt_security::{AccessMask, Control, SecurityDescriptor};
use proptest::prelude::*;
use support::generate::{Case, build, cases};

type Snapshot = BTreeMap<WinPath, (NodeKind, SecurityDescriptor)>;

/// What of a descriptor we may change, as text.
fn shown(descriptor: &SecurityDescriptor) -> String {
    let bits = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED;
    let dacl = SecurityDescriptor {
        control: descriptor.control & bits,
        sacl: Default::default(),
        ..descriptor.clone()
    };
    let labels: String = inherit::label_aces(descriptor).iter().map(ToString::to_string).collect();
    format!("{} labels {labels}", dacl.to_sddl())
}

fn differences(left: &Snapshot, right: &Snapshot) -> Vec<String> {
    let paths = left.keys().chain(right.keys().filter(|path| !left.contains_key(*path)));
    let text =
        |of: Option<&(NodeKind, SecurityDescriptor)>| of.map_or("nothing".to_owned(), |(_, sd)| shown(sd));
    paths
        .filter(|path| text(left.get(*path)) != text(right.get(*path)))
        .map(|path| format!("{path}\n  left  {}\n  right {}", text(left.get(path)), text(right.get(path))))
        .collect()
}

/// A host and a plan of the tier that needs no set-up.
fn planned(case: &Case) -> Option<(Facts, WindowsPlan)> {
    let (facts, mut policy) = build(case);
    policy.windows_tier = WindowsTier::Unelevated;
    Some((facts.clone(), plan(&policy, &facts).ok()?))
}

fn start(facts: &Facts) -> (MemoryHost, State) {
    (MemoryHost::new(facts).expect("facts that were planned with"), State::in_memory().expect("memory"))
}

/// What the model says of the objects that are there: it does not ask whether a placeholder can be made.
fn model(plan: &WindowsPlan, facts: &Facts, host: &MemoryHost) -> Snapshot {
    let mut before = with_new_objects(plan, facts).expect("facts that were planned with");
    let made = plan.placeholders.iter().flat_map(|placeholder| placeholder.path.ancestors());
    for path in made.filter(|path| host.node(path).is_none()) {
        before.remove(&path);
    }
    let after = changed(&before, &Editors::new(facts), &plan.aces, &plan.labels, &plan.skipped);
    after.iter().map(|(path, node)| (path.clone(), (node.kind, node.descriptor.clone()))).collect()
}

fn config(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn what_is_granted_is_what_the_model_says_and_twice_is_once(case in cases()) {
        let Some((facts, plan)) = planned(&case) else { return Ok(()) };
        let (host, state) = start(&facts);
        let applied = apply(&plan, &host, &state, &Quiet).unwrap();
        // A folder that denies the user its names keeps what is in it from him; the model does not ask.
        prop_assume!(!applied.refused.iter().any(|refused| refused.error.stage == "list"));
        let differences = differences(&host.snapshot(), &model(&plan, &facts, &host));
        prop_assert!(differences.is_empty(), "{} of {applied:#?}", differences.join("\n"));
        host.set_fault(None);
        apply(&plan, &host, &state, &Quiet).unwrap();
        prop_assert_eq!(host.descriptor_writes(), 0);
    }

    #[test]
    fn teardown_leaves_every_descriptor_as_it_was(case in cases()) {
        let Some((facts, plan)) = planned(&case) else { return Ok(()) };
        let (host, state) = start(&facts);
        let before = host.snapshot();
        apply(&plan, &host, &state, &Quiet).unwrap();
        let removed = teardown(&host, &state, &Scope::All, false, &Quiet).unwrap();
        let differences = differences(&before, &host.snapshot());
        prop_assert!(differences.is_empty(), "{}\n{removed:#?}", differences.join("\n"));
        if removed.is_complete() {
            prop_assert!(state.journal().unwrap().is_empty());
            prop_assert!(state.originals(None).unwrap().is_empty() && state.made().unwrap().is_empty());
        }
        host.set_fault(None);
        teardown(&host, &state, &Scope::All, false, &Quiet).unwrap();
        prop_assert_eq!(host.effects(), 0);
    }
}

/// Ends the process at each effect on the machine in turn, and at each write to the journal; `work` is what is ended, `rest` what the
/// next process does.
fn killed_everywhere(
    facts: &Facts,
    prepare: impl Fn(&MemoryHost, &State),
    work: impl Fn(&MemoryHost, &State),
    rest: impl Fn(&MemoryHost, &State, u64) -> Result<(), TestCaseError>,
) -> Result<u64, TestCaseError> {
    let mut effects = 0;
    loop {
        let (host, state) = start(facts);
        prepare(&host, &state);
        host.set_fault(Some(Fault { at: effects, kind: FaultKind::Kill }));
        work(&host, &state);
        let reached = host.effects() > effects;
        host.set_fault(None);
        rest(&host, &state, effects)?;
        if !reached {
            break;
        }
        effects += 1;
    }
    for writes in 0.. {
        let (host, state) = start(facts);
        prepare(&host, &state);
        state.end_after(writes);
        work(&host, &state);
        let reached = state.has_ended();
        state.end_after(u64::MAX);
        rest(&host, &state, writes)?;
        if !reached {
            return Ok(effects + writes);
        }
    }
    Ok(effects)
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn killed_while_granting_it_can_be_taken_back(case in cases()) {
        let Some((facts, plan)) = planned(&case) else { return Ok(()) };
        let before = start(&facts).0.snapshot();
        killed_everywhere(
            &facts,
            |_, _| {},
            |host, state| drop(apply(&plan, host, state, &Quiet)),
            |host, state, at| {
                let removed = teardown(host, state, &Scope::All, false, &Quiet).unwrap();
                let differences = differences(&before, &host.snapshot());
                prop_assert!(differences.is_empty(), "killed at {at}: {}\n{removed:#?}", differences.join("\n"));
                Ok(())
            },
        )?;
    }

    #[test]
    fn killed_while_granting_the_next_run_finishes(case in cases()) {
        let Some((facts, plan)) = planned(&case) else { return Ok(()) };
        killed_everywhere(
            &facts,
            |_, _| {},
            |host, state| drop(apply(&plan, host, state, &Quiet)),
            |host, state, at| {
                let applied = apply(&plan, host, state, &Quiet).unwrap();
                if applied.refused.iter().any(|refused| refused.error.stage == "list") {
                    return Ok(());
                }
                let differences = differences(&host.snapshot(), &model(&plan, &facts, host));
                prop_assert!(differences.is_empty(), "killed at {at}: {}", differences.join("\n"));
                prop_assert!(state.unfinished().unwrap().is_empty());
                Ok(())
            },
        )?;
    }

    #[test]
    fn killed_while_taking_back_the_next_teardown_finishes(case in cases()) {
        let Some((facts, plan)) = planned(&case) else { return Ok(()) };
        let before = start(&facts).0.snapshot();
        killed_everywhere(
            &facts,
            |host, state| drop(apply(&plan, host, state, &Quiet).expect("nothing fails")),
            |host, state| drop(teardown(host, state, &Scope::All, false, &Quiet)),
            |host, state, at| {
                let removed = teardown(host, state, &Scope::All, false, &Quiet).unwrap();
                let differences = differences(&before, &host.snapshot());
                prop_assert!(differences.is_empty(), "killed at {at}: {}\n{removed:#?}", differences.join("\n"));
                prop_assert!(state.journal().unwrap().is_empty() || !removed.is_complete());
                Ok(())
            },
        )?;
    }
}

#[test]
fn the_launcher_can_look_at_its_own_root() {
    let facts = support::example("developer-laptop");
    let host = MemoryHost::new(&facts).unwrap();
    let root = host.open(&WinPath::absolute(&facts.cwd).unwrap(), AccessMask::READ_CONTROL).unwrap();
    assert!(host.descriptor(&root).unwrap().dacl().is_some());
}
