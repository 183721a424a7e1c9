//! A machine in memory that can be set up: accounts, rights, firewall, filters, files; and a fault or a kill at the n-th effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use nt_security::{SecurityDescriptor, Sid};

use super::MemoryHost;
use super::fault::{Fault, FaultKind};
use crate::host::HostErrorKind;
use crate::plan::data::WfpPlan;
use crate::plan::path::WinPath;
use crate::setup::machine::{
    AccountKind, FirewallState, Known, MachineError, MachineErrorKind, MachineResult, RuleState,
};

mod effects;

/// A local user in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryUser {
    /// Its SID.
    pub sid: Sid,
    /// Its comment.
    pub comment: String,
    /// UF_… of lmaccess.h.
    pub flags: u32,
    /// Its password.
    pub password: Vec<u16>,
}

/// What a machine holds, besides the descriptors of its files; what a test compares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Local groups by name in upper case: SID, comment.
    pub groups: BTreeMap<String, (Sid, String)>,
    /// Local users by name in upper case.
    pub users: BTreeMap<String, MemoryUser>,
    /// Members by group.
    pub members: BTreeMap<Sid, BTreeSet<Sid>>,
    /// Names that the logon screen does not show.
    pub hidden: BTreeSet<String>,
    /// Account rights.
    pub rights: BTreeMap<Sid, BTreeSet<String>>,
    /// Firewall rules.
    pub rules: Vec<RuleState>,
    /// What stands under our provider.
    pub wfp: Option<WfpPlan>,
    /// Profiles by user.
    pub profiles: BTreeMap<Sid, WinPath>,
    /// Bytes of files.
    pub files: BTreeMap<WinPath, Vec<u8>>,
}

/// How the machine behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Its name.
    pub name: String,
    /// As whom the set-up runs.
    pub user: Sid,
    /// Whether it is elevated.
    pub elevated: bool,
    /// A domain controller.
    pub is_domain_controller: bool,
    /// Accounts of a domain, or of Entra ID, that names and SIDs lead to.
    pub known: Vec<Known>,
    /// What the firewall says of itself.
    pub firewall: FirewallState,
    /// Whether there is a filtering platform.
    pub has_wfp: bool,
    /// Whether account rights are kept.
    pub has_rights: bool,
    /// The Win32 error of every logon.
    pub logon_error: Option<u32>,
    /// Passwords are refused (NERR_PasswordTooShort).
    pub refuses_passwords: bool,
    /// Users of running processes.
    pub processes: BTreeMap<u32, Sid>,
}

#[derive(Debug, Default)]
struct Effects {
    count: u64,
    fault: Option<Fault>,
    dead: bool,
    /// The last effect of each kind, for tests that look at what was done.
    log: Vec<String>,
}

struct Inner {
    contents: Contents,
    behaviour: Behaviour,
    effects: Effects,
    next_rid: u32,
    random: u64,
}

/// A machine in memory. Clones share it; its files' descriptors are those of a [`MemoryHost`].
#[derive(Clone)]
pub struct MemoryMachine {
    host: MemoryHost,
    inner: Arc<Mutex<Inner>>,
}

/// The first words of a local account's SID.
const AUTHORITY: [u32; 4] = [21, 1_111_111_111, 2_222_222_222, 3_333_333_333];

impl MemoryMachine {
    /// A machine over the files of a host.
    pub fn new(host: &MemoryHost, user: Sid) -> Self {
        let behaviour = Behaviour {
            name: "MACHINE".to_owned(),
            user,
            elevated: true,
            is_domain_controller: false,
            known: Vec::new(),
            firewall: FirewallState { service: true, modify_state: 0, off: 0, no_local_rules: 0 },
            has_wfp: true,
            has_rights: true,
            logon_error: None,
            refuses_passwords: false,
            processes: BTreeMap::new(),
        };
        let (contents, effects) = (Contents::default(), Effects::default());
        let inner = Inner { contents, behaviour, effects, next_rid: 1001, random: 0x9E37_79B9_7F4A_7C15 };
        Self { host: host.clone(), inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked while it held the lock has failed its test already.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Its files.
    pub fn host(&self) -> &MemoryHost {
        &self.host
    }

    /// Everything that it holds.
    pub fn contents(&self) -> Contents {
        self.lock().contents.clone()
    }

    /// Changes what it holds, as somebody else would.
    pub fn change(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut self.lock().contents);
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.lock().behaviour);
    }

    /// Puts a file there.
    pub fn put_file(&self, path: &WinPath, bytes: &[u8]) {
        self.lock().contents.files.insert(path.clone(), bytes.to_vec());
        effects::put_node(&self.host, path, false, None);
    }

    /// Something happens at an effect from now on, counted from 0; the log begins anew.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().effects = Effects { fault, ..Effects::default() };
    }

    /// How many effects there were since the last [`set_fault`](Self::set_fault).
    pub fn effects(&self) -> u64 {
        self.lock().effects.count
    }

    /// What they were.
    pub fn log(&self) -> Vec<String> {
        self.lock().effects.log.clone()
    }

    /// A SID for an account of this machine.
    pub fn new_sid(&self) -> Sid {
        self.lock().new_sid()
    }
}

impl Inner {
    fn new_sid(&mut self) -> Sid {
        self.next_rid += 1;
        let [a, b, c, d] = AUTHORITY;
        Sid::constant(5, [a, b, c, d, self.next_rid])
    }

    /// Whether this process still lives.
    fn alive(&self, effect: &'static str, object: &dyn std::fmt::Display) -> MachineResult<()> {
        if self.effects.dead {
            return Err(MachineError::new(MachineErrorKind::Killed, effect, object));
        }
        Ok(())
    }

    /// Counts an effect, which fails or kills when its turn comes, and which takes elevation.
    fn effect(&mut self, effect: &'static str, object: &dyn std::fmt::Display) -> MachineResult<()> {
        self.alive(effect, object)?;
        if !self.behaviour.elevated {
            let error = MachineError::new(MachineErrorKind::AccessDenied, effect, object);
            return Err(error.with_system(5, "Access is denied"));
        }
        let number = self.effects.count;
        self.effects.count += 1;
        match self.effects.fault {
            Some(Fault { at, kind: FaultKind::Kill }) if at == number => {
                self.effects.dead = true;
                return self.alive(effect, object);
            }
            Some(Fault { at, kind: FaultKind::Fail(kind) }) if at == number => {
                let error = MachineError::new(kind_of(kind), effect, object);
                return Err(error.with_system(1359, "a fault of the test"));
            }
            _ => {}
        }
        self.effects.log.push(format!("{effect} {object}"));
        Ok(())
    }

    /// What a name stands for, the machine's own accounts first.
    fn lookup(&self, name: &str) -> Option<Known> {
        let local = format!("{}\\", self.behaviour.name.to_uppercase());
        let upper = name.to_uppercase();
        let own = upper.strip_prefix(&local).or_else(|| upper.strip_prefix(".\\")).unwrap_or(&upper);
        let known = |sid: Sid, kind| {
            let (domain, name) = (self.behaviour.name.clone(), own.to_owned());
            Known { sid, domain, name, kind }
        };
        if let Some(user) = self.contents.users.get(own) {
            return Some(known(user.sid, AccountKind::User));
        }
        if let Some((sid, _)) = self.contents.groups.get(own) {
            return Some(known(*sid, AccountKind::Group));
        }
        let full = |known: &&Known| format!("{}\\{}", known.domain, known.name).to_uppercase() == upper;
        let bare = |known: &&Known| known.name.to_uppercase() == upper;
        let others = &self.behaviour.known;
        others.iter().find(full).or_else(|| others.iter().find(bare)).cloned()
    }
}

fn kind_of(kind: HostErrorKind) -> MachineErrorKind {
    match kind {
        HostErrorKind::NotFound => MachineErrorKind::NotFound,
        HostErrorKind::AccessDenied => MachineErrorKind::AccessDenied,
        HostErrorKind::Exists => MachineErrorKind::Exists,
        HostErrorKind::Busy => MachineErrorKind::Busy,
        HostErrorKind::Unsupported => MachineErrorKind::Unsupported,
        HostErrorKind::Killed => MachineErrorKind::Killed,
        _ => MachineErrorKind::Other,
    }
}

fn error(kind: MachineErrorKind, effect: &'static str, object: impl std::fmt::Display) -> MachineError {
    MachineError::new(kind, effect, object)
}

type Descriptor = SecurityDescriptor;
