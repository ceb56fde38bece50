//! Patterns in roles against a search with backtracking.

use super::permissions::{PermissionKind, Permissions};
use proptest::prelude::*;

/// Whether the name matches; exponential, for short texts.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    let rest = |n: usize| &name[n..];
    match pattern {
        [] => name.is_empty(),
        ['*', '*', after @ ..] => (0..=name.len()).any(|n| is_match(after, rest(n))),
        ['*', after @ ..] => {
            let run = name.iter().take_while(|char| **char != '.').count();
            (0..=run).any(|n| is_match(after, rest(n)))
        }
        ['?', after @ ..] => name.first().is_some_and(|char| *char != '.') && is_match(after, rest(1)),
        ['\\', escaped @ ('*' | '?' | '\\'), after @ ..] => {
            name.first() == Some(escaped) && is_match(after, rest(1))
        }
        [literal, after @ ..] => name.first() == Some(literal) && is_match(after, rest(1)),
    }
}

proptest! {
    #[test]
    fn a_pattern_matches_as_a_search_with_backtracking(pattern in r"[ab.*?\\]{1,12}", name in r"[ab.*?\\]{0,10}") {
        let role = format!("webpubsub.joinLeaveGroups.{pattern}");
        let granted = Permissions::from_roles([&*role]);
        let may = granted.may(PermissionKind::JoinLeaveGroup, &name);
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(may, !granted.is_empty() && is_match(&chars(&pattern), &chars(&name)));
        prop_assert!(!granted.may(PermissionKind::SendToGroup, &name));
        let again = granted.to_roles();
        prop_assert_eq!(Permissions::from_roles(again.iter().map(|role| &**role)), granted);
    }
}
