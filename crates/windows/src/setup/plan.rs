//! The steps of a set-up as data: a function of what is asked for, printed by `setup --dry-run`, and carried out by nobody here.

use codex_sandbox_policy::Policy;
use serde::Serialize;

use super::names::{MachineFolder, Names, RUNNER, SETUP, Which};
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

/// What our accounts' and rules' comments end with: with it they are ours even when the journal is lost. Only
/// administrators can write it there.
pub const MARK: &str = "[codex-sandbox setup]";

/// The user for whom the machine is set up: the one who runs commands, not the one whose password elevated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RealUser {
    /// Who he is.
    pub sid: SidText,
    /// Name for people.
    pub name: String,
    /// His profile, if he has logged on to this machine before.
    pub profile: Option<WinPath>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The names.
    pub names: Names,
    /// The machine's state folder.
    pub folder: MachineFolder,
    /// For whom.
    pub user: RealUser,
    /// The folder that the helper programs are copied from: the one that this program lies in.
    pub programs: WinPath,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// A stable word.
    pub id: String,
    /// In words, for people.
    pub title: String,
    /// Without it the steps after it make no sense.
    pub essential: bool,
    /// What is done.
    #[serde(flatten)]
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum StepKind {
    /// A folder of ours.
    Folder {
        /// Where.
        path: WinPath,
        /// Who may do what in it.
        access: FolderAccess,
    },
    /// The group of the sandbox accounts.
    Group {
        /// Its name.
        name: String,
        /// Its comment.
        comment: String,
    },
    /// A sandbox account, with the flags of lmaccess.h.
    User {
        /// Which.
        #[serde(serialize_with = "which_name")]
        which: Which,
        /// Its name.
        name: String,
        /// Its comment.
        comment: String,
        /// UF_…
        flags: u32,
    },
    /// Membership of a sandbox account in a group.
    Member {
        /// The account's name.
        name: String,
        /// The group's SID where it is well known; `None`: the group of the sandbox accounts.
        group: Option<SidText>,
    },
    /// Kept off the logon screen.
    Hidden {
        /// The account's name.
        name: String,
    },
    /// An account right that stands on the account.
    Right {
        /// The account's name.
        name: String,
        /// Its name (ntsecapi.h).
        right: String,
    },
    /// The firewall rule.
    Firewall {
        /// The name of the account that it blocks.
        name: String,
    },
    /// The filters of the Windows Filtering Platform.
    Wfp {
        /// The name of the account that they block.
        name: String,
    },
    /// A password that works, sealed.
    Credentials {
        /// Whose.
        #[serde(serialize_with = "which_name")]
        which: Which,
        /// The file.
        path: WinPath,
    },
    /// A helper program.
    Helper {
        /// From where.
        from: WinPath,
        /// To where.
        to: WinPath,
    },
    /// Reading for the sandbox accounts, given in the background.
    Reads {
        /// In whose profile.
        user: RealUser,
    },
}

/// Who may do what in a folder of ours, besides SYSTEM and Administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderAccess {
    /// Users read.
    UsersRead,
    /// The real users read, the sandbox accounts have no access at all.
    RealUsersRead,
    /// Users and the sandbox accounts read and run.
    SandboxRuns,
}

/// UF_SCRIPT, UF_NORMAL_ACCOUNT, UF_PASSWD_CANT_CHANGE, UF_DONT_EXPIRE_PASSWD of lmaccess.h.
pub const USER_FLAGS: u32 = 0x1 | 0x200 | 0x40 | 0x1_0000;

/// Rights that the sandbox accounts are denied: nobody logs on as them from the network or by remote desktop, and the task
/// scheduler and services do not either. SeInteractiveLogonRight stays theirs, as members of Users: CreateProcessWithLogonW
/// needs it.
pub const DENIED_RIGHTS: [&str; 4] = [
    "SeDenyNetworkLogonRight",
    "SeDenyRemoteInteractiveLogonRight",
    "SeDenyBatchLogonRight",
    "SeDenyServiceLogonRight",
];

/// The steps of one machine and user, in order. Taken back in the opposite order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupPlan {
    /// The prefix of the accounts' names.
    pub prefix: String,
    /// For whom.
    pub user: RealUser,
    /// The machine's state folder.
    pub folder: WinPath,
    /// The steps.
    pub steps: Vec<Step>,
}

/// The SID of Users, whatever it is called in the language of the system.
pub const USERS: SidText = SidText(nt_security::well_known::USERS);

impl SetupPlan {
    /// Plans.
    pub fn new(request: &Request) -> Self {
        let Request { names, folder, user, programs } = request;
        let mut steps = Vec::new();
        steps.push(folder_step("folder", &folder.0, FolderAccess::UsersRead));
        steps.push(group(names));
        for which in Which::ALL {
            account(names, which, &mut steps);
        }
        network(names, &mut steps);
        steps.push(folder_step("helpers", &folder.programs(), FolderAccess::SandboxRuns));
        steps.push(folder_step("helpers-version", &folder.helpers(), FolderAccess::SandboxRuns));
        for program in [RUNNER, SETUP] {
            let (from, to) = (programs.join(program), folder.helpers().join(program));
            let title = format!("copy {program} to {}", folder.helpers());
            let id = format!("helper-{}", program.trim_end_matches(".exe"));
            steps.push(Step { id, title, essential: false, kind: StepKind::Helper { from, to } });
        }
        // Passwords come last: without them nobody uses accounts whose network was not blocked.
        steps.push(folder_step("credentials", &folder.credentials(), FolderAccess::RealUsersRead));
        for which in Which::ALL {
            let (path, name) = (folder.credential(which), names.account(which));
            let title = format!("a random password for {name} that works, sealed for this machine");
            let id = format!("credentials-{}", which.name().to_ascii_lowercase());
            steps.push(Step { id, title, essential: false, kind: StepKind::Credentials { which, path } });
        }
        steps.push(reads(user));
        let (prefix, user, folder) = (names.prefix().to_owned(), user.clone(), folder.0.clone());
        Self { prefix, user, folder, steps }
    }
}

fn folder_step(id: &str, path: &WinPath, access: FolderAccess) -> Step {
    let who = match access {
        FolderAccess::UsersRead => "administrators write, users read",
        FolderAccess::RealUsersRead => {
            "administrators write, the real user reads, sandbox accounts have no access"
        }
        FolderAccess::SandboxRuns => "administrators write, sandbox accounts read and run",
    };
    let kind = StepKind::Folder { path: path.clone(), access };
    let essential = access != FolderAccess::SandboxRuns;
    Step { id: id.to_owned(), title: format!("folder {path}: {who}"), essential, kind }
}

fn group(names: &Names) -> Step {
    let (name, comment) = (names.group(), format!("The accounts of sandboxed commands {MARK}"));
    let title = format!("local group {name}");
    Step { id: "group".to_owned(), title, essential: true, kind: StepKind::Group { name, comment } }
}

/// An account with what belongs to it.
fn account(names: &Names, which: Which, steps: &mut Vec<Step>) {
    let name = names.account(which);
    let word = which.name().to_ascii_lowercase();
    let mut step =
        |id: String, title: String, essential, kind| steps.push(Step { id, title, essential, kind });
    let does = match which {
        Which::Offline => "Runs sandboxed commands without a network",
        Which::Online => "Runs sandboxed commands with a network",
    };
    let comment = format!("{does} {MARK}");
    let title = format!("local user {name}, a password that neither expires nor can be changed by him");
    let kind = StepKind::User { which, name: name.clone(), comment, flags: USER_FLAGS };
    step(format!("user-{word}"), title, true, kind);
    for (id, group, title) in
        [("users", Some(USERS), "Users (S-1-5-32-545)".to_owned()), ("group", None, names.group())]
    {
        let kind = StepKind::Member { name: name.clone(), group };
        step(format!("member-{word}-{id}"), format!("{name} in {title}"), true, kind);
    }
    let kind = StepKind::Hidden { name: name.clone() };
    step(format!("hidden-{word}"), format!("{name} kept off the logon screen"), false, kind);
    for right in DENIED_RIGHTS {
        let short = right.trim_start_matches("SeDeny").trim_end_matches("LogonRight").to_ascii_lowercase();
        let kind = StepKind::Right { name: name.clone(), right: right.to_owned() };
        step(format!("deny-{short}-{word}"), format!("{name}: {right}"), false, kind);
    }
}

fn network(names: &Names, steps: &mut Vec<Step>) {
    let name = names.account(Which::Offline);
    let (from, to) = crate::plan::network::PROXY_PORTS;
    let firewall = format!("Windows Firewall: {name} sends nothing, on no profile, by no protocol");
    let wfp = format!(
        "Windows Filtering Platform: {name} connects to nothing, loopback included, except ports {from}-{to} of loopback"
    );
    let kind = StepKind::Firewall { name: name.clone() };
    steps.push(Step { id: "firewall".to_owned(), title: firewall, essential: false, kind });
    steps.push(Step { id: "wfp".to_owned(), title: wfp, essential: false, kind: StepKind::Wfp { name } });
}

fn reads(user: &RealUser) -> Step {
    let profile = user.profile.as_ref().map_or_else(|| "no profile yet".to_owned(), ToString::to_string);
    let title = format!("reading for the sandbox accounts, except secrets ({profile}), in the background");
    let kind = StepKind::Reads { user: user.clone() };
    Step { id: "reads".to_owned(), title, essential: false, kind }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn which_name<S: serde::Serializer>(which: &Which, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(which.name())
}

/// The policy of an account prefix, for the parts of the plan that take one.
pub(super) fn policy(names: &Names) -> Policy {
    Policy { windows_account_prefix: names.prefix().to_owned(), ..Policy::default() }
}
