//! Roles and groups with placeholders for claims of the caller.

use crate::pipeline::identity::Identity;
use std::borrow::Cow;

/// Roles whose group is a pattern.
const PATTERN_ROLES: [&str; 2] = ["webpubsub.sendToGroups.", "webpubsub.joinLeaveGroups."];

/// The values of a template: one for each value of a claim, none if the caller does not have the claim.
pub fn expand(template: &str, identity: Option<&Identity>) -> Vec<String> {
    let is_pattern = PATTERN_ROLES.iter().any(|role| template.starts_with(role));
    let mut results = vec![String::new()];
    let mut remaining = template;
    while let Some((before, claim, after)) = next_placeholder(remaining) {
        let values: Vec<&str> =
            identity.into_iter().flat_map(|identity| identity.claim_values(claim)).collect();
        results = results
            .iter()
            .flat_map(|prefix| values.iter().map(move |value| (prefix, *value)))
            .map(|(prefix, value)| {
                let value = if is_pattern { escaped(value) } else { Cow::Borrowed(value) };
                format!("{prefix}{before}{value}")
            })
            .take(MAX_VALUES)
            .collect();
        remaining = after;
    }
    results.iter_mut().for_each(|result| result.push_str(remaining));
    results
}

/// Maximum number of values of one template.
const MAX_VALUES: usize = 1000;

/// The text in front of a placeholder, its claim, and the text behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{claim:")?;
    let (claim, after) = rest.split_once('}')?;
    Some((before, claim, after))
}

/// A value is no pattern: a claim cannot add a star.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['*', '?', '\\']) {
        return value.into();
    }
    let mut text = String::with_capacity(value.len() + 4);
    for char in value.chars() {
        if matches!(char, '*' | '?' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(claims: &[(&str, &str)]) -> Identity {
        let mut identity = Identity::new("people".into());
        claims.iter().for_each(|(name, value)| identity.add(name, value));
        identity
    }

    #[test]
    fn placeholders_are_replaced_by_every_value_of_the_claim() {
        let caller = identity(&[("team", "a"), ("team", "b"), ("sub", "ann")]);
        let expanded = |template| expand(template, Some(&caller));
        assert_eq!(expanded("hall"), ["hall"]);
        assert_eq!(expanded("team-{claim:team}-{claim:sub}"), ["team-a-ann", "team-b-ann"]);
        assert!(expanded("x-{claim:missing}").is_empty());
        assert_eq!(expanded("{claim:open"), ["{claim:open"]);
        assert!(expand("{claim:sub}", None).is_empty());
    }

    #[test]
    fn a_claim_in_a_pattern_matches_literally() {
        let caller = identity(&[("team", r"a*?\")]);
        assert_eq!(
            expand("webpubsub.sendToGroups.{claim:team}.*", Some(&caller)),
            [r"webpubsub.sendToGroups.a\*\?\\.*"]
        );
        assert_eq!(
            expand("webpubsub.sendToGroup.{claim:team}", Some(&caller)),
            [r"webpubsub.sendToGroup.a*?\"]
        );
    }
}
