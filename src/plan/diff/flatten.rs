//! A section of a document as a flat list of settings.

use super::change::{Change, ChangeKind};
use super::schema::{Schema, ValueKind};
use crate::config::{Node, ReferencedFiles, Value};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// The value of a hidden setting, and the remark at its change.
const HIDDEN: &str = "hidden";
/// The ends of the names of settings and fields that contain secrets.
const SECRET_NAMES: [&str; 14] = [
    "primarykey",
    "secondarykey",
    "sha256",
    "secret",
    "secrets",
    "password",
    "token",
    "signingkey",
    "apikey",
    "api-key",
    "authorization",
    "cookie",
    "hash",
    "credentials",
];
/// Settings that are shown although a variable may have set them.
const PUBLIC_NAMES: [&str; 12] = [
    "host",
    "port",
    "address",
    "key",
    "servicename",
    "baseurl",
    "upstreampathtemplate",
    "downstreampathtemplate",
    "upstreamhost",
    "downstreamscheme",
    "downstreamcluster",
    "type",
];
/// Lists in which the order of the items has no meaning.
const SETS: [&str; 8] = [
    "UpstreamHttpMethod",
    "Listeners",
    "AllowedScopes",
    "IPAllowedList",
    "IPBlockedList",
    "AllowedHosts",
    "AllowedOrigins",
    "TrustedProxies",
];
/// Settings without an effect of their own.
const IGNORED: [&str; 2] = ["Policies", "RouteKeys"];

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Value(String),
    List(Vec<String>),
    /// An object that turns a feature on.
    Present,
}

/// A setting that is not at its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub content: Content,
    pub is_hidden: bool,
    /// The default, if it is a literal.
    pub default: Option<String>,
}

impl Leaf {
    /// A plain value.
    pub fn value(text: impl Into<String>) -> Leaf {
        Leaf { content: Content::Value(text.into()), is_hidden: false, default: None }
    }

    /// Something that is there.
    pub fn present() -> Leaf {
        Leaf { content: Content::Present, is_hidden: false, default: None }
    }

    fn text(&self) -> Option<String> {
        match &self.content {
            _ if self.is_hidden => None,
            Content::Value(text) => Some(text.clone()),
            Content::List(items) => Some(format!("[{}]", items.join(", "))),
            Content::Present => None,
        }
    }
}

/// Settings by their names, with those of the sections they are in.
pub(super) type Settings = BTreeMap<String, Leaf>;

/// Flattens sections.
#[derive(Clone, Copy)]
pub(super) struct Flattener<'c> {
    pub attached: &'c ReferencedFiles,
    /// Names of settings of the outermost object that are left out.
    pub skipped: &'c [&'c str],
}

impl Flattener<'_> {
    /// The settings of an object.
    pub fn settings(&self, object: &Node, schema: Schema) -> Settings {
        let mut settings = Settings::new();
        self.members(object, schema, "", &mut settings);
        settings
    }

    fn members(&self, object: &Node, schema: Schema, prefix: &str, settings: &mut Settings) {
        for member in object.members().iter().filter(|member| !member.value.is_null()) {
            let written: &str = &member.key.value;
            let known = schema.setting(written);
            let is_skipped =
                prefix.is_empty() && self.skipped.iter().any(|name| name.eq_ignore_ascii_case(written));
            if is_skipped || (schema.has_settings() && known.is_none()) || IGNORED.contains(&written) {
                continue;
            }
            let (name, inner) = known.unwrap_or((written, schema.element()));
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            self.node(&member.value, inner, &path, settings);
        }
    }

    fn node(&self, node: &Node, schema: Schema, path: &str, settings: &mut Settings) {
        match &node.value {
            Value::Object(members) => {
                if schema.is_off_by_default() && !members.is_empty() {
                    settings.insert(path.to_owned(), Leaf::present());
                }
                self.members(node, schema, path, settings);
            }
            Value::Array(items)
                if items.iter().any(|item| matches!(item.value, Value::Object(_) | Value::Array(_))) =>
            {
                for (at, item) in items.iter().enumerate() {
                    self.node(item, schema.element(), &format!("{path}[{at}]"), settings);
                }
            }
            Value::Array(items) => {
                let kind = schema.element().kind();
                let items = items.iter().map(|item| kind.canonical(&scalar(item))).collect();
                add(Content::List(items), node, schema, path, settings);
            }
            _ => {
                let content = Content::Value(schema.kind().canonical(&scalar(node)));
                add(content, node, schema, path, settings);
                if let Ok(bytes) = self.attached.get(node.span) {
                    let mut hasher = DefaultHasher::new();
                    bytes.hash(&mut hasher);
                    let content = Leaf { is_hidden: true, ..Leaf::value(format!("{:x}", hasher.finish())) };
                    settings.insert(format!("{path} (content of the file)"), content);
                }
            }
        }
    }
}

/// Adds a setting unless it is blank or at its default.
fn add(content: Content, node: &Node, schema: Schema, path: &str, settings: &mut Settings) {
    let kind = if matches!(content, Content::List(_)) { schema.element().kind() } else { schema.kind() };
    let default =
        schema.default_items().map(|items| items.iter().map(|item| kind.canonical(item)).collect::<Vec<_>>());
    let (is_blank, is_default) = match &content {
        Content::Value(text) => {
            (text.trim().is_empty(), default.as_deref() == Some(std::slice::from_ref(text)))
        }
        Content::List(items) => (items.is_empty(), default.as_ref() == Some(items)),
        Content::Present => (false, false),
    };
    if is_blank || is_default {
        return;
    }
    let is_hidden = is_secret(path, node, kind);
    let default = default.filter(|items| !items.is_empty()).map(|items| items.join(", "));
    settings.insert(path.to_owned(), Leaf { content, is_hidden, default });
}

/// Whether a value must not be printed: by its name, or because a variable or a file may have set a free text.
fn is_secret(path: &str, node: &Node, kind: ValueKind) -> bool {
    let name = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.split('[').next().unwrap_or_default();
    let is_interpolated = node.interpolated || node.items().iter().any(|item| item.interpolated);
    SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
        || name == "keys"
        || path.to_ascii_lowercase().ends_with("signalroptions.key")
        || (is_interpolated && kind == ValueKind::Text && !PUBLIC_NAMES.contains(&name))
}

fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Bool(value) => value.to_string(),
        Value::Number(text) | Value::String(text) => text.to_string(),
        _ => String::new(),
    }
}

/// The changes of the settings of one subject.
pub(super) fn compare(subject: &'static str, name: &str, old: &Settings, new: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let is_hidden = [old.get(path), new.get(path)].into_iter().flatten().any(|leaf| leaf.is_hidden);
        let mut add = |kind, before, after| {
            let (setting, detail) = (Some(path.clone()), is_hidden.then(|| HIDDEN.to_owned()));
            let change = Change::of_subject(subject, name, kind);
            changes.push(Change { setting, before, after, detail, ..change });
        };
        match (old.get(path), new.get(path)) {
            (Some(before), Some(after)) => compare_values(path, before, after, &mut add),
            (Some(before), None) => match (&before.default, &before.content) {
                (Some(default), Content::Value(_)) if !is_hidden => {
                    add(ChangeKind::Changed, before.text(), Some(format!("{default} (default)")));
                }
                _ => add(ChangeKind::Removed, before.text(), None),
            },
            (None, Some(after)) => match (&after.default, &after.content) {
                (Some(default), Content::Value(_)) if !is_hidden => {
                    add(ChangeKind::Changed, Some(format!("{default} (default)")), after.text());
                }
                _ => add(ChangeKind::Added, None, after.text()),
            },
            (None, None) => {}
        }
    }
    changes
}

/// Whether a change of a hidden value is among the changes: what it compiles to does not show it.
pub(super) fn hides_values(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.detail.as_deref() == Some(HIDDEN))
}

fn compare_values(
    path: &str,
    before: &Leaf,
    after: &Leaf,
    add: &mut impl FnMut(ChangeKind, Option<String>, Option<String>),
) {
    if before.content == after.content {
        return;
    }
    match (&before.content, &after.content) {
        _ if before.is_hidden || after.is_hidden => add(ChangeKind::Changed, None, None),
        (Content::List(old), Content::List(new)) => {
            let gone: Vec<_> = old.iter().filter(|item| !new.contains(item)).collect();
            let fresh: Vec<_> = new.iter().filter(|item| !old.contains(item)).collect();
            let name = path.rsplit('.').next().unwrap_or_default();
            if gone.is_empty() && fresh.is_empty() && !SETS.contains(&name) {
                add(ChangeKind::Changed, before.text(), after.text());
            }
            gone.into_iter().for_each(|item| add(ChangeKind::Removed, Some(item.clone()), None));
            fresh.into_iter().for_each(|item| add(ChangeKind::Added, None, Some(item.clone())));
        }
        _ => add(ChangeKind::Changed, before.text(), after.text()),
    }
}
