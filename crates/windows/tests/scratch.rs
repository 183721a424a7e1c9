mod support;
use codex_sandbox_windows::explain::{Question, explain};
use support::*;
#[test]
fn scratch() {
    let facts = example("developer-laptop");
    let mut p = unelevated();
    p.deny_read.push(written("secrets"));
    let plan = planned(&p, &facts);
    println!("{plan}");
    println!("{}", proved(&plan, &facts));
    for (t, q) in [
        (r"GIT~1\config", "write"),
        (r"..\Documents\x.docx", "delete"),
        ("README.md", "write"),
        (r"secrets\prod.env", "read"),
    ] {
        println!("{}", explain(&plan, &facts, t, Question::from_name(q).unwrap()).unwrap());
    }
}
