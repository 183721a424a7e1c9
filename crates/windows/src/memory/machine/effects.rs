//! What the set-up asks of a machine in memory, and does to it.

use std::collections::BTreeSet;

use nt_security::Sid;
use zeroize::Zeroizing;

use super::{Descriptor, MachineError, MachineErrorKind, MachineResult, MemoryMachine, MemoryUser, error};
use crate::host::{Host, ProcessId};
use crate::memory::MemoryHost;
use crate::plan::data::WfpPlan;
use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::plan::tree::TreeNode;
use crate::setup::credentials::{Credentials, Password};
use crate::setup::machine::{
    FileState, FirewallState, GroupAccount, Known, Machine, NewUser, RuleState, SystemFacts, UserAccount,
};

/// Puts a node there that has a descriptor, or inherits one from the folder above.
pub(super) fn put_node(host: &MemoryHost, path: &WinPath, folder: bool, descriptor: Option<&Descriptor>) {
    let kind = if folder { NodeKind::Folder } else { NodeKind::File };
    let above = path.parent().and_then(|parent| host.node(&parent)).map(|node| node.descriptor);
    let inherited = inherit::created(&above.unwrap_or_default(), kind, &host.token);
    host.put(path, TreeNode::plain(kind, descriptor.cloned().unwrap_or(inherited)));
}

impl Machine for MemoryMachine {
    fn system(&self) -> MachineResult<SystemFacts> {
        let inner = self.lock();
        inner.alive("describe", &"this machine")?;
        let described =
            self.host.describe().map_err(|_| error(MachineErrorKind::Other, "describe", "host"))?;
        let behaviour = &inner.behaviour;
        Ok(SystemFacts {
            name: behaviour.name.clone(),
            user: behaviour.user,
            elevated: behaviour.elevated,
            is_domain_controller: behaviour.is_domain_controller,
            secondary_logon_disabled: described.machine.secondary_logon_disabled,
            windows: described.folders.windows,
            program_data: described.folders.program_data,
        })
    }

    fn process_user(&self, process: u32) -> MachineResult<Option<Sid>> {
        Ok(self.lock().behaviour.processes.get(&process).copied())
    }

    fn process(&self) -> ProcessId {
        self.host.process()
    }

    fn is_running(&self, process: ProcessId) -> bool {
        self.host.is_running(process)
    }

    fn now(&self) -> u64 {
        self.host.now()
    }

    fn random(&self, buffer: &mut [u8]) -> MachineResult<()> {
        let mut inner = self.lock();
        for byte in buffer {
            // xorshift64: the same in each run of a test.
            let mut next = inner.random;
            next ^= next << 13;
            next ^= next >> 7;
            next ^= next << 17;
            inner.random = next;
            *byte = next.to_le_bytes()[3];
        }
        Ok(())
    }

    fn lookup_name(&self, name: &str) -> MachineResult<Option<Known>> {
        Ok(self.lock().lookup(name))
    }

    fn lookup_sid(&self, sid: &Sid) -> MachineResult<Option<Known>> {
        let inner = self.lock();
        let names =
            inner.contents.users.iter().find(|(_, user)| user.sid == *sid).map(|(name, _)| name.clone());
        let known = inner.behaviour.known.iter().find(|known| known.sid == *sid).cloned();
        Ok(known.or_else(|| names.and_then(|name| inner.lookup(&name))))
    }

    fn profile(&self, user: &Sid) -> MachineResult<Option<WinPath>> {
        Ok(self.lock().contents.profiles.get(user).cloned())
    }

    fn delete_profile(&self, user: &Sid) -> MachineResult<()> {
        let mut inner = self.lock();
        let Some(path) = inner.contents.profiles.get(user).cloned() else { return Ok(()) };
        inner.effect("delete the profile of", user)?;
        inner.contents.profiles.remove(user);
        self.host.delete(&path);
        Ok(())
    }

    fn group(&self, name: &str) -> MachineResult<Option<GroupAccount>> {
        let inner = self.lock();
        inner.alive("look at the group", &name)?;
        let group = inner.contents.groups.get(&name.to_uppercase()).cloned();
        Ok(group.map(|(sid, comment)| GroupAccount { sid, comment }))
    }

    fn add_group(&self, name: &str, comment: &str) -> MachineResult<Sid> {
        let mut inner = self.lock();
        if inner.lookup(&format!(".\\{name}")).is_some() {
            return Err(error(MachineErrorKind::Exists, "add the group", name).with_system(1379, "exists"));
        }
        inner.effect("add the group", &name)?;
        let sid = inner.new_sid();
        inner.contents.groups.insert(name.to_uppercase(), (sid, comment.to_owned()));
        Ok(sid)
    }

    fn delete_group(&self, name: &str) -> MachineResult<()> {
        let mut inner = self.lock();
        let missing = || error(MachineErrorKind::NotFound, "delete the group", name);
        let (sid, _) = inner.contents.groups.get(&name.to_uppercase()).cloned().ok_or_else(missing)?;
        inner.effect("delete the group", &name)?;
        inner.contents.groups.remove(&name.to_uppercase());
        inner.contents.members.remove(&sid);
        Ok(())
    }

    fn user(&self, name: &str) -> MachineResult<Option<UserAccount>> {
        let inner = self.lock();
        inner.alive("look at the user", &name)?;
        let user = inner.contents.users.get(&name.to_uppercase());
        Ok(user.map(|user| UserAccount { sid: user.sid, comment: user.comment.clone(), flags: user.flags }))
    }

    fn add_user(&self, user: &NewUser) -> MachineResult<Sid> {
        let mut inner = self.lock();
        if inner.lookup(&format!(".\\{}", user.name)).is_some() {
            return Err(
                error(MachineErrorKind::Exists, "add the user", &user.name).with_system(2224, "exists")
            );
        }
        if inner.behaviour.refuses_passwords {
            let refused = error(MachineErrorKind::Policy, "add the user", &user.name);
            return Err(refused.with_system(2245, "The password does not meet the password policy"));
        }
        inner.effect("add the user", &user.name)?;
        let sid = inner.new_sid();
        let NewUser { name, comment, password, flags } = user.clone();
        let password = password.units().to_vec();
        inner.contents.users.insert(name.to_uppercase(), MemoryUser { sid, comment, flags, password });
        Ok(sid)
    }

    fn delete_user(&self, name: &str) -> MachineResult<()> {
        let mut inner = self.lock();
        let missing = || error(MachineErrorKind::NotFound, "delete the user", name);
        let sid = inner.contents.users.get(&name.to_uppercase()).ok_or_else(missing)?.sid;
        inner.effect("delete the user", &name)?;
        inner.contents.users.remove(&name.to_uppercase());
        for members in inner.contents.members.values_mut() {
            members.remove(&sid);
        }
        inner.contents.members.retain(|_, members| !members.is_empty());
        Ok(())
    }

    fn set_user_flags(&self, name: &str, flags: u32) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("set the flags of", &name)?;
        user_of(&mut inner.contents.users, name)?.flags = flags;
        Ok(())
    }

    fn set_password(&self, name: &str, password: &Password) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("set the password of", &name)?;
        user_of(&mut inner.contents.users, name)?.password = password.units().to_vec();
        Ok(())
    }

    fn is_member(&self, group: &Sid, user: &Sid) -> MachineResult<bool> {
        Ok(self.lock().contents.members.get(group).is_some_and(|members| members.contains(user)))
    }

    fn add_member(&self, group: &Sid, user: &Sid) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("add a member to", group)?;
        inner.contents.members.entry(*group).or_default().insert(*user);
        Ok(())
    }

    fn remove_member(&self, group: &Sid, user: &Sid) -> MachineResult<()> {
        let mut inner = self.lock();
        if !inner.contents.members.get(group).is_some_and(|members| members.contains(user)) {
            return Err(error(MachineErrorKind::NotFound, "remove a member from", group));
        }
        inner.effect("remove a member from", group)?;
        if let Some(members) = inner.contents.members.get_mut(group) {
            members.remove(user);
        }
        inner.contents.members.retain(|_, members| !members.is_empty());
        Ok(())
    }

    fn is_hidden(&self, user: &str) -> MachineResult<bool> {
        Ok(self.lock().contents.hidden.contains(&user.to_uppercase()))
    }

    fn set_hidden(&self, user: &str, hidden: bool) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("hide or show", &user)?;
        if hidden {
            inner.contents.hidden.insert(user.to_uppercase());
        } else {
            inner.contents.hidden.remove(&user.to_uppercase());
        }
        Ok(())
    }

    fn rights(&self, account: &Sid) -> MachineResult<BTreeSet<String>> {
        let inner = self.lock();
        if !inner.behaviour.has_rights {
            return Err(error(MachineErrorKind::Unsupported, "read the rights of", account));
        }
        Ok(inner.contents.rights.get(account).cloned().unwrap_or_default())
    }

    fn add_right(&self, account: &Sid, right: &str) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("add a right to", account)?;
        inner.contents.rights.entry(*account).or_default().insert(right.to_owned());
        Ok(())
    }

    fn remove_right(&self, account: &Sid, right: &str) -> MachineResult<()> {
        let mut inner = self.lock();
        if !inner.contents.rights.get(account).is_some_and(|rights| rights.contains(right)) {
            return Err(error(MachineErrorKind::NotFound, "remove a right from", account));
        }
        inner.effect("remove a right from", account)?;
        if let Some(rights) = inner.contents.rights.get_mut(account) {
            rights.remove(right);
        }
        inner.contents.rights.retain(|_, rights| !rights.is_empty());
        Ok(())
    }

    fn try_logon(&self, credentials: &Credentials) -> MachineResult<()> {
        let inner = self.lock();
        inner.alive("log on as", &credentials.user)?;
        let failed = |code| {
            let failed = error(MachineErrorKind::Other, "log on as", &credentials.user);
            Err(failed.with_system(code, "the logon failed"))
        };
        if let Some(code) = inner.behaviour.logon_error {
            return failed(code);
        }
        match inner.contents.users.get(&credentials.user.to_uppercase()) {
            Some(user) if user.flags & 0x2 != 0 => failed(1331),
            Some(user) if user.flags & 0x10 != 0 => failed(1909),
            Some(user) if user.password == credentials.password.units() => Ok(()),
            _ => failed(1326),
        }
    }

    fn seal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Vec<u8>> {
        let mask = entropy.iter().fold(0x5A_u8, |mask, byte| mask.rotate_left(1) ^ byte);
        let sum = bytes.iter().fold(mask, |sum, byte| sum.rotate_left(1) ^ byte);
        Ok(bytes.iter().map(|byte| byte ^ mask).chain([sum]).collect())
    }

    fn unseal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Zeroizing<Vec<u8>>> {
        let damaged =
            || error(MachineErrorKind::Other, "unseal", "a password").with_system(13, "invalid data");
        let (sum, sealed) = bytes.split_last().ok_or_else(damaged)?;
        let mask = entropy.iter().fold(0x5A_u8, |mask, byte| mask.rotate_left(1) ^ byte);
        let plain: Zeroizing<Vec<u8>> = Zeroizing::new(sealed.iter().map(|byte| byte ^ mask).collect());
        let found = plain.iter().fold(mask, |sum, byte| sum.rotate_left(1) ^ byte);
        if found == *sum { Ok(plain) } else { Err(damaged()) }
    }

    fn firewall(&self) -> MachineResult<FirewallState> {
        Ok(self.lock().behaviour.firewall.clone())
    }

    fn firewall_rules(&self, name: &str) -> MachineResult<Vec<RuleState>> {
        let inner = self.lock();
        inner.alive("read the firewall rule", &name)?;
        Ok(inner.contents.rules.iter().filter(|rule| rule.rule.name == name).cloned().collect())
    }

    fn add_firewall_rule(&self, rule: &RuleState) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("add the firewall rule", &rule.rule.name)?;
        inner.contents.rules.push(rule.clone());
        Ok(())
    }

    fn remove_firewall_rule(&self, name: &str) -> MachineResult<()> {
        let mut inner = self.lock();
        let missing = || error(MachineErrorKind::NotFound, "remove the firewall rule", name);
        let at = inner.contents.rules.iter().position(|rule| rule.rule.name == name).ok_or_else(missing)?;
        inner.effect("remove the firewall rule", &name)?;
        inner.contents.rules.remove(at);
        Ok(())
    }

    fn wfp(&self, _: &WfpPlan) -> MachineResult<Option<WfpPlan>> {
        let inner = self.lock();
        inner.alive("read the filters", &"our provider")?;
        if !inner.behaviour.has_wfp {
            return Err(error(MachineErrorKind::Unsupported, "read the filters", "our provider"));
        }
        Ok(inner.contents.wfp.clone())
    }

    fn install_wfp(&self, plan: &WfpPlan) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("install the filters", &plan.provider)?;
        inner.contents.wfp = Some(plan.clone());
        Ok(())
    }

    fn remove_wfp(&self, plan: &WfpPlan) -> MachineResult<()> {
        let mut inner = self.lock();
        if inner.contents.wfp.is_none() {
            return Err(error(MachineErrorKind::NotFound, "remove the filters", &plan.provider));
        }
        inner.effect("remove the filters", &plan.provider)?;
        inner.contents.wfp = None;
        Ok(())
    }

    fn file(&self, path: &WinPath) -> MachineResult<Option<FileState>> {
        self.lock().alive("look at", path)?;
        Ok(self.host.node(path).map(|node| FileState {
            is_folder: node.kind == NodeKind::Folder,
            is_link: node.kind.is_link(),
            descriptor: node.descriptor,
        }))
    }

    fn make_folder(&self, path: &WinPath, descriptor: &Descriptor) -> MachineResult<()> {
        let mut inner = self.lock();
        if self.host.node(path).is_some() {
            return Err(error(MachineErrorKind::Exists, "make the folder", path));
        }
        inner.effect("make the folder", path)?;
        put_node(&self.host, path, true, Some(descriptor));
        Ok(())
    }

    fn set_descriptor(&self, path: &WinPath, descriptor: &Descriptor) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("set the descriptor of", path)?;
        let node = self
            .host
            .node(path)
            .ok_or_else(|| error(MachineErrorKind::NotFound, "set the descriptor of", path))?;
        self.host.put(path, TreeNode { descriptor: descriptor.clone(), ..node });
        let below: Vec<WinPath> =
            inner.contents.files.keys().filter(|file| file.is_below(path)).cloned().collect();
        for file in below {
            put_node(&self.host, &file, false, None);
        }
        Ok(())
    }

    fn read_file(&self, path: &WinPath) -> MachineResult<Option<Vec<u8>>> {
        let inner = self.lock();
        inner.alive("read", path)?;
        Ok(inner.contents.files.get(path).cloned())
    }

    fn write_file(&self, path: &WinPath, bytes: &[u8]) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.effect("write", path)?;
        inner.contents.files.insert(path.clone(), bytes.to_vec());
        put_node(&self.host, path, false, None);
        Ok(())
    }

    fn list(&self, folder: &WinPath) -> MachineResult<Vec<String>> {
        self.lock().alive("list", folder)?;
        let depth = folder.depth() + 1;
        let below =
            self.host.snapshot().into_keys().filter(|path| path.is_below(folder) && path.depth() == depth);
        Ok(below.filter_map(|path| path.name().map(str::to_owned)).collect())
    }

    fn remove(&self, path: &WinPath) -> MachineResult<()> {
        let mut inner = self.lock();
        inner.alive("remove", path)?;
        if self.host.node(path).is_none() {
            return Ok(());
        }
        let holds = self.host.snapshot().into_keys().any(|other| other.is_below(path));
        if holds {
            return Err(
                error(MachineErrorKind::Other, "remove", path).with_system(145, "The directory is not empty")
            );
        }
        inner.effect("remove", path)?;
        inner.contents.files.remove(path);
        self.host.delete(path);
        Ok(())
    }
}

fn user_of<'a>(
    users: &'a mut std::collections::BTreeMap<String, MemoryUser>,
    name: &str,
) -> Result<&'a mut MemoryUser, MachineError> {
    let missing = || error(MachineErrorKind::NotFound, "look at the user", name);
    users.get_mut(&name.to_uppercase()).ok_or_else(missing)
}
