//! Named values: `{{name}}` in documents, replaced before anything is parsed.

use crate::{
    config::{Diagnostics, Node, Span, Spanned, codes, node::Value as NodeValue, suggest},
    plan::document::Document,
    stages::program::target::ServiceUrl,
};
use std::{collections::HashMap, sync::Arc};

/// What is shown in the place of a secret.
const MASK: &str = "*****";
/// Characters that no name of a named value has.
const NO_NAME: [char; 6] = ['"', '\'', ',', '{', '(', '@'];

/// The named values of a document, by their names in lower case.
#[derive(Debug, Default)]
pub struct NamedValues {
    values: HashMap<String, (String, bool)>,
    names: Vec<String>,
}

impl NamedValues {
    /// Reads `NamedValues`.
    pub fn read(document: &Document, diagnostics: &mut Diagnostics) -> NamedValues {
        let mut all = NamedValues::default();
        for (name, value) in document.named_values.iter().flat_map(|map| map.iter()) {
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
            if name.is_empty() || name.len() > 256 || !name.chars().all(is_name) {
                diagnostics
                    .error(
                        codes::API_ENTITY,
                        name.span,
                        format!("invalid name of a named value \"{}\"", name.value),
                    )
                    .help("a name consists of letters, digits, -, . and _, 256 at most");
            }
            let is_secret = value.value.secret.as_ref().is_some_and(|secret| secret.value);
            let text = value.value.value.as_ref().map(|text| text.value.clone()).unwrap_or_default();
            all.names.push(name.value.clone());
            all.values.insert(name.to_lowercase(), (text, is_secret));
        }
        all
    }

    /// The values that are secrets.
    pub fn secrets(&self) -> Vec<Arc<str>> {
        let secrets = self.values.values().filter(|(_, is_secret)| *is_secret);
        secrets.map(|(value, _)| Arc::from(value.as_str())).collect()
    }

    /// Replaces the values in a text, or reports an unknown name.
    pub fn fill(&self, text: &str, span: Span, diagnostics: &mut Diagnostics) -> String {
        self.replace(text, span, diagnostics).0
    }

    /// Replaces the values in all texts of a tree; what is shown of texts with secrets.
    pub fn substitute(&self, tree: &mut Node, diagnostics: &mut Diagnostics) -> HashMap<Span, String> {
        let mut masks = HashMap::new();
        self.walk(tree, diagnostics, &mut masks);
        masks
    }

    fn walk(&self, node: &mut Node, diagnostics: &mut Diagnostics, masks: &mut HashMap<Span, String>) {
        let is_liquid = node.get_ignore_case("template").and_then(Node::as_str) == Some("liquid");
        match &mut node.value {
            NodeValue::String(text) if text.contains("{{") => {
                let (filled, masked) = self.replace(text, node.span, diagnostics);
                if let Some(masked) = masked {
                    masks.insert(node.span, masked);
                }
                *text = filled.into();
            }
            NodeValue::Array(items) => items.iter_mut().for_each(|item| self.walk(item, diagnostics, masks)),
            NodeValue::Object(members) => {
                for member in
                    members.iter_mut().filter(|member| !(is_liquid && &*member.key.value == "value"))
                {
                    self.walk(&mut member.value, diagnostics, masks);
                }
            }
            _ => {}
        }
    }

    /// The filled text, and the masked one if it contains a secret.
    fn replace(&self, text: &str, span: Span, diagnostics: &mut Diagnostics) -> (String, Option<String>) {
        let (mut filled, mut masked, mut has_secret) = (String::new(), String::new(), false);
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let Some(close) = rest[open..].find("}}").map(|close| open + close) else { break };
            let name = rest[open + 2..close].trim();
            filled.push_str(&rest[..open]);
            masked.push_str(&rest[..open]);
            if name.contains(NO_NAME) {
                // The initializer of a C# dictionary: {{"a", 1}, {"b", 2}}.
                filled.push_str("{{");
                masked.push_str("{{");
                rest = &rest[open + 2..];
                continue;
            }
            match self.values.get(&name.to_lowercase()) {
                Some((value, is_secret)) => {
                    filled.push_str(value);
                    masked.push_str(if *is_secret { MASK } else { value });
                    has_secret |= is_secret;
                }
                None => self.report(name, span, diagnostics),
            }
            rest = &rest[close + 2..];
        }
        filled.push_str(rest);
        masked.push_str(rest);
        (filled, has_secret.then_some(masked))
    }

    fn report(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) {
        let diagnostic = diagnostics.error(codes::NAMED_VALUE, span, format!("unknown named value `{name}`"));
        match suggest::closest_match(name, self.names.iter().map(String::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("add it to NamedValues"),
        };
    }
}

/// An absolute URL, or a diagnostic.
pub fn service_url(
    text: &Spanned<String>,
    values: &NamedValues,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<ServiceUrl>> {
    let filled = values.fill(text, text.span, diagnostics);
    let url = ServiceUrl::parse(&filled);
    if url.is_none() {
        diagnostics
            .error(codes::API_ENTITY, text.span, "invalid URL")
            .help("must be an absolute URL such as https://api.example.com/base");
    }
    url.map(Arc::new)
}
