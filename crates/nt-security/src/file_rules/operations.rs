//! Operations that take more than opening one object.

use super::{Answer, FileDecision, Need, Node, NodeKind, Obstacle, Operator, Part};
use crate::check::{Decision, Outcome};
use crate::descriptor::SecurityDescriptor;
use crate::mask::AccessMask;
use crate::object_type::ObjectType;

/// An operation's checks as they add up.
struct Tally {
    answer: Answer,
    obstacle: Option<Obstacle>,
    by_parent: AccessMask,
    needs: Vec<Need>,
}

impl Tally {
    fn new() -> Self {
        Self { answer: Answer::YES, obstacle: None, by_parent: AccessMask::NONE, needs: Vec::new() }
    }

    /// A further check that must succeed.
    fn require(mut self, part: Part, decision: Decision) -> Self {
        self.answer = self.answer.and(Answer::from(&decision));
        self.needs.push(Need { part, decision, counts: true });
        self
    }

    /// A further operation that must succeed; `rename` says what its parts are called in this one.
    fn require_all(mut self, decision: FileDecision, rename: impl Fn(Part) -> Part) -> Self {
        self.answer = self.answer.and(answer_of(decision.outcome));
        self.obstacle = self.obstacle.or(decision.obstacle);
        self.by_parent |= decision.by_parent;
        self.needs.extend(decision.needs.into_iter().map(|need| Need { part: rename(need.part), ..need }));
        self
    }

    /// A refusal that no right can lift, if it is there.
    fn unless(mut self, is_there: bool, obstacle: Obstacle) -> Self {
        if is_there {
            self.answer = Answer::NO;
            self.obstacle = self.obstacle.or(Some(obstacle));
        }
        self
    }

    fn decision(self) -> FileDecision {
        FileDecision {
            outcome: self.answer.outcome(),
            obstacle: self.obstacle,
            by_parent: self.by_parent,
            needs: self.needs,
        }
    }
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Allowed => Answer::YES,
        Outcome::Denied => Answer::NO,
        Outcome::Unknown { treated_as_allowed } => Answer::unknown(treated_as_allowed),
    }
}

impl Operator<'_> {
    /// Creating a file or folder: FILE_ADD_FILE or FILE_ADD_SUBDIRECTORY on the folder. The handle of the creator has what he asks
    /// for, whatever the new descriptor says.
    pub fn create(&self, folder: &SecurityDescriptor, kind: NodeKind) -> FileDecision {
        let decision = self.check(folder, kind.add_right(), ObjectType::Folder);
        Tally::new().require(Part::Parent, decision).decision()
    }

    /// Deleting: opening with DELETE, and the read-only attribute must not be set. (POSIX deletion with IGNORE_READONLY, which lifts
    /// the attribute, is [`open`](Self::open) alone.)
    pub fn delete(&self, node: &Node<'_>) -> FileDecision {
        Tally::new()
            .require_all(self.open(node, AccessMask::DELETE), |part| part)
            .unless(node.is_read_only, Obstacle::ReadOnlyAttribute)
            .decision()
    }

    /// Renaming or moving within a volume: DELETE on the source (or FILE_DELETE_CHILD on its folder), the right to add such a
    /// thing to the target folder, and DELETE on what is replaced (or FILE_DELETE_CHILD on the target folder). What a moved folder holds
    /// is not asked. The descriptor moves along unchanged.
    pub fn rename(
        &self,
        source: &Node<'_>,
        target_folder: &SecurityDescriptor,
        replaced: Option<&Node<'_>>,
    ) -> FileDecision {
        let kind = if source.is_folder { NodeKind::Folder } else { NodeKind::File };
        let tally = Tally::new()
            .require_all(self.open(source, AccessMask::DELETE), |part| part)
            .require(Part::TargetFolder, self.check(target_folder, kind.add_right(), ObjectType::Folder));
        self.replace(tally, replaced).decision()
    }

    /// A second name for a file: FILE_WRITE_ATTRIBUTES on the file, FILE_ADD_FILE on the target folder, and DELETE on what is
    /// replaced. Both names share one descriptor.
    pub fn hard_link(
        &self,
        source: &Node<'_>,
        target_folder: &SecurityDescriptor,
        replaced: Option<&Node<'_>>,
    ) -> FileDecision {
        let tally = Tally::new()
            .unless(source.is_folder, Obstacle::LinkToFolder)
            .require_all(self.open(source, AccessMask::FILE_WRITE_ATTRIBUTES), |part| part)
            .require(
                Part::TargetFolder,
                self.check(target_folder, AccessMask::FILE_ADD_FILE, ObjectType::Folder),
            );
        self.replace(tally, replaced).decision()
    }

    fn replace(&self, tally: Tally, replaced: Option<&Node<'_>>) -> Tally {
        let Some(replaced) = replaced else { return tally };
        let name = |part| if part == Part::Object { Part::Replaced } else { Part::TargetFolder };
        tally
            .require_all(self.open(replaced, AccessMask::DELETE), name)
            .unless(replaced.is_folder, Obstacle::ReplacedIsFolder)
            .unless(replaced.is_read_only, Obstacle::ReplacedReadOnlyAttribute)
    }

    /// Setting attributes or times: FILE_WRITE_ATTRIBUTES. Removing the read-only attribute is the same.
    pub fn set_attributes(&self, node: &Node<'_>) -> FileDecision {
        self.open(node, AccessMask::FILE_WRITE_ATTRIBUTES)
    }

    /// Setting or removing a reparse point, which makes an empty folder a junction: FILE_WRITE_DATA or FILE_WRITE_ATTRIBUTES on it
    /// (FSCTL_SET_REPARSE_POINT).
    pub fn set_reparse_point(&self, node: &Node<'_>) -> FileDecision {
        let rights = [AccessMask::FILE_WRITE_ATTRIBUTES, AccessMask::FILE_WRITE_DATA];
        let [by_attributes, by_data] = rights.map(|right| self.open(node, right));
        let answer = answer_of(by_attributes.outcome).or(answer_of(by_data.outcome));
        let attributes_suffice = by_attributes.is_allowed();
        let mut needs = by_attributes.needs;
        needs.extend(by_data.needs.into_iter().map(|need| Need { counts: !attributes_suffice, ..need }));
        let obstacle = if attributes_suffice { None } else { by_data.obstacle };
        FileDecision { outcome: answer.outcome(), obstacle, by_parent: AccessMask::NONE, needs }
    }

    /// Reaching an object through folders, from the volume's root down: FILE_TRAVERSE on each, unless the token has
    /// SeChangeNotifyPrivilege, which nearly all have.
    pub fn traverse<'a>(&self, ancestors: impl IntoIterator<Item = &'a SecurityDescriptor>) -> FileDecision {
        if self.bypasses_traverse() {
            return Tally::new().decision();
        }
        let check = |tally: Tally, (index, folder): (usize, &SecurityDescriptor)| {
            let decision = self.check(folder, AccessMask::FILE_TRAVERSE, ObjectType::Folder);
            tally.require(Part::Ancestor(index), decision)
        };
        ancestors.into_iter().enumerate().fold(Tally::new(), check).decision()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid::Sid;
    use crate::token::{Privilege, Privileges, Restriction, Token};

    const USER: &str = "S-1-5-21-1-2-3-1001";

    fn token() -> Token {
        Token::new(Sid::parse(USER).unwrap())
    }

    fn descriptor(rights: &str) -> SecurityDescriptor {
        let aces = if rights.is_empty() { String::new() } else { format!("(A;;{rights};;;{USER})") };
        SecurityDescriptor::from_sddl(&format!("O:SYG:SYD:{aces}")).unwrap()
    }

    #[test]
    fn delete_child_on_the_folder_deletes_against_a_deny_on_the_file() {
        let (folder, file) = (descriptor("DT"), SecurityDescriptor::from_sddl("O:SYD:(D;;FA;;;WD)").unwrap());
        let token = token();
        let decision = Operator::new(&token).delete(&Node::file(&file, &folder));
        assert!(decision.is_allowed());
        assert_eq!(decision.by_parent, AccessMask::DELETE);
    }

    #[test]
    fn listing_the_folder_lends_read_attributes() {
        let (folder, file) = (descriptor("CC"), descriptor("SD"));
        let token = token();
        let desired = AccessMask::DELETE | AccessMask::FILE_READ_ATTRIBUTES;
        let decision = Operator::new(&token).open(&Node::file(&file, &folder), desired);
        assert!(decision.is_allowed());
        assert_eq!(decision.by_parent, AccessMask::FILE_READ_ATTRIBUTES);
    }

    #[test]
    fn no_right_is_lent_that_the_file_grants_itself() {
        let (folder, file) = (descriptor("FA"), descriptor("FR"));
        let token = token();
        let desired = AccessMask::DELETE | AccessMask::FILE_READ_ATTRIBUTES;
        let decision = Operator::new(&token).open(&Node::file(&file, &folder), desired);
        assert_eq!(decision.by_parent, AccessMask::DELETE);
    }

    #[test]
    fn a_write_restricted_token_of_the_same_user_deletes_through_the_folder() {
        let (folder, file) = (descriptor("FA"), descriptor("FA"));
        let cap = Sid::parse("S-1-5-21-7-7-7-7").unwrap();
        let token = Token { restriction: Restriction::Write(vec![cap]), ..token() };
        let operator = Operator::new(&token);
        assert!(operator.delete(&Node::file(&file, &folder)).is_allowed());
        let low = Token { integrity: 0x1800, ..token.clone() };
        assert!(!Operator::new(&low).delete(&Node::file(&file, &folder)).is_allowed());
    }

    #[test]
    fn renaming_needs_source_target_folder_and_what_is_replaced() {
        let token = token();
        let operator = Operator::new(&token);
        let (nothing, deletable, adds_files) = (descriptor(""), descriptor("SD"), descriptor("DC"));
        let source = Node::file(&deletable, &nothing);
        assert!(operator.rename(&source, &adds_files, None).is_allowed());
        assert!(!operator.rename(&source, &nothing, None).is_allowed());
        assert!(!operator.rename(&Node::folder(&deletable, &nothing), &adds_files, None).is_allowed());
        let replaced = Node::file(&nothing, &adds_files);
        let refused = operator.rename(&source, &adds_files, Some(&replaced));
        assert!(!refused.is_allowed());
        assert!(refused.needs.iter().any(|need| need.part == Part::Replaced));
        let folder = operator.rename(&source, &adds_files, Some(&Node::folder(&deletable, &nothing)));
        assert_eq!(folder.obstacle, Some(Obstacle::ReplacedIsFolder));
        let read_only = Node { is_read_only: true, ..Node::file(&deletable, &nothing) };
        let refused = operator.rename(&source, &adds_files, Some(&read_only));
        assert_eq!(refused.obstacle, Some(Obstacle::ReplacedReadOnlyAttribute));
        assert!(operator.rename(&read_only, &adds_files, None).is_allowed());
    }

    #[test]
    fn the_read_only_attribute_refuses_writing_and_deleting() {
        let (folder, file) = (descriptor("FA"), descriptor("FA"));
        let token = token();
        let operator = Operator::new(&token);
        let node = Node { is_read_only: true, ..Node::file(&file, &folder) };
        assert_eq!(operator.delete(&node).obstacle, Some(Obstacle::ReadOnlyAttribute));
        assert_eq!(
            operator.open(&node, AccessMask::GENERIC_WRITE).obstacle,
            Some(Obstacle::ReadOnlyAttribute)
        );
        assert!(operator.set_attributes(&node).is_allowed());
        assert!(operator.open(&node, AccessMask::DELETE).is_allowed());
    }

    #[test]
    fn a_hard_link_needs_write_attributes_on_the_file() {
        let token = token();
        let operator = Operator::new(&token);
        let (nothing, adds_files, attributes) = (descriptor(""), descriptor("DC"), descriptor("CR"));
        assert!(operator.hard_link(&Node::file(&attributes, &nothing), &adds_files, None).is_allowed());
        assert!(!operator.hard_link(&Node::file(&adds_files, &nothing), &adds_files, None).is_allowed());
        let folder = operator.hard_link(&Node::folder(&attributes, &nothing), &adds_files, None);
        assert_eq!(folder.obstacle, Some(Obstacle::LinkToFolder));
    }

    #[test]
    fn a_reparse_point_needs_either_of_two_rights() {
        let token = token();
        let operator = Operator::new(&token);
        let nothing = descriptor("");
        for (rights, allowed) in [("CR", true), ("DC", true), ("FR", false)] {
            let folder = descriptor(rights);
            assert_eq!(operator.set_reparse_point(&Node::folder(&folder, &nothing)).is_allowed(), allowed);
        }
        let data = descriptor("DC");
        let read_only = Node { is_read_only: true, ..Node::file(&data, &nothing) };
        let refused = operator.set_reparse_point(&read_only);
        assert_eq!(refused.obstacle, Some(Obstacle::ReadOnlyAttribute));
        let folder = Node { is_folder: true, ..read_only };
        assert!(operator.set_reparse_point(&folder).is_allowed());
    }

    #[test]
    fn traverse_is_checked_only_without_the_privilege() {
        let (open, closed) = (descriptor("FX"), descriptor(""));
        let without = token();
        let decision = Operator::new(&without).traverse([&open, &closed]);
        assert!(!decision.is_allowed());
        assert_eq!(decision.needs.len(), 2);
        let with = Token { privileges: Privileges::NONE.with(Privilege::ChangeNotify), ..token() };
        assert!(Operator::new(&with).traverse([&open, &closed]).is_allowed());
    }
}
