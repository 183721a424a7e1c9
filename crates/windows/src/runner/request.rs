//! All that a runner is told about a command.

use nt_security::{Acl, Sid};

use super::error::ProtocolError;
use super::message::Size;
use super::wire::{Put, TEXT, Take};
use crate::launch::Prepared;
use crate::launch::steps::Recipe;
use crate::plan::data::{DesktopPlan, JobPlan, TokenFlag, TokenRecipe};

/// What a standard stream of a command is connected to, on the runner's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing.
    Null,
    /// A pipe, whose bytes go over the channel.
    Piped,
}

/// A command as the launcher's plan wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRequest {
    /// Program, command line, environment, working directory. Notices stay with the launcher.
    pub command: Prepared,
    /// Token, default DACL, job, desktop.
    pub recipe: Recipe,
    /// Standard input, output and error; with a console all three are pipes of it.
    pub streams: [Connection; 3],
    /// The console's size, if the command gets one.
    pub console: Option<Size>,
}

/// The most entries of lists: as many roots as a plan has ([`crate::plan::MAX_ROOTS`]) and some more.
const SIDS: usize = 1024;
const PRIVILEGES: usize = 64;
/// The most units of an environment block. Windows has no limit of its own; a frame has.
const BLOCK: usize = 2 << 20;
/// The longest ACL and SDDL text, in bytes (ACL.AclSize has 16 bits).
const ACL: usize = 64 << 10;

const FLAGS: [TokenFlag; 3] =
    [TokenFlag::DisableMaxPrivilege, TokenFlag::LuaToken, TokenFlag::WriteRestricted];

impl SpawnRequest {
    /// Whether the other side would take it: what would end the session is refused here, and nothing else with it.
    ///
    /// # Errors
    /// [`ProtocolError`].
    pub fn check(&self) -> Result<(), ProtocolError> {
        let mut put = Put::default();
        self.put(&mut put);
        let mut take = Take::new(&put.0);
        Self::take(&mut take)?;
        take.end()
    }

    pub(super) fn put(&self, put: &mut Put) {
        put.text(&self.command.application);
        put.text(&self.command.command_line);
        put.units(&self.command.block);
        put.text(&self.command.cwd);
        put_recipe(put, &self.recipe);
        for stream in self.streams {
            put.u8(match stream {
                Connection::Null => 0,
                Connection::Piped => 1,
            });
        }
        put.option(self.console, |put, size| {
            put.u16(size.columns);
            put.u16(size.rows);
        });
    }

    pub(super) fn take(take: &mut Take<'_>) -> Result<Self, ProtocolError> {
        let command = Prepared {
            application: take.text(TEXT, "a program's path")?,
            command_line: take.text(TEXT, "a command line")?,
            block: block(take.units(BLOCK, "an environment")?)?,
            cwd: take.text(TEXT, "a working directory")?,
            notices: Vec::new(),
        };
        let recipe = take_recipe(take)?;
        let mut stream = || match take.u8()? {
            0 => Ok(Connection::Null),
            1 => Ok(Connection::Piped),
            _ => Err(ProtocolError::Value("a standard stream")),
        };
        let streams = [stream()?, stream()?, stream()?];
        let console = take.option(|take| Ok(Size { columns: take.u16()?, rows: take.u16()? }))?;
        Ok(Self { command, recipe, streams, console })
    }
}

/// CreateProcess reads on until two NULs: they must be there, at the end and nowhere before.
fn block(units: Vec<u16>) -> Result<Vec<u16>, ProtocolError> {
    let end = units.windows(2).position(|pair| pair == [0, 0]);
    if end.is_some_and(|at| at + 2 == units.len()) {
        Ok(units)
    } else {
        Err(ProtocolError::Value("an environment"))
    }
}

fn put_sid(put: &mut Put, sid: &Sid) {
    put.bytes(&sid.to_bytes());
}

fn take_sid(take: &mut Take<'_>) -> Result<Sid, ProtocolError> {
    // SECURITY_MAX_SID_SIZE
    Sid::from_bytes(take.bytes(68, "a SID")?).map_err(|_| ProtocolError::Value("a SID"))
}

fn put_recipe(put: &mut Put, recipe: &Recipe) {
    let token = &recipe.token;
    let bit = |(at, flag): (usize, &TokenFlag)| u8::from(token.flags.contains(flag)) << at;
    put.u8(FLAGS.iter().enumerate().map(bit).sum());
    put.list(&token.privileges, |put, name| put.text(name));
    put.u32(token.integrity);
    put.list(&recipe.restricting, put_sid);
    // No plan has a list longer than 64 kB; an empty one is what the other side refuses.
    put.bytes(&recipe.default_dacl.to_bytes().unwrap_or_default());
    put.u8(u8::from(recipe.job.kill_on_close));
    put.u8(u8::from(recipe.job.no_breakaway));
    for limit in [recipe.job.memory, recipe.job.processes, recipe.job.wall_clock_ms] {
        put.option(limit, Put::u64);
    }
    put.u8(u8::from(recipe.desktop.private));
    put.option(recipe.desktop.sddl.as_deref(), Put::text);
    put_sid(put, &recipe.run);
}

fn take_recipe(take: &mut Take<'_>) -> Result<Recipe, ProtocolError> {
    let bits = take.u8()?;
    if bits >> FLAGS.len() != 0 {
        return Err(ProtocolError::Value("a token's flags"));
    }
    let flags = FLAGS.iter().enumerate().filter(|(at, _)| bits >> at & 1 != 0).map(|(_, flag)| *flag);
    let token = TokenRecipe {
        from: String::new(),
        flags: flags.collect(),
        restricting: Vec::new(),
        privileges: take.list(PRIVILEGES, "a list of privileges", |take| take.text(256, "a privilege"))?,
        integrity: take.u32()?,
        integrity_name: String::new(),
    };
    let restricting = take.list(SIDS, "a list of SIDs", take_sid)?;
    let acl = take.bytes(ACL, "a DACL")?;
    let default_dacl = Acl::from_bytes(acl).map_err(|_| ProtocolError::Value("a DACL"))?;
    let job = JobPlan {
        kill_on_close: take.bool()?,
        no_breakaway: take.bool()?,
        memory: take.option(Take::u64)?,
        processes: take.option(Take::u64)?,
        wall_clock_ms: take.option(Take::u64)?,
    };
    let desktop = DesktopPlan {
        private: take.bool()?,
        sddl: take.option(|take| take.text(ACL, "a desktop's descriptor"))?,
    };
    Ok(Recipe { token, restricting, default_dacl, job, desktop, run: take_sid(take)? })
}
