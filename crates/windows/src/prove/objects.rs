//! Kernel objects: the command's own, those of another run, those of the user's other programs; the desktop; privileges.

use nt_security::inherit::{ChildKind, Creation, new_child};
use nt_security::token::integrity;
use nt_security::{
    AccessMask, Ace, Acl, AclField, LabelPolicy, ObjectType, Privilege, Query, Readings, SecurityDescriptor,
    Token, access_check,
};

use super::judge::says;
use super::subjects::SubjectKind;
use super::world::World;
use super::{Row, Says, Status};
use crate::plan::Tier;
use crate::plan::apply::allows;
use crate::plan::data::GapKind;
use crate::plan::launch::RUNNER_LOGON;
use crate::plan::tree::Tree;

/// A question about a kernel object.
struct Question<'a> {
    kind: SubjectKind,
    object: &'a str,
    op: &'a str,
    of: ObjectType,
    rights: AccessMask,
    allowed: bool,
}

/// All rows of kernel objects.
pub fn rows(world: &World<'_>, rows: &mut Vec<Row>) {
    own_objects(world, rows);
    other_run(world, rows);
    user_objects(world, rows);
    common_objects(world, rows);
    low_processes(world, rows);
    desktop(world, rows);
    privileges(world, rows);
}

fn ask(token: &Token, descriptor: &SecurityDescriptor, question: &Question<'_>) -> Row {
    let query = Query::new(descriptor, token, question.rights, question.of.mapping());
    let verdict = says(access_check(&query, &Readings::default()).outcome);
    let status = match (question.allowed, verdict) {
        (true, Says::Allow) | (false, Says::Deny) => Status::Holds,
        (true, _) => Status::Refused,
        (false, _) => Status::Hole,
    };
    Row {
        kind: question.kind,
        object: question.object.to_owned(),
        op: question.op.to_owned(),
        policy: Says::from_bool(question.allowed),
        rule: "the command's own objects are its own; those of others are not".to_owned(),
        verdict,
        status,
    }
}

/// An object that `creator` makes without a descriptor: it gets the default DACL.
fn made_by(creator: &Token, of: ObjectType) -> SecurityDescriptor {
    new_child(&Creation {
        parent: None,
        creator: None,
        token: creator,
        kind: ChildKind::Leaf,
        mapping: of.mapping(),
    })
}

const SHARED: [(ObjectType, &str); 6] = [
    (ObjectType::Process, "process"),
    (ObjectType::Thread, "thread"),
    (ObjectType::Event, "event"),
    (ObjectType::Mutant, "mutex"),
    (ObjectType::Section, "section"),
    (ObjectType::Pipe, "anonymous pipe"),
];

fn own_objects(world: &World<'_>, rows: &mut Vec<Row>) {
    for (of, name) in SHARED {
        let descriptor = made_by(&world.child, of);
        let object = format!("own {name}");
        let question = Question {
            kind: SubjectKind::KernelObject,
            object: &object,
            op: "full-access",
            of,
            rights: of.mapping().read | of.mapping().write,
            allowed: true,
        };
        rows.push(ask(&world.child, &descriptor, &question));
        rows.push(ask(
            &world.child,
            &descriptor,
            &Question { op: "change-dacl", rights: AccessMask::WRITE_DAC, ..question },
        ));
        // The launcher of the unelevated tier controls what the command makes.
        if world.plan.tier == Tier::Unelevated {
            let question = Question { op: "launcher-full-access", ..question };
            rows.push(ask(&world.user, &descriptor, &question));
        }
    }
}

/// Two runs at once do not reach into each other, whatever account they share.
fn other_run(world: &World<'_>, rows: &mut Vec<Row>) {
    let other = world.another_run();
    for (of, name) in SHARED {
        let descriptor = made_by(&world.child, of);
        let object = format!("{name} of another run");
        let question = Question {
            kind: SubjectKind::KernelObject,
            object: &object,
            op: "write",
            of,
            rights: of.mapping().write.without(AccessMask::STANDARD_RIGHTS_ALL),
            allowed: false,
        };
        if !question.rights.is_empty() {
            rows.push(ask(&other, &descriptor, &question));
        }
        rows.push(ask(
            &other,
            &descriptor,
            &Question { op: "change-dacl", rights: AccessMask::WRITE_DAC, ..question },
        ));
    }
}

/// What the user's other programs have: processes labelled Medium against reading and writing, his registry.
fn user_objects(world: &World<'_>, rows: &mut Vec<Row>) {
    let (user, logon) = (world.facts.user.sid, world.facts.user.logon_sid);
    let process =
        format!("O:{user}D:(A;;0x1fffff;;;{user})(A;;0x1fffff;;;SY)(A;;0x121411;;;{logon})S:(ML;;NWNR;;;ME)");
    let key = format!("O:{user}D:(A;CI;KA;;;{user})(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KR;;;RC)");
    let labels = world.plan.walls.labels || world.plan.tier == Tier::Elevated;
    let questions = [
        ("write-memory", ObjectType::Process, AccessMask(0x28), true),
        ("create-thread", ObjectType::Process, AccessMask(0x2), true),
        // Reading and ending are not writing to the second check, and ending is executing to the label.
        ("read-memory", ObjectType::Process, AccessMask(0x10), labels),
        ("terminate", ObjectType::Process, AccessMask(0x1), world.plan.tier == Tier::Elevated),
        ("set-value", ObjectType::Key, AccessMask(0x2), true),
        ("create-key", ObjectType::Key, AccessMask(0x4), true),
    ];
    for (op, of, rights, is_promised) in questions {
        let text = if of == ObjectType::Process { &process } else { &key };
        let Ok(descriptor) = SecurityDescriptor::from_sddl(text) else { continue };
        let object = format!("{} of your programs", of.name());
        let question =
            Question { kind: SubjectKind::KernelObject, object: &object, op, of, rights, allowed: false };
        let mut row = ask(&world.child, &descriptor, &question);
        let declared = world.plan.not_enforced.iter().any(|gap| gap.kind == GapKind::SameUser);
        if row.status == Status::Hole && !is_promised && declared {
            row.status = Status::Declared { gap: GapKind::SameUser.name().to_owned() };
        }
        rows.push(row);
    }
}

/// What nearly every program opens for writing, and what the system grants to whom.
fn common_objects(world: &World<'_>, rows: &mut Vec<Row>) {
    let logon = match world.plan.tier {
        Tier::Unelevated => world.facts.user.logon_sid.0,
        Tier::Elevated => RUNNER_LOGON,
    };
    let objects = [
        ("NUL device", ObjectType::File, "D:(A;;0x1201bf;;;WD)(A;;FA;;;SY)(A;;FA;;;BA)".to_owned()),
        (
            "session's named objects",
            ObjectType::ObjectDirectory,
            "D:(A;;0xf000f;;;SY)(A;;0xf;;;WD)".to_owned(),
        ),
        ("window station", ObjectType::WindowStation, format!("D:(A;;0xf037f;;;SY)(A;;0xf037f;;;{logon})")),
    ];
    for (object, of, sddl) in objects {
        let Ok(mut descriptor) = SecurityDescriptor::from_sddl(&sddl) else { continue };
        // The system labels them for lower levels; what is asked here is the two checks.
        descriptor.sacl =
            AclField::List(Acl::new(vec![Ace::label(integrity::LOW, LabelPolicy::NO_WRITE_UP)]));
        let rights = of.mapping().write.without(AccessMask::STANDARD_RIGHTS_ALL);
        let kind = SubjectKind::KernelObject;
        rows.push(ask(
            &world.child,
            &descriptor,
            &Question { kind, object, op: "write", of, rights, allowed: true },
        ));
    }
}

/// Roots are labelled above Low, so that renderers and document viewers do not write there.
fn low_processes(world: &World<'_>, rows: &mut Vec<Row>) {
    let low = Token { integrity: integrity::LOW, ..world.user.clone() };
    for root in &world.granted {
        let add = AccessMask::FILE_ADD_FILE;
        let may = |tree: &Tree| tree.get(root).is_some_and(|node| allows(&low, &node.descriptor, add));
        let (before, after) = (may(&world.before), may(&world.after));
        rows.push(Row {
            kind: SubjectKind::LowProcess,
            object: root.to_string(),
            op: "create-file".to_owned(),
            policy: Says::from_bool(before),
            rule: "processes of level Low gain nothing by the plan".to_owned(),
            verdict: Says::from_bool(after),
            status: if after && !before { Status::Hole } else { Status::Holds },
        });
    }
}

fn desktop(world: &World<'_>, rows: &mut Vec<Row>) {
    let Some(text) = &world.plan.desktop.sddl else { return };
    let Ok(descriptor) = SecurityDescriptor::from_sddl(text) else { return };
    let question = Question {
        kind: SubjectKind::Desktop,
        object: "private desktop",
        op: "create-windows",
        of: ObjectType::Desktop,
        rights: ObjectType::Desktop.mapping().read | ObjectType::Desktop.mapping().write,
        allowed: true,
    };
    rows.push(ask(&world.child, &descriptor, &question));
    let question = Question { object: "private desktop of another run", allowed: false, ..question };
    rows.push(ask(&world.another_run(), &descriptor, &question));
}

/// Privileges act before any ACE is read, so none may be left.
fn privileges(world: &World<'_>, rows: &mut Vec<Row>) {
    for privilege in Privilege::ALL {
        let held = world.child.privileges.contains(*privilege);
        let expected = *privilege == Privilege::ChangeNotify;
        if held || expected || world.launcher.privileges.contains(*privilege) {
            rows.push(Row {
                kind: SubjectKind::Privilege,
                object: privilege.name().to_owned(),
                op: "hold".to_owned(),
                policy: Says::from_bool(expected),
                rule: "only bypassing traverse checks is left".to_owned(),
                verdict: Says::from_bool(held),
                status: match (expected, held) {
                    (true, true) | (false, false) => Status::Holds,
                    (true, false) => Status::Refused,
                    (false, true) => Status::Hole,
                },
            });
        }
    }
}
