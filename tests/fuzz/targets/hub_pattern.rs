//! Patterns in roles: the result is that of a search with backtracking, and a role survives its way to another node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::realtime::permissions::{PermissionKind, Permissions};

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

fuzz_target!(|input: (&str, &str)| {
    let (pattern, name) = input;
    let role = format!("webpubsub.sendToGroups.{pattern}");
    let granted = Permissions::from_roles([&*role]);
    let may = granted.may(PermissionKind::SendToGroup, name);
    assert!(!granted.may(PermissionKind::JoinLeaveGroup, name));
    let again = granted.to_roles();
    assert_eq!(Permissions::from_roles(again.iter().map(|role| &**role)), granted);
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    if !granted.is_empty() && pattern.len() <= 24 && name.len() <= 24 {
        assert_eq!(may, is_match(&chars(pattern), &chars(name)), "{pattern:?} {name:?}");
    }
});
