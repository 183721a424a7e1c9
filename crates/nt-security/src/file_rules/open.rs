//! Opening what exists: the object's own descriptor, and two rights that the folder above can lend.

use super::{Answer, FileDecision, Need, Node, Obstacle, Operator, Part};
use crate::check::Readings;
use crate::mask::AccessMask;
use crate::object_type::ObjectType;

/// The rights that a folder lends to whoever holds another right on it.
const LENT: [(AccessMask, AccessMask); 2] = [
    (AccessMask::DELETE, AccessMask::FILE_DELETE_CHILD),
    (AccessMask::FILE_READ_ATTRIBUTES, AccessMask::FILE_LIST_DIRECTORY),
];

/// Which rights the folder had to lend for a request to be granted; `None` if it was not.
fn lent_rights(
    operator: &Operator<'_>,
    node: &Node<'_>,
    desired: AccessMask,
    readings: &Readings,
) -> Option<AccessMask> {
    let on_object = |desired: AccessMask| operator.allows(node.descriptor, desired, readings);
    if on_object(desired) {
        return Some(AccessMask::NONE);
    }
    let parent = node.parent?;
    let lends = |(right, by): &(AccessMask, AccessMask)| {
        desired.contains(*right) && operator.allows(parent, *by, readings)
    };
    let lendable =
        LENT.iter().filter(|pair| lends(pair)).fold(AccessMask::NONE, |all, (right, _)| all | *right);
    let [(delete, _), (attributes, _)] = LENT;
    let candidates = [delete, attributes, delete | attributes];
    // The fewest rights first: what the object grants itself is not lent.
    candidates.into_iter().filter(|lent| lendable.contains(*lent)).find(|lent| {
        let rest = desired.without(*lent);
        rest.is_empty() || on_object(rest)
    })
}

impl Operator<'_> {
    /// Opening an existing file or folder with these rights (\[MS-FSA\] 2.1.5.1.2.1). DELETE is also granted by FILE_DELETE_CHILD on the
    /// folder above, FILE_READ_ATTRIBUTES by FILE_LIST_DIRECTORY, even against a deny on the object.
    ///
    /// A read-only file refuses FILE_WRITE_DATA and FILE_APPEND_DATA. For MAXIMUM_ALLOWED the answer is whether anything
    /// is granted.
    pub fn open(&self, node: &Node<'_>, desired: AccessMask) -> FileDecision {
        let object_type = node.object_type();
        let desired = object_type.mapping().map(desired);
        let writes = AccessMask::FILE_WRITE_DATA | AccessMask::FILE_APPEND_DATA;
        let obstacle = (node.is_read_only && !node.is_folder && desired.intersects(writes))
            .then_some(Obstacle::ReadOnlyAttribute);
        let lent = lent_rights(self, node, desired, &self.readings);
        let answer = Answer::under_each(&self.readings, |readings| {
            lent_rights(self, node, desired, readings).is_some()
        });
        let by_parent = lent.unwrap_or_default();
        let answer = if obstacle.is_some() { Answer::NO } else { answer };
        FileDecision {
            outcome: answer.outcome(),
            obstacle,
            by_parent,
            needs: self.open_needs(node, desired, by_parent, object_type),
        }
    }

    /// The checks to show: the object's, and where a right could be lent the folder's.
    fn open_needs(
        &self,
        node: &Node<'_>,
        desired: AccessMask,
        by_parent: AccessMask,
        object_type: ObjectType,
    ) -> Vec<Need> {
        let decision = self.check(node.descriptor, desired, object_type);
        let is_granted = decision.verdict.is_allowed();
        let mut needs = vec![Need { part: Part::Object, decision, counts: by_parent.is_empty() }];
        let Some(parent) = node.parent.filter(|_| !is_granted) else { return needs };
        let rest = desired.without(by_parent);
        if !by_parent.is_empty() && !rest.is_empty() {
            let decision = self.check(node.descriptor, rest, object_type);
            needs.push(Need { part: Part::Object, decision, counts: true });
        }
        for (right, by) in LENT.into_iter().filter(|(right, _)| desired.contains(*right)) {
            let decision = self.check(parent, by, ObjectType::Folder);
            needs.push(Need { part: Part::Parent, decision, counts: by_parent.contains(right) });
        }
        needs
    }
}
