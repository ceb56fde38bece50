//! Changes and their words.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Maximum number of names in one line.
const MAX_LISTED_NAMES: usize = 3;

/// Settings that have a shorter name in the field.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("Timeout", "timeout"),
    ("UpstreamPathTemplate", "path"),
    ("UpstreamHttpMethod", "methods"),
    ("UpstreamHost", "host"),
    ("DownstreamPathTemplate", "backend path"),
    ("DownstreamScheme", "backend scheme"),
    ("DownstreamCluster", "cluster"),
    ("Priority", "priority"),
    ("Address", "address"),
];

/// What happened to a route, a cluster, a listener or one of their settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `route`, `aggregate`, `cluster`, `listener`, `authentication scheme`, `dynamic route` or `gateway`.
    pub subject: &'static str,
    /// Its name; empty for the gateway.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub kind: ChangeKind,
    /// The setting, with the names of its sections; `None`: the subject as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A remark, such as the paths of an added route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Change {
    /// A subject that was added or removed as a whole.
    pub(super) fn of_subject(subject: &'static str, name: &str, kind: ChangeKind) -> Change {
        let name = name.to_owned();
        Change { subject, name, kind, setting: None, before: None, after: None, detail: None }
    }

    /// The words without the subject: `timeout 30s -> 5s`.
    fn predicate(&self) -> String {
        let verb = match self.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        };
        let setting = self.setting.as_deref().map(short_name);
        let words = match (setting, &self.before, &self.after) {
            (None, ..) => verb.to_owned(),
            (Some(setting), Some(before), Some(after)) => format!("{setting} {before} -> {after}"),
            (Some(setting), Some(value), None) | (Some(setting), None, Some(value)) => {
                format!("{setting} {value} {verb}")
            }
            (Some(setting), None, None) => format!("{setting} {verb}"),
        };
        match &self.detail {
            Some(detail) => format!("{words} ({detail})"),
            None => words,
        }
    }

    fn separator(&self) -> &'static str {
        if self.setting.is_some() { ": " } else { " " }
    }
}

fn short_name(setting: &str) -> &str {
    SHORT_NAMES.iter().find(|(name, _)| *name == setting).map_or(setting, |(_, short)| short)
}

impl fmt::Display for Change {
    /// `route orders: timeout 30s -> 5s`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let space = if self.name.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}{}{}", self.subject, self.name, self.separator(), self.predicate())
    }
}

/// All changes, and the routes whose traffic they concern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub changes: Vec<Change>,
    /// The names of the routes that change, in the new configuration; removed routes are not among them.
    pub routes: BTreeSet<String>,
    /// A change that concerns every route.
    pub all_routes: bool,
}

impl Diff {
    /// Whether nothing changes for traffic.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in words, one a line; the same change of several routes is one line.
    pub fn lines(&self) -> Vec<String> {
        let key = |change: &Change| (change.subject, change.predicate());
        let mut names: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for change in &self.changes {
            names.entry(key(change)).or_default().push(&change.name);
        }
        let mut lines = Vec::new();
        for change in &self.changes {
            // Subjects are listed once, at the first of them.
            let Some(names) = names.remove(&key(change)) else { continue };
            match names.len() {
                0..=MAX_LISTED_NAMES => {
                    lines.extend(
                        names
                            .iter()
                            .map(|name| Change { name: (*name).to_owned(), ..change.clone() }.to_string()),
                    );
                }
                count => {
                    let more = count - MAX_LISTED_NAMES;
                    let listed = names[..MAX_LISTED_NAMES].join(", ");
                    let (subject, separator) = (change.subject, change.separator());
                    lines.push(format!(
                        "{count} {subject}s ({listed} and {more} more){separator}{}",
                        change.predicate()
                    ));
                }
            }
        }
        lines
    }

    /// The lines as a text; empty without changes.
    pub fn text(&self) -> String {
        self.lines().into_iter().map(|line| line + "\n").collect()
    }
}
