//! Group, accounts, memberships, the logon screen, account rights.

use nt_security::Sid;

use super::{Context, Found, missing, needed, of};
use crate::plan::sid_text::SidText;
use crate::setup::credentials::Password;
use crate::setup::error::SetupError;
use crate::setup::journal::Thing;
use crate::setup::machine::{Machine, MachineErrorKind, NewUser};
use crate::setup::names::Which;

/// The flags that are looked at, of lmaccess.h: UF_ACCOUNTDISABLE, UF_LOCKOUT, UF_PASSWD_NOTREQD, UF_PASSWD_CANT_CHANGE,
/// UF_NORMAL_ACCOUNT, UF_DONT_EXPIRE_PASSWD, UF_SMARTCARD_REQUIRED.
const LOOKED_AT: u32 = 0x2 | 0x10 | 0x20 | 0x40 | 0x200 | 0x1_0000 | 0x4_0000;

impl<M: Machine> Context<'_, M> {
    pub(super) fn check_group(&self, id: &str, name: &str, comment: &str) -> Result<Found, SetupError> {
        self.check_machine(id)?;
        if let Some(group) = self.machine.group(name).map_err(of(id))? {
            let ours = self.is_ours(group.sid, &group.comment)?;
            return if ours { Ok(Found::Done) } else { Err(taken(id, "group", name)) };
        }
        self.check_name_free(id, name)?;
        Ok(needed(format!("the group is missing; its comment will be {comment:?}")))
    }

    pub(super) fn apply_group(&self, id: &str, name: &str, comment: &str) -> Result<(), SetupError> {
        let prefix = self.request.names.prefix().to_owned();
        self.note(&Thing::Prefix { prefix })?;
        self.note(&Thing::Group { name: name.to_owned(), sid: None })?;
        let sid = self.machine.add_group(name, comment).map_err(of(id))?;
        self.note(&Thing::Group { name: name.to_owned(), sid: Some(sid.into()) })
    }

    /// One set-up for a machine, where there can be local accounts.
    fn check_machine(&self, id: &str) -> Result<(), SetupError> {
        let system = self.machine.system().map_err(of(id))?;
        if system.is_domain_controller {
            let remedy = "a domain controller has no local accounts: use windows.sandbox = \"unelevated\"";
            return Err(SetupError::new("setup-domain-controller", id, system.name, remedy));
        }
        let prefix = self.request.names.prefix();
        let other = self.things()?.into_iter().find_map(|thing| match thing {
            Thing::Prefix { prefix: other } if other != prefix => Some(other),
            _ => None,
        });
        let Some(other) = other else { return Ok(()) };
        let remedy = format!(
            "set windows.account_prefix = {other:?} back, or take that set-up away first: codex-sandbox teardown --all"
        );
        Err(SetupError::new(
            "setup-other-prefix",
            id,
            format!("this machine is set up with the prefix {other:?}"),
            &remedy,
        ))
    }

    /// A name of which no local account, and no domain's, is in the way.
    fn check_name_free(&self, id: &str, name: &str) -> Result<(), SetupError> {
        let local = format!(".\\{name}");
        match self.machine.lookup_name(&local).map_err(of(id))? {
            Some(_) => Err(taken(id, "account", name)),
            None => Ok(()),
        }
    }

    pub(super) fn check_user(&self, id: &str, name: &str, flags: u32) -> Result<Found, SetupError> {
        let Some(user) = self.machine.user(name).map_err(of(id))? else {
            self.check_name_free(id, name)?;
            return Ok(needed("the account is missing"));
        };
        if !self.is_ours(user.sid, &user.comment)? {
            return Err(taken(id, "account", name));
        }
        if user.flags & LOOKED_AT != flags & LOOKED_AT {
            let (has, wants) = (user.flags & LOOKED_AT, flags & LOOKED_AT);
            return Ok(needed(format!("its flags are 0x{has:X} and should be 0x{wants:X}")));
        }
        Ok(Found::Done)
    }

    pub(super) fn apply_user(
        &self,
        id: &str,
        which: Which,
        name: &str,
        comment: &str,
        flags: u32,
    ) -> Result<(), SetupError> {
        let found = self.machine.user(name).map_err(of(id))?;
        let Some(user) = found else {
            self.note(&Thing::User { name: name.to_owned(), sid: None })?;
            // The one that is kept is made, and sealed, by the step `credentials`.
            let password = Password::random(self.machine)?;
            let user = NewUser { name: name.to_owned(), comment: comment.to_owned(), password, flags };
            let made = self.machine.add_user(&user);
            let sid = made.map_err(|error| refused(id, which, error))?;
            return self.note(&Thing::User { name: name.to_owned(), sid: Some(sid.into()) });
        };
        self.note(&Thing::User { name: name.to_owned(), sid: Some(user.sid.into()) })?;
        if user.flags & LOOKED_AT != flags & LOOKED_AT {
            let kept = user.flags & !LOOKED_AT;
            self.machine.set_user_flags(name, kept | flags).map_err(of(id))?;
        }
        Ok(())
    }

    fn group_of(&self, id: &str, group: Option<SidText>) -> Result<Option<Sid>, SetupError> {
        group.map_or_else(|| self.group(id), |group| Ok(Some(group.0)))
    }

    pub(super) fn check_member(
        &self,
        id: &str,
        name: &str,
        group: Option<SidText>,
    ) -> Result<Found, SetupError> {
        let (Some(user), Some(group)) = (self.account(id, name)?, self.group_of(id, group)?) else {
            return Ok(needed("the account or the group is missing"));
        };
        let is = self.machine.is_member(&group, &user).map_err(of(id))?;
        Ok(if is { Found::Done } else { needed("it is no member") })
    }

    pub(super) fn apply_member(
        &self,
        id: &str,
        name: &str,
        group: Option<SidText>,
    ) -> Result<(), SetupError> {
        let user = self.must_account(id, name)?;
        let ours = self.request.names.group();
        let group = self.group_of(id, group)?.ok_or_else(|| missing(id, &ours))?;
        self.note(&Thing::Member { group: group.into(), user: user.into() })?;
        self.machine.add_member(&group, &user).map_err(of(id))
    }

    pub(super) fn check_hidden(&self, id: &str, name: &str) -> Result<Found, SetupError> {
        let hidden = self.machine.is_hidden(name).map_err(of(id))?;
        Ok(if hidden { Found::Done } else { needed("the logon screen shows it") })
    }

    pub(super) fn apply_hidden(&self, id: &str, name: &str) -> Result<(), SetupError> {
        self.note(&Thing::Hidden { name: name.to_owned() })?;
        self.machine.set_hidden(name, true).map_err(of(id))
    }

    pub(super) fn check_right(&self, id: &str, name: &str, right: &str) -> Result<Found, SetupError> {
        let Some(account) = self.account(id, name)? else { return Ok(needed("the account is missing")) };
        match self.machine.rights(&account) {
            Ok(rights) if rights.contains(right) => Ok(Found::Done),
            Ok(_) => Ok(needed("it is not there")),
            Err(error) if error.kind == MachineErrorKind::Unsupported => {
                let remedy = "logons as this account from elsewhere are not denied here";
                let object = format!("{name}: this system keeps no account rights");
                Ok(Found::Degraded(SetupError::of(id, error).about(object).with("setup-no-rights", remedy)))
            }
            Err(error) => Err(SetupError::of(id, error)),
        }
    }

    pub(super) fn apply_right(&self, id: &str, name: &str, right: &str) -> Result<(), SetupError> {
        let account = self.must_account(id, name)?;
        self.note(&Thing::Right { account: account.into(), right: right.to_owned() })?;
        self.machine.add_right(&account, right).map_err(of(id))
    }
}

fn taken(id: &str, what: &str, name: &str) -> SetupError {
    let object = format!("the {what} {name} is not ours, and is left alone");
    let remedy =
        "choose other names in config.toml: [windows] account_prefix = \"…\" (1 to 13 letters and digits)";
    SetupError::new("setup-name-taken", id, object, remedy)
}

/// NERR_PasswordTooShort stands for every password policy.
const PASSWORD_POLICY: u32 = 2245;

fn refused(id: &str, which: Which, error: crate::setup::machine::MachineError) -> SetupError {
    let policy = error.system_code() == PASSWORD_POLICY;
    let error = SetupError::of(id, error);
    if !policy {
        return error;
    }
    let remedy = format!(
        "the password policy or a password filter of this machine refuses 32 random characters of four sorts for {}: ask whoever manages it",
        which.name()
    );
    error.with("setup-password-policy", &remedy)
}
