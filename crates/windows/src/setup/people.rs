//! For whom a machine is set up: the user who runs commands. In an elevated process that may be another one than whose
//! password elevated it ("over the shoulder").

use nt_security::Sid;

use super::error::SetupError;
use super::machine::{AccountKind, Known, Machine};
use super::names::{Names, Which};
use super::plan::RealUser;
use super::recover::is_somebody;

/// Who is said to be the real user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Whoever runs this process.
    Own,
    /// By name, by an administrator: `codex-sandbox setup --for NAME`.
    Named(String),
    /// By SID, by an administrator.
    Sid(Sid),
    /// By SID, by a process that asked for the elevation. It must run as that user.
    Caller {
        /// The SID.
        sid: Sid,
        /// The process.
        process: u32,
    },
}

/// Finds the real user, and checks that he is one.
///
/// # Errors
/// `setup-user-unknown`, `setup-not-a-user`, `setup-caller-mismatch`, `setup-sandbox-account`.
pub fn real_user<M: Machine>(machine: &M, names: &Names, asked: &Asked) -> Result<RealUser, SetupError> {
    let failed = |error| SetupError::of("user", error);
    let known = match asked {
        Asked::Own => by_sid(machine, machine.system().map_err(failed)?.user)?,
        Asked::Named(name) => by_name(machine, name)?,
        Asked::Sid(sid) => by_sid(machine, *sid)?,
        Asked::Caller { sid, process } => {
            let found = machine.process_user(*process).map_err(failed)?;
            if found != Some(*sid) {
                let who = found.map_or_else(|| "is not there".to_owned(), |found| format!("runs as {found}"));
                let object =
                    format!("the set-up is asked for {sid}, and process {process}, which asks, {who}");
                let remedy = "start it as yourself: codex-sandbox setup; administrators: codex-sandbox setup --for NAME";
                return Err(SetupError::new("setup-caller-mismatch", "user", object, remedy));
            }
            by_sid(machine, *sid)?
        }
    };
    check(machine, names, &known)?;
    let profile = machine.profile(&known.sid).map_err(failed)?;
    let name = if known.domain.is_empty() { known.name } else { format!("{}\\{}", known.domain, known.name) };
    Ok(RealUser { sid: known.sid.into(), name, profile })
}

fn by_name<M: Machine>(machine: &M, name: &str) -> Result<Known, SetupError> {
    let found = machine.lookup_name(name).map_err(|error| SetupError::of("user", error))?;
    let remedy =
        "write it as NAME, DOMAIN\\NAME, AzureAD\\NAME, or NAME@DOMAIN; a domain must be within reach";
    found.ok_or_else(|| SetupError::new("setup-user-unknown", "user", name, remedy))
}

/// A domain that is out of reach does not keep its users from being set up.
fn by_sid<M: Machine>(machine: &M, sid: Sid) -> Result<Known, SetupError> {
    let found = machine.lookup_sid(&sid).map_err(|error| SetupError::of("user", error))?;
    let unnamed = || Known { sid, domain: String::new(), name: sid.to_string(), kind: AccountKind::User };
    Ok(found.unwrap_or_else(unnamed))
}

fn check<M: Machine>(machine: &M, names: &Names, known: &Known) -> Result<(), SetupError> {
    let said =
        |code, remedy| Err(SetupError::new(code, "user", format!("{} ({})", known.name, known.sid), remedy));
    if !is_somebody(&known.sid) || known.kind != AccountKind::User {
        return said(
            "setup-not-a-user",
            "only users run sandboxed commands; deployment tools that run as SYSTEM say whom: codex-sandbox setup --for NAME",
        );
    }
    for which in Which::ALL {
        let account = machine.user(&names.account(which)).map_err(|error| SetupError::of("user", error))?;
        if account.is_some_and(|account| account.sid == known.sid) {
            return said("setup-sandbox-account", "start it as yourself, outside the sandbox");
        }
    }
    Ok(())
}
