//! Account, token, default DACL, job and desktop.

use codex_sandbox_policy::Policy;
use nt_security::token::integrity;
use nt_security::{AccessMask, Sid, well_known};

use super::context::Context;
use super::data::{
    AccountPlan, AceSpec, Applies, DesktopPlan, Effect, JobPlan, RestrictingKind, RestrictingSid, Tier,
    TokenFlag, TokenRecipe,
};
use super::facts::Facts;
use super::words::{level_name, sid_name};

/// Stands for the runner's logon SID, which exists only once it runs.
pub const RUNNER_LOGON: Sid = Sid::constant(5, [5, 0, 0xFFFF_FFFF]);

/// The account of the run.
pub fn account(policy: &Policy, tier: Tier, facts: &Facts) -> AccountPlan {
    let setup = &facts.setup;
    let chosen = if policy.network_access { setup.online } else { setup.offline };
    match (tier, chosen) {
        (Tier::Elevated, Some(sid)) => {
            let end = if policy.network_access { "Online" } else { "Offline" };
            AccountPlan {
                name: format!("{}{end}", policy.windows_account_prefix),
                sid,
                group: setup.group,
                start: "CreateProcessWithLogonW starts the runner, which restricts its own primary token and calls \
                        CreateProcessAsUserW"
                    .to_owned(),
            }
        }
        _ => AccountPlan {
            name: facts.user.name.clone(),
            sid: facts.user.sid,
            group: None,
            start: "CreateProcessAsUserW with a restricted copy of the launcher's own primary token"
                .to_owned(),
        },
    }
}

/// The recipe of the command's token. The user's own SID, Users, Authenticated Users and INTERACTIVE are never restricting
/// SIDs: each would open whatever grants it write access.
pub fn token(context: &Context<'_>, run_sid: Sid) -> TokenRecipe {
    let restricting = |kind, sid: Option<Sid>, why: &str| RestrictingSid {
        kind,
        sid: sid.map(Into::into),
        why: why.to_owned(),
    };
    let mut list: Vec<RestrictingSid> = context
        .granted
        .iter()
        .rev()
        .map(|root| {
            restricting(RestrictingKind::WriteSid, Some(root.sid), &format!("writes in {}", root.path))
        })
        .collect();
    list.push(restricting(RestrictingKind::RunSid, Some(run_sid), "objects of this run's own processes"));
    list.push(restricting(RestrictingKind::Marker, Some(context.marker), "denies on open folders name it"));
    let logon = match context.tier {
        Tier::Unelevated => Some(context.facts.user.logon_sid.0),
        Tier::Elevated => None,
    };
    list.push(restricting(RestrictingKind::Logon, logon, "window station, desktop and session objects"));
    list.push(restricting(
        RestrictingKind::Everyone,
        Some(well_known::EVERYONE),
        "common objects grant Everyone",
    ));
    if context.tier == Tier::Elevated {
        let why = "named pipes with default security, and programs that make objects for their own user";
        list.push(restricting(RestrictingKind::Account, Some(context.account), why));
    }
    let integrity = if context.labels { integrity::MEDIUM_LOW } else { integrity::MEDIUM };
    TokenRecipe {
        from: match context.tier {
            Tier::Unelevated => "the launcher's own primary token".to_owned(),
            Tier::Elevated => "the runner's own primary token".to_owned(),
        },
        flags: vec![TokenFlag::DisableMaxPrivilege, TokenFlag::LuaToken, TokenFlag::WriteRestricted],
        restricting: list,
        privileges: vec!["SeChangeNotifyPrivilege".to_owned()],
        integrity,
        integrity_name: level_name(integrity),
    }
}

/// Who passes the first check for the command's own objects: a SID of its token that is not a restricting one, so that
/// another run does not pass the second check by it.
fn first_check_sid(context: &Context<'_>) -> Sid {
    match (context.tier, context.group) {
        (Tier::Elevated, Some(group)) => group,
        _ => context.facts.user.sid.0,
    }
}

/// TokenDefaultDacl: what the command's processes, threads, events, sections and anonymous pipes get.
pub fn default_dacl(context: &Context<'_>, run_sid: Sid) -> Vec<AceSpec> {
    let ace = |who: Sid, name: &str, mask| AceSpec::new(Effect::Allow, who.into(), name, mask, Applies::This);
    let first = first_check_sid(context);
    vec![
        ace(first, &sid_name(&first, context.facts), AccessMask::GENERIC_ALL),
        ace(run_sid, "run SID", AccessMask::GENERIC_ALL),
        ace(well_known::SYSTEM, "SYSTEM", AccessMask::GENERIC_ALL),
        // Ends the owner's implicit WRITE_DAC, by which another run of the same account could open the object to itself.
        ace(well_known::OWNER_RIGHTS, "OWNER RIGHTS", AccessMask::READ_CONTROL),
    ]
}

/// The desktop: named for the run, closed to other runs, labelled like the command.
pub fn desktop(policy: &Policy, context: &Context<'_>, run_sid: Sid) -> DesktopPlan {
    let first = first_check_sid(context);
    let sddl = policy.windows_private_desktop.then(|| {
        let level = if context.labels { integrity::MEDIUM_LOW } else { integrity::MEDIUM };
        format!("D:P(A;;GA;;;{first})(A;;GA;;;{run_sid})(A;;GA;;;SY)S:(ML;;NW;;;S-1-16-{level})")
    });
    DesktopPlan { private: policy.windows_private_desktop, sddl }
}

/// The job object.
pub fn job(policy: &Policy) -> JobPlan {
    let limits = &policy.limits;
    JobPlan {
        kill_on_close: true,
        no_breakaway: true,
        memory: limits.memory,
        processes: limits.processes,
        wall_clock_ms: limits.wall_clock.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}
