//! The schemas in docs/ are those of the code, and what the examples make is valid. `UPDATE_DOCS=1` writes them.

mod support;

use std::path::PathBuf;

use codex_sandbox_policy::{GitMode, Policy};
use codex_sandbox_windows::plan::schema::{self, DocumentOs, PlanDocument, ProofDocument};
use serde_json::{Value, json};
use support::schema::errors;
use support::{EXAMPLES, elevated, example, planned, proved, unelevated, written};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(docs(name)).expect("it is in docs");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn the_schemas_in_docs_are_up_to_date() {
    for (name, schema) in schema::all() {
        let text = format!("{:#}\n", json!(schema));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(docs(name), &text).expect("docs can be written");
        }
        let kept = std::fs::read_to_string(docs(name)).unwrap_or_default();
        assert!(kept == text, "docs/{name} is not what the types say: run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn the_described_hosts_are_valid() {
    let schema = read("windows-facts.schema.json");
    for name in EXAMPLES {
        let facts = read(&format!("examples/{name}.facts.json"));
        assert_eq!(errors(&schema, &facts), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn plans_and_proofs_are_valid() {
    let (plans, proofs) = (read("windows-plan.schema.json"), read("windows-proof.schema.json"));
    for name in EXAMPLES {
        let tier = if name == "managed-domain" { elevated() } else { unelevated() };
        let commit = Policy {
            git: GitMode::Commit,
            deny_read: vec![written("secrets")],
            writable_roots: vec![written(r"\\server\share"), written(r"D:\out")],
            ..tier.clone()
        };
        for policy in [tier, commit] {
            let facts = example(name);
            let (os, plan) = (DocumentOs::Windows, planned(&policy, &facts));
            let proof = proved(&plan, &facts);
            let proof = json!(ProofDocument { os, holds: proof.holds(), proof });
            assert_eq!(errors(&proofs, &proof), Vec::<String>::new(), "{name}");
            assert_eq!(errors(&plans, &json!(PlanDocument { os, plan })), Vec::<String>::new(), "{name}");
        }
    }
}

/// The validator finds what is wrong, or the tests above could not fail.
#[test]
fn documents_that_are_not_valid_are_found() {
    let facts = example("developer-laptop");
    let plan = json!(PlanDocument { os: DocumentOs::Windows, plan: planned(&unelevated(), &facts) });
    let schema = read("windows-plan.schema.json");
    let broken: [(&str, Value); 5] = [
        ("/os", json!("linux")),
        ("/plan/version", json!("one")),
        ("/plan/tier", json!("root")),
        ("/plan/token/integrity", json!(-1)),
        ("/plan/aces/0/path", json!("relative")),
    ];
    for (pointer, value) in broken {
        let mut plan = plan.clone();
        *plan.pointer_mut(pointer).expect("it is there") = value;
        assert!(!errors(&schema, &plan).is_empty(), "{pointer}");
    }
    let mut more = plan.clone();
    more["plan"]["surprise"] = json!(1);
    assert!(!errors(&schema, &more).is_empty());
    let mut less = plan;
    less["plan"].as_object_mut().expect("an object").remove("tier");
    assert!(!errors(&schema, &less).is_empty());
}
