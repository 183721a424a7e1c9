//! The descriptor of a new object: SeAssignSecurityEx.

use super::ChildKind;
use super::ace::Heir;
use crate::ace::{Ace, AceKind, LabelPolicy};
use crate::acl::Acl;
use crate::descriptor::{AclField, Control, SecurityDescriptor};
use crate::mask::GenericMapping;
use crate::token::{Token, integrity};

/// All that a new object's descriptor is made of.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'a> {
    /// The container's descriptor.
    pub parent: Option<&'a SecurityDescriptor>,
    /// What the creator asked for. Whether he may is not checked here.
    pub creator: Option<&'a SecurityDescriptor>,
    /// Gives owner, group, default DACL and label.
    pub token: &'a Token,
    /// Whether the new object can hold others.
    pub kind: ChildKind,
    /// What generic rights mean for its type.
    pub mapping: GenericMapping,
}

/// The descriptor of a new object.
///
/// Owner and group are the creator's or the token's. The DACL is the creator's own ACEs followed by what is inherited, or what is
/// inherited, or the token's default DACL, or none. A token below Medium leaves its label on what it creates, unless one
/// is inherited.
///
/// Source: windows-facts §6 and §8.
pub fn new_child(creation: &Creation<'_>) -> SecurityDescriptor {
    let Creation { parent, creator, token, kind, mapping } = creation;
    let owner = creator.and_then(|sd| sd.owner).or(Some(token.owner()));
    let group = creator.and_then(|sd| sd.group).or(token.primary_group);
    let heir = Heir { kind: *kind, mapping, owner, group };
    let mut control = Control::NONE;
    let mut dacl = DACL.assign(*parent, *creator, &heir, &mut control);
    if dacl == AclField::Absent {
        dacl = default_dacl(token, &heir);
    }
    let sacl = SACL.assign(*parent, *creator, &heir, &mut control);
    let sacl = with_label(sacl, token);
    SecurityDescriptor { control, resource_manager_control: 0, owner, group, dacl, sacl }
}

fn default_dacl(token: &Token, heir: &Heir<'_>) -> AclField {
    token.default_dacl.as_ref().map_or(AclField::Absent, |acl| AclField::List(stated(&acl.aces, heir)))
}

fn stated(aces: &[Ace], heir: &Heir<'_>) -> Acl {
    let mut out = Vec::with_capacity(aces.len());
    aces.iter().for_each(|ace| heir.state(ace, &mut out));
    Acl::new(out)
}

/// Objects that a token below Medium creates carry its label explicitly.
fn with_label(sacl: AclField, token: &Token) -> AclField {
    let is_label = |ace: &Ace| ace.kind() == AceKind::MandatoryLabel && !ace.is_inherit_only();
    let has_label = sacl.acl().is_some_and(|acl| acl.aces.iter().any(is_label));
    if has_label || token.integrity >= integrity::MEDIUM {
        return sacl;
    }
    let mut aces = vec![Ace::label(token.integrity, LabelPolicy::NO_WRITE_UP)];
    if let AclField::List(acl) = sacl {
        aces.extend(acl.aces);
    }
    AclField::List(Acl::new(aces))
}

/// Which list of a descriptor, and the control bits that go with it.
pub(super) struct List {
    pub(super) field: fn(&SecurityDescriptor) -> &AclField,
    pub(super) protected: Control,
    pub(super) auto_inherited: Control,
    pub(super) defaulted: Control,
}

pub(super) const DACL: List = List {
    field: |sd| &sd.dacl,
    protected: Control::DACL_PROTECTED,
    auto_inherited: Control::DACL_AUTO_INHERITED,
    defaulted: Control::DACL_DEFAULTED,
};

pub(super) const SACL: List = List {
    field: |sd| &sd.sacl,
    protected: Control::SACL_PROTECTED,
    auto_inherited: Control::SACL_AUTO_INHERITED,
    defaulted: Control::SACL_DEFAULTED,
};

impl List {
    /// The list of a new object from its parent's and its creator's.
    fn assign(
        &self,
        parent: Option<&SecurityDescriptor>,
        creator: Option<&SecurityDescriptor>,
        heir: &Heir<'_>,
        control: &mut Control,
    ) -> AclField {
        // Marks are made only where the parent follows the model that knows them.
        let mark = parent.is_some_and(|sd| sd.control.contains(self.auto_inherited));
        let parent_aces = parent.and_then(|sd| (self.field)(sd).acl()).map_or(&[][..], |acl| &acl.aces);
        let inherited = heir.inherit(parent_aces, mark);
        let stated_by = creator.filter(|sd| {
            let defaulted = sd.control.contains(self.defaulted) && !inherited.is_empty();
            *(self.field)(sd) != AclField::Absent && !defaulted
        });
        let mut set_marked = || *control |= if mark { self.auto_inherited } else { Control::NONE };
        let Some(creator) = stated_by else {
            if inherited.is_empty() {
                return AclField::Absent;
            }
            set_marked();
            return AclField::List(Acl::new(inherited));
        };
        let is_protected = creator.control.contains(self.protected);
        match (self.field)(creator) {
            // Without a list of his own to add to, the creator wants no list at all.
            AclField::Absent | AclField::Null => {
                *control |= creator.control & self.protected;
                AclField::Null
            }
            AclField::List(acl) if is_protected => {
                *control |= self.protected;
                AclField::List(stated(&acl.aces, heir))
            }
            AclField::List(acl) => {
                set_marked();
                let own: Vec<Ace> = acl.aces.iter().filter(|ace| !ace.is_inherited()).cloned().collect();
                let mut list = stated(&own, heir);
                list.aces.extend(inherited);
                AclField::List(Acl::new(list.aces))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_type::ObjectType;
    use crate::sid::Sid;

    fn token() -> Token {
        let mut token = Token::new(Sid::parse("S-1-5-21-1-2-3-1001").unwrap());
        token.default_dacl = Some(Acl::from_sddl("(A;;GA;;;SY)").unwrap());
        token
    }

    fn create(parent: &str, creator: Option<&str>, kind: ChildKind, token: &Token) -> String {
        let read = |text| SecurityDescriptor::from_sddl(text).unwrap();
        let (parent, creator) = (read(parent), creator.map(read));
        let mapping = ObjectType::File.mapping();
        let child =
            new_child(&Creation { parent: Some(&parent), creator: creator.as_ref(), token, kind, mapping });
        child.to_sddl().replacen("O:S-1-5-21-1-2-3-1001", "", 1)
    }

    #[test]
    fn the_creators_aces_stand_before_inherited_ones() {
        let parent = "D:AI(A;OICI;FR;;;BU)";
        let creator = Some("D:(D;;SD;;;WD)(A;ID;FA;;;BG)");
        assert_eq!(
            create(parent, creator, ChildKind::Leaf, &token()),
            "D:AI(D;;0x10000;;;S-1-1-0)(A;ID;0x120089;;;S-1-5-32-545)"
        );
    }

    #[test]
    fn a_protected_creator_inherits_nothing() {
        let child =
            create("D:AI(A;OICI;FR;;;BU)", Some("D:P(A;OICI;GA;;;CO)"), ChildKind::Container, &token());
        assert_eq!(child, "D:P(A;;0x1f01ff;;;S-1-5-21-1-2-3-1001)(A;OICIIO;0x10000000;;;S-1-3-0)");
    }

    #[test]
    fn a_creator_may_ask_for_no_dacl() {
        let child = create("D:AI(A;OICI;FR;;;BU)", Some("D:NO_ACCESS_CONTROL"), ChildKind::Leaf, &token());
        assert_eq!(child, "D:NO_ACCESS_CONTROL");
    }

    #[test]
    fn a_low_token_labels_what_it_creates_unless_a_label_is_inherited() {
        let low = Token { integrity: integrity::LOW, ..token() };
        assert_eq!(
            create("D:(A;OI;FR;;;BU)", None, ChildKind::Leaf, &low),
            "D:(A;;0x120089;;;S-1-5-32-545)S:(ML;;NW;;;S-1-16-4096)"
        );
        assert_eq!(
            create("D:(A;OI;FR;;;BU)S:AI(ML;OICI;NW;;;S-1-16-6144)", None, ChildKind::Leaf, &low),
            "D:(A;;0x120089;;;S-1-5-32-545)S:AI(ML;ID;NW;;;S-1-16-6144)"
        );
        assert_eq!(
            create("D:(A;OI;FR;;;BU)", None, ChildKind::Leaf, &token()),
            "D:(A;;0x120089;;;S-1-5-32-545)"
        );
    }

    #[test]
    fn a_defaulted_creator_yields_to_what_is_inherited() {
        let token = token();
        let read = |text: &str| SecurityDescriptor::from_sddl(text).unwrap();
        let mut creator = read("D:(A;;FA;;;BG)");
        creator.control |= Control::DACL_DEFAULTED;
        let child = |parent: &str| {
            let parent = read(parent);
            let (kind, mapping) = (ChildKind::Leaf, ObjectType::File.mapping());
            let creator = Some(&creator);
            let child = new_child(&Creation { parent: Some(&parent), creator, token: &token, kind, mapping });
            child.dacl().unwrap().to_string()
        };
        assert_eq!(child("D:(A;OI;FR;;;BU)"), "(A;;0x120089;;;S-1-5-32-545)");
        assert_eq!(child("D:(A;;FR;;;BU)"), "(A;;0x1f01ff;;;S-1-5-32-546)");
    }

    #[test]
    fn audits_keep_the_right_to_the_sacl_and_labels_their_policy() {
        let sacl = "S:(AU;OISAFA;0x11000002;;;WD)(ML;OI;NWNR;;;S-1-16-12288)";
        assert_eq!(
            create(&format!("D:(A;OI;FR;;;BU){sacl}"), None, ChildKind::Leaf, &token()),
            "D:(A;;0x120089;;;S-1-5-32-545)S:(AU;SAFA;0x11f01ff;;;S-1-1-0)(ML;;NWNR;;;S-1-16-12288)"
        );
    }

    #[test]
    fn without_a_parent_the_default_dacl_applies() {
        let token = token();
        let mapping = ObjectType::Event.mapping();
        let kind = ChildKind::Leaf;
        let child = new_child(&Creation { parent: None, creator: None, token: &token, kind, mapping });
        assert_eq!(child.to_sddl(), "O:S-1-5-21-1-2-3-1001D:(A;;0x1f0003;;;S-1-5-18)");
    }

    #[test]
    fn an_ace_for_a_class_of_child_is_only_passed_on() {
        let ace = "(OA;OICI;FA;;bf967aba-0de6-11d0-a285-00aa003049e2;BU)";
        let parent = format!("D:{ace}(A;OI;FR;;;BU)");
        assert_eq!(create(&parent, None, ChildKind::Leaf, &token()), "D:(A;;0x120089;;;S-1-5-32-545)");
        assert_eq!(
            create(&parent, None, ChildKind::Container, &token()),
            "D:(OA;OICIIO;0x1f01ff;;bf967aba-0de6-11d0-a285-00aa003049e2;S-1-5-32-545)\
             (A;OIIO;0x120089;;;S-1-5-32-545)"
        );
    }
}
