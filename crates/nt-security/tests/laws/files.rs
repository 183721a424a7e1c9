//! Laws of the file rules.

use nt_security::file_rules::{Node, NodeKind, Operator};
use nt_security::{AccessMask, ObjectType, Query, Readings, Restriction, Token, verdict};
use proptest::prelude::*;

use crate::arbitrary::{descriptor, file_mask, restricting_sids, token, unrestricted_token};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Opening is the access check of the file with at most two rights lent by the folder.
    #[test]
    fn opening_never_gives_less_than_the_files_own_descriptor(
        parent in descriptor(), file in descriptor(), token in token(), desired in file_mask(),
    ) {
        let operator = Operator::new(&token);
        let opened = operator.open(&Node::file(&file, &parent), desired);
        let query = Query::new(&file, &token, desired, ObjectType::File.mapping());
        let own = verdict(&query, &Readings::default()).is_allowed();
        let lendable = AccessMask::DELETE | AccessMask::FILE_READ_ATTRIBUTES;
        prop_assert!(opened.is_allowed() || !own);
        prop_assert!(lendable.contains(opened.by_parent));
        if own || !ObjectType::File.mapping().map(desired).intersects(lendable) {
            prop_assert_eq!(opened.is_allowed(), own);
            prop_assert!(opened.by_parent.is_empty());
        }
    }

    #[test]
    fn a_restricted_token_does_nothing_that_the_unrestricted_cannot(
        parent in descriptor(), file in descriptor(), target in descriptor(), token in unrestricted_token(), sids in restricting_sids(), write in any::<bool>(),
    ) {
        let restriction = if write { Restriction::Write(sids) } else { Restriction::Full(sids) };
        let restricted = Token { restriction, ..token.clone() };
        let node = Node::file(&file, &parent);
        let (more, less) = (Operator::new(&token), Operator::new(&restricted));
        let answers = |operator: &Operator<'_>| [
            operator.delete(&node).is_allowed(),
            operator.rename(&node, &target, None).is_allowed(),
            operator.hard_link(&node, &target, None).is_allowed(),
            operator.set_attributes(&node).is_allowed(),
            operator.set_reparse_point(&node).is_allowed(),
            operator.create(&target, NodeKind::Folder).is_allowed(),
        ];
        for (less, more) in answers(&less).into_iter().zip(answers(&more)) {
            prop_assert!(more || !less);
        }
    }

    /// The checks that count explain the answer.
    #[test]
    fn what_counts_adds_up(parent in descriptor(), file in descriptor(), target in descriptor(), token in token()) {
        let operator = Operator::new(&token);
        let node = Node::file(&file, &parent);
        for decision in [operator.delete(&node), operator.rename(&node, &target, None)] {
            let counting = decision.needs.iter().filter(|need| need.counts);
            prop_assert_eq!(decision.is_allowed(), counting.clone().all(|need| need.decision.verdict.is_allowed()));
        }
    }
}
