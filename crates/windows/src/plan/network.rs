//! The network: enforced by firewall and filters where the command has an account of its own, discouraged by environment and
//! stubs where it has not.

use codex_sandbox_policy::Policy;
use nt_security::Sid;

use super::data::{
    EnvironmentPlan, FirewallRule, HostPolicy, NetworkPlan, RootKind, RootPlan, RootState, Stub, Tier,
    Variables, WfpAction, WfpCondition, WfpFilter, WfpPlan,
};
use super::facts::Facts;
use super::path::WinPath;

/// Where nothing listens.
const DEAD_PROXY: &str = "http://127.0.0.1:9";
/// Ports that stay open to the offline account on loopback, for the built-in proxy.
pub const PROXY_PORTS: (u16, u16) = (47_310, 47_325);
/// Our WFP provider; removing it removes everything.
const WFP_PROVIDER: &str = "5b2c7e0e-6f0a-4c1f-9b51-2f3d1c6a8e10";
/// Our WFP sublayer.
const WFP_SUBLAYER: &str = "c2a5d3b4-0d37-4f0b-8a64-93c0f7b5e211";
/// NET_FW_IP_PROTOCOL_ANY
const ANY_PROTOCOL: u32 = 256;

/// The network part of the plan.
pub fn network(policy: &Policy, host: &HostPolicy, tier: Tier, facts: &Facts) -> NetworkPlan {
    let elevated = tier == Tier::Elevated;
    let allow: Vec<String> = policy
        .network_allow
        .iter()
        .map(|host| host.port.map_or_else(|| host.host.clone(), |port| format!("{}:{port}", host.host)))
        .collect();
    let refused = (!allow.is_empty() && !host.network_access).then(|| {
        "network.allow needs the built-in proxy, which this version does not have; take it out, or set \
         network_access"
            .to_owned()
    });
    let offline = facts.setup.offline.map(|sid| sid.0).filter(|_| elevated);
    NetworkPlan {
        allowed: host.network_access,
        enforced: elevated || host.network_access,
        allow,
        refused,
        firewall: offline.map(|sid| firewall(policy, &sid)).unwrap_or_default(),
        wfp: offline.map(|sid| wfp(policy, &sid)),
    }
}

/// LocalUserAuthorizedList takes a descriptor that grants the match right (`CC`) to the account.
pub(crate) fn firewall(policy: &Policy, offline: &Sid) -> Vec<FirewallRule> {
    vec![FirewallRule {
        name: format!("{} offline: block outbound", policy.windows_account_prefix),
        direction: "out".to_owned(),
        action: "block".to_owned(),
        protocol: ANY_PROTOCOL,
        local_user_authorized_list: format!("D:(A;;CC;;;{offline})"),
    }]
}

/// Windows Firewall does not look at loopback; these filters do (windows-facts §14).
pub(crate) fn wfp(policy: &Policy, offline: &Sid) -> WfpPlan {
    let user = WfpCondition::User { sddl: format!("O:LSD:(A;;CC;;;{offline})") };
    let name =
        |what: &str, layer: &str| format!("{} offline: {what} ({layer})", policy.windows_account_prefix);
    let mut filters = Vec::new();
    for layer in ["ALE_AUTH_CONNECT_V4", "ALE_AUTH_CONNECT_V6"] {
        let (from, to) = PROXY_PORTS;
        filters.push(WfpFilter {
            name: name("proxy on loopback", layer),
            layer: layer.to_owned(),
            action: WfpAction::Permit,
            weight: 15,
            conditions: vec![user.clone(), WfpCondition::Loopback, WfpCondition::RemotePorts { from, to }],
        });
    }
    let blocked = [
        "ALE_AUTH_CONNECT_V4",
        "ALE_AUTH_CONNECT_V6",
        "ALE_RESOURCE_ASSIGNMENT_V4",
        "ALE_RESOURCE_ASSIGNMENT_V6",
    ];
    filters.extend(blocked.map(|layer| WfpFilter {
        name: name("block", layer),
        layer: layer.to_owned(),
        action: WfpAction::Block,
        weight: 10,
        conditions: vec![user.clone()],
    }));
    let (provider, sublayer) = (WFP_PROVIDER.to_owned(), WFP_SUBLAYER.to_owned());
    WfpPlan { provider, sublayer, weight: 0xFFFF, filters }
}

/// The folder of the stubs.
pub fn stub_folder(facts: &Facts) -> WinPath {
    facts.folders.state.join("stubs")
}

/// `ssh` and `scp` that fail: a stub that exits with 0 tells git that all is well.
pub fn stubs(host: &HostPolicy, tier: Tier, facts: &Facts) -> Vec<Stub> {
    if host.network_access || tier == Tier::Elevated {
        return Vec::new();
    }
    let stub = |program: &str| Stub {
        path: stub_folder(facts).join(&format!("{program}.cmd")),
        content: format!(
            "@echo off\r\necho {program}: codex-sandbox: the network is off for this command 1>&2\r\nexit /b 1\r\n"
        ),
    };
    ["ssh", "scp"].map(stub).to_vec()
}

/// The changes to the environment.
pub fn environment(host: &HostPolicy, roots: &[RootPlan], tier: Tier, facts: &Facts) -> EnvironmentPlan {
    let mut set = Variables::new();
    let mut path_first = Vec::new();
    if !host.network_access {
        discourage(&mut set);
        if tier == Tier::Unelevated {
            path_first.push(stub_folder(facts));
        }
    }
    let temp =
        roots.iter().find(|root| root.kind == RootKind::PrivateTemp && root.state == RootState::Granted);
    if let Some(path) = temp.and_then(|root| root.path.as_ref()) {
        for name in ["TEMP", "TMP", "TMPDIR"] {
            set.insert(name.to_owned(), path.to_string());
        }
    }
    if tier == Tier::Elevated {
        trust_roots(&mut set, host);
    }
    EnvironmentPlan { set, path_first, path_removed: store_aliases(facts) }
}

/// Design §4.8. Advisory: programs may ignore all of it.
fn discourage(set: &mut Variables) {
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "GIT_HTTPS_PROXY", "GIT_HTTP_PROXY"] {
        set.insert(name.to_owned(), DEAD_PROXY.to_owned());
    }
    let others = [
        ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ("GIT_SSH_COMMAND", "cmd /c exit 1"),
        ("PIP_NO_INDEX", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("NPM_CONFIG_OFFLINE", "true"),
        ("CARGO_NET_OFFLINE", "true"),
    ];
    set.extend(others.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Git refuses repositories of another owner; the roots are the user's, and the command is another account.
fn trust_roots(set: &mut Variables, host: &HostPolicy) {
    for (index, root) in host.roots.iter().enumerate() {
        set.insert(format!("GIT_CONFIG_KEY_{index}"), "safe.directory".to_owned());
        set.insert(format!("GIT_CONFIG_VALUE_{index}"), root.as_str().replace('\\', "/"));
    }
    if !host.roots.is_empty() {
        set.insert("GIT_CONFIG_COUNT".to_owned(), host.roots.len().to_string());
    }
}

/// Packaged programs need a package identity that a restricted token does not have (field report 1).
fn store_aliases(facts: &Facts) -> Vec<String> {
    let path = facts.environment.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
    let is_alias = |entry: &&str| entry.to_ascii_uppercase().contains(r"\WINDOWSAPPS");
    path.map_or_else(Vec::new, |(_, value)| value.split(';').filter(is_alias).map(str::to_owned).collect())
}
