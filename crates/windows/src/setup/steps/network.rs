//! The firewall rule and the filters of the Windows Filtering Platform, both read back after they were made.

use nt_security::Sid;

use super::{Context, Found, needed, of};
use crate::plan::data::{FirewallRule, WfpPlan};
use crate::plan::network;
use crate::setup::error::SetupError;
use crate::setup::journal::Thing;
use crate::setup::machine::{FirewallState, Machine, MachineErrorKind, RuleState};
use crate::setup::names::Names;
use crate::setup::plan::{MARK, policy};

/// NET_FW_PROFILE2_ALL
const ALL_PROFILES: i32 = 0x7FFF_FFFF;

/// The rule for the account without a network.
pub fn firewall_rule(names: &Names, offline: &Sid) -> RuleState {
    let mut rules = network::firewall(&policy(names), offline);
    let rule: FirewallRule = rules.remove(0);
    let description = format!("Sandboxed commands without a network send nothing {MARK}");
    RuleState { rule, description, profiles: ALL_PROFILES, enabled: true }
}

/// The filters for the account without a network.
pub fn wfp_plan(names: &Names, offline: &Sid) -> WfpPlan {
    network::wfp(&policy(names), offline)
}

impl<M: Machine> Context<'_, M> {
    pub(super) fn check_firewall(&self, id: &str, name: &str) -> Result<Found, SetupError> {
        let Some(offline) = self.account(id, name)? else { return Ok(needed("the account is missing")) };
        let wanted = firewall_rule(&self.request.names, &offline);
        let found = self.machine.firewall_rules(&wanted.rule.name).map_err(of(id))?;
        if let Some(other) = found.iter().find(|found| !found.description.ends_with(MARK)) {
            let object = format!("the firewall rule {:?} is not ours, and is left alone", other.rule.name);
            let remedy = "choose other names in config.toml: [windows] account_prefix = \"…\"";
            return Err(SetupError::new("setup-rule-taken", id, object, remedy));
        }
        match found.as_slice() {
            [only] if same_rule(only, &wanted) => self.is_effective(id),
            [] => Ok(needed("the rule is missing")),
            [_] => Ok(needed("somebody changed the rule")),
            _ => Ok(needed("the rule is there more than once")),
        }
    }

    pub(super) fn apply_firewall(&self, id: &str, name: &str) -> Result<(), SetupError> {
        let offline = self.must_account(id, name)?;
        let wanted = firewall_rule(&self.request.names, &offline);
        let found = self.machine.firewall_rules(&wanted.rule.name).map_err(of(id))?;
        if matches!(found.as_slice(), [only] if same_rule(only, &wanted)) {
            return Ok(());
        }
        self.note(&Thing::Firewall { name: wanted.rule.name.clone() })?;
        // The new one is there before the old ones go; with one name for all, all go and one comes if there are several.
        for _ in &found {
            self.machine.remove_firewall_rule(&wanted.rule.name).map_err(of(id))?;
        }
        self.machine.add_firewall_rule(&wanted).map_err(of(id))
    }

    /// A rule that is there and does nothing protects nobody.
    fn is_effective(&self, id: &str) -> Result<Found, SetupError> {
        let state = self.machine.firewall().map_err(of(id))?;
        Ok(match ineffective(&state) {
            None => Found::Done,
            Some((code, object, remedy)) => Found::Degraded(SetupError::new(code, id, object, remedy)),
        })
    }

    pub(super) fn check_wfp(&self, id: &str, name: &str) -> Result<Found, SetupError> {
        let Some(offline) = self.account(id, name)? else { return Ok(needed("the account is missing")) };
        let wanted = wfp_plan(&self.request.names, &offline);
        match self.machine.wfp(&wanted) {
            Ok(Some(found)) if found == wanted => Ok(Found::Done),
            Ok(Some(_)) => Ok(needed("what stands under our provider is not what it should be")),
            Ok(None) => Ok(needed("our provider is missing")),
            Err(error) if error.kind == MachineErrorKind::Unsupported => {
                let object = "this system has no Windows Filtering Platform that can be used";
                let remedy = "the firewall rule still blocks the network; loopback is not blocked";
                Ok(Found::Degraded(SetupError::of(id, error).about(object).with("setup-no-wfp", remedy)))
            }
            Err(error) => Err(SetupError::of(id, error)),
        }
    }

    pub(super) fn apply_wfp(&self, id: &str, name: &str) -> Result<(), SetupError> {
        let offline = self.must_account(id, name)?;
        let prefix = self.request.names.prefix().to_owned();
        self.note(&Thing::Wfp { prefix })?;
        self.machine.install_wfp(&wfp_plan(&self.request.names, &offline)).map_err(of(id))
    }
}

/// Read back, a rule says the same as the one that was made; the system may write the descriptor with an owner or in other
/// letters.
fn same_rule(found: &RuleState, wanted: &RuleState) -> bool {
    let dacl = |rule: &FirewallRule| {
        let read = nt_security::SecurityDescriptor::from_sddl(&rule.local_user_authorized_list);
        read.map(|descriptor| descriptor.dacl)
    };
    let without = |state: &RuleState| {
        let rule = FirewallRule { local_user_authorized_list: String::new(), ..state.rule.clone() };
        RuleState { rule, ..state.clone() }
    };
    without(found) == without(wanted) && dacl(&found.rule).is_ok() && dacl(&found.rule) == dacl(&wanted.rule)
}

/// Why local rules have no effect on this machine, if so.
fn ineffective(state: &FirewallState) -> Option<(&'static str, String, &'static str)> {
    let profiles = |mask: i32| {
        let names = [(1, "domain"), (2, "private"), (4, "public")];
        let on: Vec<&str> = names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
        on.join(", ")
    };
    if !state.service {
        let remedy = "start it: sc config mpssvc start= auto, then restart";
        return Some((
            "setup-firewall-service",
            "the service Windows Defender Firewall (mpssvc) does not run".to_owned(),
            remedy,
        ));
    }
    if state.no_local_rules != 0 {
        let text = format!(
            "group policy takes no local rules (AllowLocalPolicyMerge): {}",
            profiles(state.no_local_rules)
        );
        let remedy = "ask whoever manages this machine to allow local rules, or to deploy the rule; the filters of the step wfp \
                      hold without it";
        return Some(("setup-firewall-policy", text, remedy));
    }
    if state.modify_state == 1 {
        let text = "group policy overrides local firewall rules (NET_FW_MODIFY_STATE_GP_OVERRIDE)".to_owned();
        let remedy = "ask whoever manages this machine; the filters of the step wfp hold without it";
        return Some(("setup-firewall-policy", text, remedy));
    }
    if state.off != 0 {
        let text = format!("the firewall is off on these profiles: {}", profiles(state.off));
        let remedy = "switch it on: netsh advfirewall set allprofiles state on; the filters of the step wfp hold without it";
        return Some(("setup-firewall-off", text, remedy));
    }
    None
}
