//! Folders of ours, and helper programs.

use super::{
    Context, Found, folder_descriptor, is_owned_by_administrators, needed, not_ours, of, same_access,
};
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::setup::error::SetupError;
use crate::setup::journal::Thing;
use crate::setup::machine::Machine;
use crate::setup::plan::FolderAccess;

impl<M: Machine> Context<'_, M> {
    pub(super) fn check_folder(
        &self,
        id: &str,
        path: &WinPath,
        access: FolderAccess,
    ) -> Result<Found, SetupError> {
        let Some(found) = self.machine.file(path).map_err(of(id))? else {
            return Ok(needed("it is missing"));
        };
        // Whoever made it could have left a door in it: users may make folders in C:\ProgramData.
        if found.is_link || !found.is_folder || !is_owned_by_administrators(&found.descriptor) {
            return Err(not_ours(id, path));
        }
        let wanted = folder_descriptor(access, self.group(id)?, &self.real_users(access)?);
        Ok(if same_access(&found.descriptor, &wanted) { Found::Done } else { needed("others have access") })
    }

    pub(super) fn apply_folder(
        &self,
        id: &str,
        path: &WinPath,
        access: FolderAccess,
    ) -> Result<(), SetupError> {
        let is_state = *path == self.request.folder.0;
        // The journal lies in it, and is removed with it.
        if !is_state {
            self.note(&Thing::Folder { path: path.clone() })?;
        }
        if access == FolderAccess::RealUsersRead {
            self.note(&Thing::RealUser { sid: self.request.user.sid })?;
        }
        let descriptor = folder_descriptor(access, self.group(id)?, &self.real_users(access)?);
        match self.machine.file(path).map_err(of(id))? {
            None => self.machine.make_folder(path, &descriptor).map_err(of(id)),
            Some(_) => self.machine.set_descriptor(path, &descriptor).map_err(of(id)),
        }
    }

    /// Everybody for whom this machine was set up.
    fn real_users(&self, access: FolderAccess) -> Result<Vec<SidText>, SetupError> {
        if access != FolderAccess::RealUsersRead {
            return Ok(Vec::new());
        }
        let mut users: Vec<SidText> = vec![self.request.user.sid];
        for thing in self.things()? {
            match thing {
                Thing::RealUser { sid } if !users.contains(&sid) => users.push(sid),
                _ => {}
            }
        }
        users.sort();
        Ok(users)
    }

    pub(super) fn check_helper(&self, id: &str, from: &WinPath, to: &WinPath) -> Result<Found, SetupError> {
        let wanted = self.source(id, from)?;
        match self.machine.read_file(to).map_err(of(id))? {
            Some(found) if found == wanted => Ok(Found::Done),
            Some(_) => Ok(needed("it is another one than the one beside this program")),
            None => Ok(needed("it is missing")),
        }
    }

    pub(super) fn apply_helper(&self, id: &str, from: &WinPath, to: &WinPath) -> Result<(), SetupError> {
        let bytes = self.source(id, from)?;
        self.note(&Thing::Helper { path: to.clone() })?;
        self.machine.write_file(to, &bytes).map_err(of(id))
    }

    fn source(&self, id: &str, from: &WinPath) -> Result<Vec<u8>, SetupError> {
        let remedy = "install the programs of one release in one folder";
        let missing = || SetupError::new("setup-helper-source", id, from, remedy);
        self.machine.read_file(from).map_err(of(id))?.ok_or_else(missing)
    }
}
