//! A space of hosts and policies: owners, Full and Modify, inherited and explicit, protected and NULL DACLs, hard links, labels,
//! nested and overlapping roots, `git = commit`, deny-read.

use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_policy::{GitMode, Mode, Policy};
use codex_sandbox_windows::plan::facts::{Facts, Node, NodeKind};
use codex_sandbox_windows::plan::path::WinPath;
use codex_sandbox_windows::plan::tree::Tree;
use codex_sandbox_windows::plan::{inherit, tokens};
use nt_security::{Ace, AceFlags, Acl, AclField, Control, SecurityDescriptor, Sid, Token};
use proptest::prelude::*;

use super::{example, path, written};

/// What is done to one object's descriptor.
#[derive(Debug, Clone)]
pub enum Twist {
    /// It has what it inherits.
    None,
    /// An explicit ACE in front: who, mask, flags, deny.
    Ace { who: u8, mask: u8, scope: u8, deny: bool },
    /// A protected DACL with one ACE, or a copy of what was inherited.
    Protected { who: u8, mask: u8, copy: bool },
    /// No DACL.
    Null,
    /// Several names.
    HardLinked,
    /// A label of its own.
    Label { level: u8, protected: bool },
    /// Another owner.
    Owner { who: u8 },
}

/// A generated host and policy.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where the root is.
    pub place: u8,
    /// Which optional nodes there are, and what is done to them.
    pub nodes: Vec<(u8, Twist)>,
    /// What is done to the root, and by whom it was made.
    pub root: (Twist, Twist),
    /// The user is an administrator with an elevated token.
    pub elevated_user: bool,
    /// Elevated tier.
    pub elevated_tier: bool,
    /// D: stores labels.
    pub labels: bool,
    /// `git = commit`.
    pub commit: bool,
    /// What is denied to be read.
    pub deny_read: u8,
    /// Further roots.
    pub roots: u8,
    /// Read-only mode.
    pub read_only: bool,
}

fn twist() -> impl Strategy<Value = Twist> {
    let (who, mask) = (0u8..9, 0u8..9);
    prop_oneof![
        6 => Just(Twist::None),
        3 => (who.clone(), mask.clone(), 0u8..4, any::<bool>())
            .prop_map(|(who, mask, scope, deny)| Twist::Ace { who, mask, scope, deny }),
        2 => (who.clone(), mask, any::<bool>()).prop_map(|(who, mask, copy)| Twist::Protected { who, mask, copy }),
        1 => Just(Twist::Null),
        1 => Just(Twist::HardLinked),
        1 => (0u8..4, any::<bool>()).prop_map(|(level, protected)| Twist::Label { level, protected }),
        1 => who.prop_map(|who| Twist::Owner { who }),
    ]
}

/// The whole space.
pub fn cases() -> impl Strategy<Value = Case> {
    let nodes = prop::collection::vec((0u8..OPTIONAL.len() as u8, twist()), 0..14);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8), any::<bool>());
    (0u8..3, nodes, (twist(), twist()), flags, 0u8..5, 0u8..4, prop::bool::weighted(0.1)).prop_map(
        |(
            place,
            nodes,
            root,
            (elevated_user, elevated_tier, labels, commit),
            deny_read,
            roots,
            read_only,
        )| Case {
            place,
            nodes,
            root,
            elevated_user,
            elevated_tier,
            labels,
            commit,
            deny_read,
            roots,
            read_only,
        },
    )
}

/// Nodes that may be there, below the root (`.`), or absolute.
const OPTIONAL: [(&str, NodeKind); 30] = [
    (".git", NodeKind::Folder),
    (r".git\config", NodeKind::File),
    (r".git\hooks", NodeKind::Folder),
    (r".git\hooks\pre-commit", NodeKind::File),
    (r".git\info", NodeKind::Folder),
    (r".git\info\attributes", NodeKind::File),
    (r".git\objects\info", NodeKind::Folder),
    (r".git\objects\ab\cdef", NodeKind::File),
    (r".git\modules\lib\config", NodeKind::File),
    (".codex", NodeKind::Folder),
    (r".codex\config.toml", NodeKind::File),
    (".agents", NodeKind::File),
    ("sub", NodeKind::Folder),
    (r"sub\deep", NodeKind::Folder),
    (r"sub\deep\.git", NodeKind::Folder),
    (r"sub\deep\.GIT\config", NodeKind::File),
    (r"sub\file.txt", NodeKind::File),
    ("secret", NodeKind::Folder),
    (r"secret\key.pem", NodeKind::File),
    (r"secret\open", NodeKind::Folder),
    (r"secret\open\.codex", NodeKind::Folder),
    (r"secret\open\x.txt", NodeKind::File),
    ("file.txt", NodeKind::File),
    (r".ssh", NodeKind::Folder),
    (r".ssh\id", NodeKind::File),
    (r"C:\shared", NodeKind::Folder),
    (r"C:\shared\x.txt", NodeKind::File),
    (r"C:\Users\mia\other", NodeKind::Folder),
    (r"C:\Users\mia\other\x.txt", NodeKind::File),
    (r"D:\second", NodeKind::Folder),
];

const USER: &str = "S-1-5-21-1004336348-1177238915-682003330-1001";
const SANDBOX: &str = "S-1-5-21-1004336348-1177238915-682003330";

fn who(index: u8) -> Sid {
    let text = match index {
        0 | 1 => USER,
        2 => "S-1-5-32-544",
        3 => "S-1-1-0",
        4 => "S-1-5-32-545",
        5 => "S-1-5-11",
        6 => "S-1-5-21-77-88-99-1001",
        7 => "S-1-3-0",
        // The sandbox account, which owns what it made in an earlier run.
        _ => "S-1-5-21-1004336348-1177238915-682003330-1021",
    };
    Sid::parse(text).expect("a SID of the tests")
}

fn mask(index: u8) -> nt_security::AccessMask {
    nt_security::AccessMask(match index {
        0 | 1 => 0x1F_01FF,
        2 => 0x13_01BF,
        3 => 0x12_00A9,
        4 => 0x12_0116,
        // Modify with FILE_DELETE_CHILD, without the descriptor.
        5 => 0x13_01FF,
        6 => 0x116,
        7 => 0x1_0000,
        _ => 0x1000_0000,
    })
}

fn scope(index: u8) -> AceFlags {
    match index {
        0 => AceFlags::NONE,
        1 => AceFlags::CONTAINER_INHERIT,
        _ => AceFlags::INHERIT_ALL,
    }
}

/// The host and policy of a case.
pub fn build(case: &Case) -> (Facts, Policy) {
    let mut facts = example("developer-laptop");
    facts.title = "generated".to_owned();
    let root = [r"C:\Users\mia\w", r"D:\w", r"C:\w"][usize::from(case.place)];
    facts.nodes.retain(|node| !node.path.is_in(&path(r"C:\Users\mia\src")) && !node.kind.is_link());
    facts.volumes.retain(|volume| volume.root != path("E:\\"));
    let mut drive = facts.volumes[0].clone();
    (drive.root, drive.labels, drive.guid) = (path("D:\\"), case.labels, None);
    facts.volumes.push(drive);
    let data = "O:BAG:SYD:AI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;AU)(A;OICI;0x1200a9;;;BU)";
    facts.nodes.push(Node { sddl: Some(data.to_owned()), ..Node::new(path("D:\\"), NodeKind::Folder) });
    facts.cwd = root.to_owned();
    facts.random_sids = (1..40).map(|n| Sid::constant(5, [21, 7, 7, 7, n]).into()).collect();
    set_user(&mut facts, case);
    set_up(&mut facts);
    let creator = tokens::launcher(&facts);
    let mut tree = Tree::new(&facts).expect("a host to start from");
    add(&mut facts, &mut tree, &creator, &path(root), NodeKind::Folder, &[&case.root.0, &case.root.1]);
    let mut wanted: Vec<(WinPath, NodeKind, &Twist)> = case
        .nodes
        .iter()
        .map(|(index, twist)| {
            let (name, kind) = OPTIONAL[usize::from(*index)];
            let at = if name.contains(':') { path(name) } else { path(root).join(name) };
            (at, kind, twist)
        })
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.dedup_by(|a, b| a.0 == b.0);
    for (at, kind, twist) in wanted {
        add(&mut facts, &mut tree, &creator, &at, kind, &[twist]);
    }
    let policy = policy(case, root, &tree);
    (facts, policy)
}

fn policy(case: &Case, root: &str, tree: &Tree) -> Policy {
    let secret = format!(r"{root}\secret");
    let mut policy = Policy {
        mode: if case.read_only { Mode::ReadOnly } else { Mode::WorkspaceWrite },
        git: if case.commit { GitMode::Commit } else { GitMode::Protect },
        windows_tier: if case.elevated_tier { WindowsTier::Elevated } else { WindowsTier::Unelevated },
        ..Policy::default()
    };
    match case.deny_read {
        1 => policy.deny_read.push(written(&secret)),
        2 => policy.deny_read.push(written(r"C:\Users\mia\other")),
        3 => policy.deny_read.push(written(&format!(r"{root}\sub\file.txt"))),
        _ => {}
    }
    let more = [r"D:\second".to_owned(), format!(r"{secret}\open"), format!(r"{root}\sub")];
    let more = more.iter().take(usize::from(case.roots)).filter(|root| tree.get(&path(root)).is_some());
    policy.writable_roots = more.map(|root| written(root)).collect();
    policy
}

/// Another run on the same host, later and elsewhere: the policy of `other`, whose roots on C: are not asked for.
pub fn run_elsewhere(facts: &mut Facts, other: &Case) -> Policy {
    let (_, mut policy) = build(other);
    facts.cwd = r"C:\Users\mia\Documents".to_owned();
    policy.writable_roots.retain(|root| root.path.to_string_lossy().starts_with("D:"));
    policy
}

fn set_user(facts: &mut Facts, case: &Case) {
    if case.elevated_user {
        facts.user.integrity = nt_security::token::integrity::HIGH;
        facts.user.privileges.extend(["SeTakeOwnershipPrivilege", "SeBackupPrivilege"].map(str::to_owned));
        let administrators = facts.user.groups.iter_mut().filter(|group| group.deny_only);
        administrators.for_each(|group| group.deny_only = false);
    }
}

fn set_up(facts: &mut Facts) {
    let sid = |rid: u32| Some(Sid::parse(&format!("{SANDBOX}-{rid}")).expect("a SID of the tests").into());
    (facts.setup.group, facts.setup.offline, facts.setup.online) = (sid(1020), sid(1021), sid(1022));
    facts.setup.helpers = true;
}

fn add(facts: &mut Facts, tree: &mut Tree, creator: &Token, at: &WinPath, kind: NodeKind, twists: &[&Twist]) {
    for above in tree.make(at, kind, creator) {
        // A file cannot hold anything: such a node is left out.
        let in_file =
            above.parent().and_then(|up| tree.get(&up).map(|node| node.kind)) == Some(NodeKind::File);
        if in_file {
            tree.remove(&above);
        }
    }
    let Some(node) = tree.get(at).cloned() else { return };
    let mut descriptor = node.descriptor;
    let mut entry = Node::new(at.clone(), node.kind);
    for twist in twists {
        apply(twist, &mut descriptor, &mut entry);
    }
    entry.sddl = Some(descriptor.to_sddl());
    facts.nodes.retain(|known| known.path != *at);
    facts.nodes.push(entry);
    if let Some(node) = tree.get_mut(at) {
        node.descriptor = descriptor;
    }
}

fn apply(twist: &Twist, descriptor: &mut SecurityDescriptor, entry: &mut Node) {
    let flags = |index| if entry.kind == NodeKind::File { AceFlags::NONE } else { scope(index) };
    match twist {
        Twist::None => {}
        Twist::Ace { who: sid, mask: rights, scope, deny } => {
            let make = if *deny { Ace::deny } else { Ace::allow };
            inherit::add_explicit(descriptor, make(mask(*rights), who(*sid)).with_flags(flags(*scope)));
        }
        Twist::Protected { who: sid, mask: rights, copy } => {
            let own = Ace::allow(mask(*rights), who(*sid)).with_flags(flags(2));
            let old = descriptor.dacl().map_or_else(Vec::new, |acl| acl.aces.clone());
            let aces = if *copy { old.iter().map(inherit::without_mark).collect() } else { vec![own] };
            descriptor.dacl = AclField::List(Acl::new(aces));
            descriptor.control |= Control::DACL_PROTECTED;
        }
        Twist::Null => descriptor.dacl = AclField::Null,
        Twist::HardLinked => entry.links = if entry.kind == NodeKind::File { 2 } else { 1 },
        Twist::Label { level, protected } => {
            let level = [4096, 6144, 8192, 12288][usize::from(*level)];
            let label = Ace::label(level, nt_security::LabelPolicy::NO_WRITE_UP).with_flags(flags(2));
            inherit::set_label(descriptor, Some(label));
            descriptor.control |= Control::SACL_AUTO_INHERITED;
            if *protected {
                descriptor.control |= Control::SACL_PROTECTED;
            }
        }
        Twist::Owner { who: sid } => descriptor.owner = Some(who(*sid)),
    }
}
