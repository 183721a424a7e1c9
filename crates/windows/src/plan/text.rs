//! The plan as text, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::data::{
    AceChange, AceSpec, Change, Effect, LabelChange, LabelSpec, RootState, WfpAction, WfpCondition,
    WindowsPlan,
};
use super::path::WinPath;
use super::words::level_name;

impl fmt::Display for WindowsPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page::default();
        page.policy(self);
        page.identity(self);
        page.objects(self);
        page.process(self);
        page.network(self);
        page.promises(self);
        f.write_str(&page.text)
    }
}

/// Text with a column of titles.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// `title` once, then each item in a line of its own.
    fn list(&mut self, title: &str, items: impl IntoIterator<Item = String>) {
        let mut title = title;
        for item in items {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "{title:<12} {item}");
            title = "";
        }
    }

    fn line(&mut self, title: &str, item: impl Into<String>) {
        self.list(title, [item.into()]);
    }

    fn policy(&mut self, plan: &WindowsPlan) {
        let policy = &plan.policy;
        self.line("tier", plan.tier.name());
        self.line("mode", policy.mode.name());
        for root in &plan.roots {
            let place = root.path.as_ref().map_or_else(|| root.typed.clone(), WinPath::to_string);
            let state = match &root.state {
                RootState::Granted => "writable".to_owned(),
                RootState::Covered { by } => format!("covered by {by}"),
                RootState::ReadOnly(refusal) | RootState::Refused(refusal) => {
                    format!("read-only ({}): {}; {}", refusal.code, refusal.reason, refusal.remedy)
                }
            };
            self.line("root", format!("{place} ({}): {state}", root.kind.words()));
            self.list("", root.steps.iter().cloned());
        }
        let git = if policy.git == super::GitMode::Commit { "; .git open for commits" } else { "" };
        self.line("protected", format!("{}{git}", policy.protected.join(", ")));
        self.list("git dirs", policy.git_dirs.iter().map(WinPath::to_string));
        self.list("not read", policy.deny_read.iter().map(|denied| denied.path.to_string()));
    }

    fn identity(&mut self, plan: &WindowsPlan) {
        let account = &plan.account;
        self.line("runs as", format!("{} ({})", account.name, account.sid));
        self.line("", account.start.clone());
        let token = &plan.token;
        let flags: Vec<String> = token.flags.iter().map(|flag| flag.name().to_owned()).collect();
        self.line("token", format!("{}: {}", token.from, flags.join(", ")));
        self.line("", format!("integrity level {} ({:#x})", token.integrity_name, token.integrity));
        self.line("", format!("privileges: {}", token.privileges.join(", ")));
        self.list(
            "restricting",
            token.restricting.iter().map(|entry| {
                let sid = entry.sid.map_or("known when it runs".to_owned(), |sid| sid.to_string());
                format!("{:<10} {sid}: {}", entry.kind.name(), entry.why)
            }),
        );
        self.list("default DACL", plan.default_dacl.iter().map(ace));
        self.list(
            "write SIDs",
            plan.write_sids.iter().map(|write| {
                let new = if write.new { ", new" } else { "" };
                format!("{} {} ({}{new})", write.sid, write.root, write.variant)
            }),
        );
    }

    fn objects(&mut self, plan: &WindowsPlan) {
        self.list("folders", plan.folders.iter().map(|path| format!("{path} is made")));
        self.list(
            "placeholder",
            plan.placeholders.iter().map(|made| format!("{} (empty {})", made.path, made.kind.name())),
        );
        let mut by_path: BTreeMap<&WinPath, (Vec<&AceChange>, Vec<&LabelChange>)> = BTreeMap::new();
        for change in &plan.aces {
            by_path.entry(&change.path).or_default().0.push(change);
        }
        for change in &plan.labels {
            by_path.entry(&change.path).or_default().1.push(change);
        }
        for (path, (aces, labels)) in by_path {
            self.line("descriptor", path.to_string());
            let by =
                |change: &AceChange| if change.by == super::data::By::Setup { ", by set-up" } else { "" };
            self.list(
                "",
                aces.iter().map(|one| {
                    format!("  {} {} [{}{}]", verb(one.change), ace(&one.ace), one.purpose.name(), by(one))
                }),
            );
            self.list(
                "",
                labels.iter().map(|one| {
                    let old = one
                        .replaces
                        .as_ref()
                        .map_or(String::new(), |old| format!(" in place of {}", label(old)));
                    format!(
                        "  {} label {}{old} [{}]",
                        verb(one.change),
                        label(&one.label),
                        one.purpose.name()
                    )
                }),
            );
        }
        self.list("pinned", plan.pins.iter().map(WinPath::to_string));
        self.list(
            "left alone",
            plan.skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason)),
        );
        self.list(
            "watched",
            plan.watch.iter().map(|watch| {
                let below = if watch.below { " and below" } else { "" };
                format!("{}{below}: {}", watch.folder, watch.names.join(", "))
            }),
        );
    }

    fn process(&mut self, plan: &WindowsPlan) {
        let environment = &plan.environment;
        self.list("environment", environment.set.iter().map(|(name, value)| format!("{name}={value}")));
        self.list("path first", environment.path_first.iter().map(WinPath::to_string));
        self.list("path without", environment.path_removed.iter().cloned());
        self.list("stubs", plan.stubs.iter().map(|stub| stub.path.to_string()));
        let job = &plan.job;
        let mut limits = vec!["born in it".to_owned()];
        limits.extend(job.kill_on_close.then(|| "killed when it closes".to_owned()));
        limits.extend(job.no_breakaway.then(|| "no breakaway".to_owned()));
        limits.extend(job.memory.map(|bytes| format!("{bytes} bytes of memory")));
        limits.extend(job.processes.map(|count| format!("{count} processes")));
        limits.extend(job.wall_clock_ms.map(|time| format!("{time} ms")));
        self.line("job", limits.join(", "));
        match &plan.desktop.sddl {
            Some(sddl) => self.line("desktop", format!("its own, {sddl}")),
            None => self.line("desktop", "the user's"),
        }
    }

    fn network(&mut self, plan: &WindowsPlan) {
        let network = &plan.network;
        let state = match (network.allowed, network.enforced) {
            (true, _) => "allowed",
            (false, true) => "blocked for the account",
            (false, false) => "discouraged only",
        };
        self.line("network", state);
        self.list("", network.allow.iter().map(|host| format!("allow {host}")));
        self.list("", network.refused.iter().map(|why| format!("refused: {why}")));
        self.list(
            "firewall",
            network.firewall.iter().map(|rule| {
                format!(
                    "{}: {} {} for {}",
                    rule.name, rule.action, rule.direction, rule.local_user_authorized_list
                )
            }),
        );
        let Some(wfp) = &network.wfp else { return };
        self.line(
            "WFP",
            format!("provider {}, sublayer {}, weight {:#x}", wfp.provider, wfp.sublayer, wfp.weight),
        );
        self.list(
            "",
            wfp.filters.iter().map(|filter| {
                let action = if filter.action == WfpAction::Block { "block" } else { "permit" };
                let conditions: Vec<String> = filter.conditions.iter().map(condition).collect();
                format!(
                    "{action} {} (weight {}) if {}",
                    filter.layer,
                    filter.weight,
                    conditions.join(" and ")
                )
            }),
        );
    }

    fn promises(&mut self, plan: &WindowsPlan) {
        let walls = &plan.walls;
        let labels = if walls.labels { "DACLs and integrity levels" } else { "DACLs alone" };
        self.line("walls", labels);
        self.list("", walls.labels_missing.iter().cloned());
        self.list(
            "one wall",
            walls.single.iter().map(|wall| format!("{}: {:?} alone, {}", wall.path, wall.holds, wall.why)),
        );
        for gap in &plan.not_enforced {
            self.line("NOT ENFORCED", format!("{}: {}", gap.kind.name(), gap.what));
            self.list("", gap.paths.iter().map(|path| format!("  {path}")));
            self.line("", format!("  remedy: {}", gap.remedy));
        }
        for limit in &plan.stricter {
            self.line("stricter", format!("{}: {}", limit.kind.name(), limit.what));
            self.list("", limit.paths.iter().map(|path| format!("  {path}")));
        }
        self.list("notice", plan.notices.iter().cloned());
    }
}

fn verb(change: Change) -> &'static str {
    match change {
        Change::Keep => "keep",
        Change::Add => "add",
        Change::Remove => "remove",
    }
}

fn ace(ace: &AceSpec) -> String {
    let effect = if ace.effect == Effect::Allow { "allow" } else { "deny" };
    let rights = match ace.rights.len() {
        0..=4 => ace.rights.join("|"),
        _ => usual_name(ace),
    };
    format!("{effect} {} {:?} {rights}, {}", ace.name, ace.mask, ace.applies.words())
}

/// Long masks by the name that people know; the words of each are in the JSON.
fn usual_name(ace: &AceSpec) -> String {
    use super::context::{EVERYTHING, GIT_DIRECTORY, GRANT, READ_EXECUTE, SEE_FOLDER, WRITES};
    let names = [
        (GRANT, "read, write, execute, delete"),
        (WRITES, "everything that changes it"),
        (EVERYTHING, "everything but READ_CONTROL and SYNCHRONIZE"),
        (GIT_DIRECTORY, "attributes, deletion, descriptor"),
        (READ_EXECUTE, "read and execute"),
        (SEE_FOLDER, "list, traverse, attributes"),
        (nt_security::AccessMask::FILE_ALL_ACCESS, "full control"),
    ];
    let name = names.iter().find(|(mask, _)| *mask == ace.mask.0);
    name.map_or_else(|| ace.rights.join("|"), |(_, name)| (*name).to_owned())
}

fn label(label: &LabelSpec) -> String {
    let parts = [(label.no_write_up, "write"), (label.no_read_up, "read"), (label.no_execute_up, "execute")];
    let refused: Vec<&str> = parts.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    format!("{}, no {} up, {}", level_name(label.level), refused.join("/"), label.applies.words())
}

fn condition(condition: &WfpCondition) -> String {
    match condition {
        WfpCondition::User { sddl } => format!("user {sddl}"),
        WfpCondition::Loopback => "loopback".to_owned(),
        WfpCondition::RemotePorts { from, to } => format!("remote port {from}-{to}"),
    }
}
