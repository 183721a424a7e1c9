mod support;
use codex_sandbox_windows::{
    plan::{self},
    prove::{self, facts_after},
};
use support::{generate::*, *};
#[test]
fn scratch() {
    let one = Case {
        place: 0,
        nodes: vec![(19, Twist::None)],
        root: (Twist::None, Twist::Protected { who: 0, mask: 0, copy: false }),
        elevated_user: false,
        elevated_tier: false,
        labels: false,
        commit: false,
        deny_read: 1,
        roots: 0,
        read_only: false,
    };
    let other = Case { deny_read: 0, nodes: vec![], root: (Twist::None, Twist::None), ..one.clone() };
    let (facts, policy) = build(&one);
    let first = plan::plan(&policy, &facts).unwrap();
    let mut after = facts_after(&first, &facts).unwrap();
    for n in &after.nodes {
        if n.path.is_in(&path(r"C:\Users\mia\w")) {
            println!("{} {}", n.path, n.sddl.as_deref().unwrap_or("-"));
        }
    }
    let (_, policy) = build(&other);
    after.cwd = r"C:\Users\mia\Documents".to_owned();
    let plan = plan::plan(&policy, &after).unwrap();
    for l in &plan.labels {
        println!("{l:?}");
    }
    for l in &plan.stricter {
        println!("{l:?}");
    }
    let w = prove::World::new(&plan, &after).unwrap();
    for (p, n) in w.after.iter() {
        if p.is_in(&path(r"C:\Users\mia\w")) {
            println!("{} {}", p, n.descriptor);
        }
    }
}
