//! Passwords: sealed before they are set, and set anew only when a logon fails.

use super::{Context, Found, needed, of};
use crate::plan::path::WinPath;
use crate::setup::credentials::{Credentials, Password, THIS_MACHINE};
use crate::setup::error::SetupError;
use crate::setup::journal::Thing;
use crate::setup::logon::{Cure, explain};
use crate::setup::machine::{Machine, MachineError};
use crate::setup::names::Which;

impl<M: Machine> Context<'_, M> {
    pub(super) fn check_credentials(
        &self,
        id: &str,
        which: Which,
        path: &WinPath,
    ) -> Result<Found, SetupError> {
        let name = self.request.names.account(which);
        let Some(account) = self.account(id, &name)? else { return Ok(needed("the account is missing")) };
        let credentials = match Credentials::load(self.machine, &self.request.folder, which) {
            Ok(credentials) => credentials,
            Err(error) if error.killed => return Err(error),
            Err(error) => return Ok(needed(format!("{}: {path}", error.code))),
        };
        if credentials.sid.0 != account || credentials.user != name {
            return Ok(needed("what is sealed is for an account that is gone"));
        }
        if self.dry_run {
            return Ok(Found::Done);
        }
        match self.machine.try_logon(&credentials) {
            Ok(()) => Ok(Found::Done),
            Err(error) if explain(error.system_code()).cure == Cure::NewPassword => Ok(needed(format!(
                "{} (Win32 error {})",
                explain(error.system_code()).why,
                error.system_code()
            ))),
            Err(error) => Err(logon_failed(id, &name, error)),
        }
    }

    /// The file is written first: killed between the two, the next logon fails, and a new password is set.
    pub(super) fn apply_credentials(&self, id: &str, which: Which, path: &WinPath) -> Result<(), SetupError> {
        let name = self.request.names.account(which);
        let sid = self.must_account(id, &name)?.into();
        let password = Password::random(self.machine)?;
        let credentials = Credentials { domain: THIS_MACHINE.to_owned(), user: name.clone(), password, sid };
        let sealed = credentials.seal(self.machine)?;
        self.note(&Thing::credentials(path, which))?;
        self.machine.write_file(path, &sealed).map_err(of(id))?;
        self.machine.set_password(&name, &credentials.password).map_err(of(id))?;
        self.machine.try_logon(&credentials).map_err(|error| logon_failed(id, &name, error))
    }
}

fn logon_failed(id: &str, name: &str, error: MachineError) -> SetupError {
    let explained = explain(error.system_code());
    let mut failure = SetupError::of(id, error).with(explained.code, explained.remedy);
    if !failure.killed {
        failure.object = format!("{name}: {}", explained.why);
    }
    failure
}
