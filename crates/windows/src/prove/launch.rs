//! The process tree, the network and the environment.

use nt_security::{AccessMask, GenericMapping, Query, Readings, SecurityDescriptor, verdict};

use super::subjects::SubjectKind;
use super::world::World;
use super::{Row, Says, Status};
use crate::plan::Tier;
use crate::plan::data::{GapKind, WfpAction, WfpCondition};

/// FWPM_ACTRL_MATCH / FWP_ACTRL_MATCH_FILTER: one right, granted by `CC`.
const MATCH: AccessMask = AccessMask(1);
/// Generic rights on a filter's descriptor; matching is under GENERIC_EXECUTE (windows-facts §14).
const FILTER: GenericMapping = GenericMapping::new(0x2_0000, 0x2_0000, 0x2_0001, 0xF_0001);

/// All rows about how the command runs.
pub fn rows(world: &World<'_>, rows: &mut Vec<Row>) {
    process_tree(world, rows);
    if world.plan.policy.network_access {
        connections_allowed(world, rows);
    } else {
        connections_blocked(world, rows);
        discouraged(world, rows);
    }
}

fn promise(kind: SubjectKind, object: &str, op: &str, rule: &str, kept: bool) -> Row {
    Row {
        kind,
        object: object.to_owned(),
        op: op.to_owned(),
        policy: Says::Deny,
        rule: rule.to_owned(),
        verdict: Says::from_bool(!kept),
        status: if kept { Status::Holds } else { Status::Hole },
    }
}

fn process_tree(world: &World<'_>, rows: &mut Vec<Row>) {
    let job = &world.plan.job;
    let kind = SubjectKind::ProcessTree;
    let rule = "no process of the command outlives the run or leaves it";
    rows.push(promise(kind, "descendants", "outlive-launcher", rule, job.kill_on_close));
    rows.push(promise(kind, "descendants", "leave-job", rule, job.no_breakaway));
}

/// Whether the command's token matches a descriptor that a rule or filter holds.
fn matches(world: &World<'_>, sddl: &str) -> bool {
    let Ok(mut descriptor) = SecurityDescriptor::from_sddl(sddl) else { return false };
    descriptor.owner = descriptor.owner.or(Some(nt_security::well_known::LOCAL_SERVICE));
    verdict(&Query::new(&descriptor, &world.child, MATCH, FILTER), &Readings::STRICT).is_allowed()
}

/// Whether a filter of this action holds for the command at a layer, on loopback or not.
fn filtered(world: &World<'_>, layer: &str, action: WfpAction) -> bool {
    let Some(wfp) = &world.plan.network.wfp else { return false };
    let holds = |condition: &WfpCondition| match condition {
        WfpCondition::User { sddl } => matches(world, sddl),
        // A connection to somewhere else: neither loopback nor one of the proxy's ports.
        WfpCondition::Loopback | WfpCondition::RemotePorts { .. } => false,
    };
    wfp.filters
        .iter()
        .any(|filter| filter.layer == layer && filter.action == action && filter.conditions.iter().all(holds))
}

const LAYERS: [&str; 4] = [
    "ALE_AUTH_CONNECT_V4",
    "ALE_AUTH_CONNECT_V6",
    "ALE_RESOURCE_ASSIGNMENT_V4",
    "ALE_RESOURCE_ASSIGNMENT_V6",
];

fn firewall_blocks(world: &World<'_>) -> bool {
    let rules = &world.plan.network.firewall;
    rules.iter().any(|rule| {
        rule.action == "block"
            && rule.direction == "out"
            && rule.protocol == 256
            && matches(world, &rule.local_user_authorized_list)
    })
}

fn connections_blocked(world: &World<'_>, rows: &mut Vec<Row>) {
    let declared = world.plan.not_enforced.iter().any(|gap| gap.kind == GapKind::Network);
    let layers = LAYERS.iter().map(|layer| {
        let permitted = filtered(world, layer, WfpAction::Permit);
        (*layer, filtered(world, layer, WfpAction::Block) && !permitted)
    });
    for (object, blocked) in layers.chain([("Windows Firewall", firewall_blocks(world))]) {
        let mut row = promise(SubjectKind::Network, object, "connect", "network_access = false", blocked);
        if !blocked && declared && world.plan.tier == Tier::Unelevated {
            row.status = Status::Declared { gap: GapKind::Network.name().to_owned() };
        }
        rows.push(row);
    }
}

fn connections_allowed(world: &World<'_>, rows: &mut Vec<Row>) {
    let blocked =
        firewall_blocks(world) || LAYERS.iter().any(|layer| filtered(world, layer, WfpAction::Block));
    rows.push(Row {
        kind: SubjectKind::Network,
        object: "anywhere".to_owned(),
        op: "connect".to_owned(),
        policy: Says::Allow,
        rule: "network_access = true".to_owned(),
        verdict: Says::from_bool(!blocked),
        status: if blocked { Status::Refused } else { Status::Holds },
    });
}

/// Design §4.8: what the unelevated tier has instead of a block.
fn discouraged(world: &World<'_>, rows: &mut Vec<Row>) {
    let environment = &world.plan.environment;
    let rule = "network_access = false: programs that ask their environment are told so";
    let names = [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "GIT_HTTPS_PROXY",
        "GIT_HTTP_PROXY",
        "GIT_SSH_COMMAND",
        "PIP_NO_INDEX",
        "NPM_CONFIG_OFFLINE",
        "CARGO_NET_OFFLINE",
    ];
    for name in names {
        let kept = environment.set.contains_key(name);
        rows.push(promise(SubjectKind::Network, name, "be-unset", rule, kept));
    }
    if world.plan.tier == Tier::Unelevated {
        for program in ["ssh", "scp"] {
            let stub =
                world.plan.stubs.iter().find(|stub| stub.path.name() == Some(&format!("{program}.cmd")));
            let first =
                stub.is_some_and(|stub| stub.path.parent().as_ref() == environment.path_first.first());
            // A stub that exits with 0 tells git that all is well.
            let fails = stub.is_some_and(|stub| stub.content.contains("exit /b 1"));
            rows.push(promise(SubjectKind::Network, program, "run", rule, first && fails));
        }
    }
}
