//! What a client may do with groups: roles with patterns, and grants of the data plane.

use std::sync::Arc;

/// What a grant permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermissionKind {
    SendToGroup,
    JoinLeaveGroup,
}

impl PermissionKind {
    /// Both kinds.
    pub const ALL: [PermissionKind; 2] = [PermissionKind::SendToGroup, PermissionKind::JoinLeaveGroup];

    /// The name in paths of the data plane, and in roles behind `webpubsub.`.
    pub fn name(self) -> &'static str {
        match self {
            PermissionKind::SendToGroup => "sendToGroup",
            PermissionKind::JoinLeaveGroup => "joinLeaveGroup",
        }
    }
}

/// Most `*` of a pattern; one with more grants nothing.
const MAX_STARS: usize = 5;

/// The permissions of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Bit of the kind: every group.
    all: u8,
    /// Sorted; single groups, by exact name.
    groups: Vec<(PermissionKind, Arc<str>)>,
    patterns: Vec<(PermissionKind, Box<str>)>,
}

impl PartialOrd for PermissionKind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PermissionKind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl Permissions {
    /// The permissions of these roles; other roles grant nothing.
    pub fn from_roles<'r>(roles: impl IntoIterator<Item = &'r str>) -> Permissions {
        let mut permissions = Permissions::default();
        roles.into_iter().for_each(|role| permissions.add_role(role));
        permissions
    }

    fn add_role(&mut self, role: &str) {
        let Some(role) = role.strip_prefix("webpubsub.") else { return };
        for kind in PermissionKind::ALL {
            let Some(rest) = role.strip_prefix(kind.name()) else { continue };
            if rest.is_empty() {
                self.grant(kind, None);
            } else if let Some(group) = rest.strip_prefix('.').filter(|group| !group.is_empty()) {
                self.grant(kind, Some(group.into()));
            } else if let Some(pattern) = rest.strip_prefix("s.").filter(|pattern| is_valid_pattern(pattern))
            {
                self.patterns.push((kind, pattern.into()));
            }
        }
    }

    /// Whether the client may do this with the group.
    pub fn may(&self, kind: PermissionKind, group: &str) -> bool {
        self.all & bit(kind) != 0
            || self.position(kind, group).is_ok()
            || self.patterns.iter().any(|(of, pattern)| *of == kind && is_match(pattern, group))
    }

    /// Grants the kind for a group; `None`: for every group.
    pub fn grant(&mut self, kind: PermissionKind, group: Option<Arc<str>>) {
        let Some(group) = group else {
            self.all |= bit(kind);
            return;
        };
        if let Err(at) = self.position(kind, &group) {
            self.groups.insert(at, (kind, group));
        }
    }

    /// Revokes what was granted for exactly this group; `None`: for every group.
    pub fn revoke(&mut self, kind: PermissionKind, group: Option<&str>) {
        match group {
            None => self.all &= !bit(kind),
            Some(group) => {
                if let Ok(at) = self.position(kind, group) {
                    self.groups.remove(at);
                }
            }
        }
    }

    /// Whether the grant exists: for a group what permits it, without one the grant for every group.
    pub fn has_grant(&self, kind: PermissionKind, group: Option<&str>) -> bool {
        group.map_or(self.all & bit(kind) != 0, |group| self.may(kind, group))
    }

    /// How many single groups and patterns are granted.
    pub fn len(&self) -> usize {
        self.groups.len() + self.patterns.len()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.all == 0
    }

    /// The roles that result in the same permissions, for another node.
    pub fn to_roles(&self) -> Vec<String> {
        let all = PermissionKind::ALL.into_iter().filter(|kind| self.all & bit(*kind) != 0);
        let mut roles: Vec<String> = all.map(|kind| format!("webpubsub.{}", kind.name())).collect();
        roles.extend(self.groups.iter().map(|(kind, group)| format!("webpubsub.{}.{group}", kind.name())));
        roles.extend(self.patterns.iter().map(|(kind, text)| format!("webpubsub.{}s.{text}", kind.name())));
        roles
    }

    fn position(&self, kind: PermissionKind, group: &str) -> Result<usize, usize> {
        self.groups.binary_search_by(|(of, name)| (*of, &**name).cmp(&(kind, group)))
    }
}

fn bit(kind: PermissionKind) -> u8 {
    1 << kind as u8
}

fn is_valid_pattern(pattern: &str) -> bool {
    let mut stars = 0;
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '*' => stars += 1,
            _ => {}
        }
    }
    !pattern.is_empty() && stars <= MAX_STARS
}

/// One element of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// One character except a dot.
    One,
    /// Any run without a dot.
    Run,
    /// Any run.
    Everything,
}

/// The first element of the pattern and its length in bytes.
fn first_token(pattern: &str) -> Option<(Token, usize)> {
    let mut chars = pattern.chars();
    let first = chars.next()?;
    Some(match (first, chars.next()) {
        ('*', Some('*')) => (Token::Everything, 2),
        ('*', _) => (Token::Run, 1),
        ('?', _) => (Token::One, 1),
        ('\\', Some(escaped @ ('*' | '?' | '\\'))) => (Token::Literal(escaped), 2),
        (literal, _) => (Token::Literal(literal), literal.len_utf8()),
    })
}

/// Whether the name matches: all positions of the pattern that are reachable are advanced together, so that the time is
/// linear in the length of the name.
fn is_match(pattern: &str, name: &str) -> bool {
    let mut states = SmallStates::new();
    states.add(pattern, 0);
    for char in name.chars() {
        let mut next = SmallStates::new();
        for at in states.positions() {
            let Some((token, len)) = first_token(&pattern[at..]) else { continue };
            match token {
                Token::Literal(literal) if literal == char => next.add(pattern, at + len),
                Token::One if char != '.' => next.add(pattern, at + len),
                Token::Run if char != '.' => next.add(pattern, at),
                Token::Everything => next.add(pattern, at),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        states = next;
    }
    states.contains(pattern.len())
}

/// Positions of a pattern without duplicates. There are few: one behind each run, and the literal ones they have reached.
struct SmallStates(smallvec::SmallVec<[u32; 16]>);

impl SmallStates {
    fn new() -> SmallStates {
        SmallStates(smallvec::SmallVec::new())
    }

    /// Adds a position, and those behind runs, which may be empty.
    fn add(&mut self, pattern: &str, mut at: usize) {
        loop {
            if !self.contains(at) {
                self.0.push(at as u32);
            }
            match first_token(&pattern[at..]) {
                Some((Token::Run | Token::Everything, len)) => at += len,
                _ => return,
            }
        }
    }

    fn contains(&self, at: usize) -> bool {
        self.0.contains(&(at as u32))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|at| *at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PermissionKind::{JoinLeaveGroup as Join, SendToGroup as Send};

    #[test]
    fn a_role_grants_every_group_one_group_or_a_pattern() {
        let roles =
            ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup.a.b*", "webpubsub.sendToGroups.x.*", "other"];
        let granted = Permissions::from_roles(roles);
        assert!(granted.may(Join, "anything") && granted.may(Send, "a.b*") && granted.may(Send, "x.y"));
        assert!(!granted.may(Send, "a.bc") && !granted.may(Send, "x.y.z") && !granted.may(Send, "x"));
    }

    #[test]
    fn patterns_distinguish_dots_and_escapes() {
        let matches = |pattern: &str, name: &str| {
            Permissions::from_roles([&*format!("webpubsub.sendToGroups.{pattern}")]).may(Send, name)
        };
        assert!(matches("a?c", "abc") && !matches("a?c", "a.c") && !matches("a?c", "ac"));
        assert!(matches("a*", "a") && matches("a*", "abc") && !matches("a*", "a.b"));
        assert!(matches("a**z", "a.b.z") && matches("**", "any.thing") && matches("a**", "a"));
        assert!(matches(r"a\*b", "a*b") && !matches(r"a\*b", "axb") && matches(r"\\", r"\"));
        assert!(matches("*.*", "a.b") && !matches("*.*", "a") && !matches("A", "a"));
        assert!(!matches("*a*a*a*a*a*", "aaaaa"), "six stars");
    }

    #[test]
    fn matching_is_linear_in_the_length_of_the_name() {
        let name = "a".repeat(100_000);
        let granted = Permissions::from_roles(["webpubsub.sendToGroups.*a*a*a*a*b"]);
        assert!(!granted.may(Send, &name));
    }

    #[test]
    fn revoking_is_exact() {
        let mut granted = Permissions::from_roles(["webpubsub.sendToGroup", "webpubsub.sendToGroup.a"]);
        granted.revoke(Send, None);
        assert!(granted.may(Send, "a") && !granted.may(Send, "b") && !granted.has_grant(Send, None));
        granted.revoke(Send, Some("a"));
        assert!(granted.is_empty());
        granted.grant(Join, Some("g".into()));
        assert_eq!(Permissions::from_roles(granted.to_roles().iter().map(|role| &**role)), granted);
    }
}
