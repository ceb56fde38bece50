//! The table of statements: one line a group; documents, checks, imports and the reference are made from it.

use super::{
    access, caching, callouts, control, cors, credentials, forward, json_xml, limits, messages, observe,
    schema::{Attribute, Kind, attribute, text},
    spec::Spec,
    tokens,
};

/// The condition of an arm of `choose`.
pub static WHEN: Attribute = attribute("when", Kind::Bool, "The condition of the arm.").dynamic();

/// Statements that become instructions of the program itself.
const STRUCTURE: &[Spec] = &[
    Spec {
        name: "choose",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[],
        about: "Runs the statements of the first arm whose condition holds: a list of { \"when\", \"do\" }, and { \"otherwise\" }.",
        compile: |_, _| None,
    },
    Spec {
        name: "include-fragment",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: Some("fragment-id"),
        attributes: &[text("fragment-id", "The id of the fragment.").required()],
        about: "Stands for the statements of a fragment.",
        compile: |_, _| None,
    },
];

/// The groups.
pub const GROUPS: &[&[Spec]] = &[
    STRUCTURE,
    control::SPECS,
    messages::SPECS,
    json_xml::SPECS,
    access::SPECS,
    tokens::SPECS,
    cors::SPECS,
    limits::SPECS,
    credentials::SPECS,
    forward::SPECS,
    callouts::SPECS,
    caching::SPECS,
    observe::SPECS,
];

/// Statements that Azure API Management has and this version does not.
pub const NOT_YET: &[&str] = &[
    "xsl-transform",
    "proxy",
    "get-authorization-context",
    "validate-odata-request",
    "validate-graphql-request",
    "validate-content",
    "validate-parameters",
    "validate-headers",
    "validate-status-code",
    "http-data-source",
    "sql-data-source",
    "cosmosdb-data-source",
    "publish-event",
    "send-service-bus-message",
    "publish-to-dapr",
    "invoke-dapr-binding",
    "azure-openai-token-limit",
    "azure-openai-emit-token-metric",
    "azure-openai-semantic-cache-lookup",
    "azure-openai-semantic-cache-store",
    "azure-openai-semantic-cache-remove",
    "llm-token-limit",
    "llm-emit-token-metric",
    "llm-semantic-cache-lookup",
    "llm-semantic-cache-store",
    "llm-content-safety",
    "llm-semantic-cache-remove",
];

/// All statements.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// The statement of a name in lower case.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.name == name)
}

/// The names of all statements.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|spec| spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, fmt::Write};

    const HEAD: &str = "# Policy statements\n\nThe statements of policy documents ([api-management.md](api-management.md)), by group. An attribute in \
        the column *expression* may be an\nexpression ([policy-expressions.md](policy-expressions.md)); all others are literals. \
        This page is generated from `src/stages/statements`.\n";

    #[test]
    fn no_statement_is_described_twice() {
        let mut seen = HashSet::new();
        assert!(names().chain(NOT_YET.iter().copied()).all(|name| seen.insert(name)));
        for spec in all() {
            assert!(
                !spec.about.is_empty() && spec.attributes.iter().all(|attribute| !attribute.about.is_empty())
            );
            assert!(spec.bare.is_none_or(|bare| spec.attribute(bare).is_some()), "{}", spec.name);
        }
    }

    fn kind(kind: Kind) -> String {
        match kind {
            Kind::Text => "text".to_owned(),
            Kind::Bool => "boolean".to_owned(),
            Kind::Number(min, max) if max > 9e14 || min < -9e14 => "number".to_owned(),
            Kind::Number(min, max) => format!("number, {min} to {max}"),
            Kind::Int(min, max) => format!("integer, {min} to {max}"),
            Kind::Choice(names) => names.join(", "),
            Kind::Texts => "text or list of texts".to_owned(),
            Kind::Any | Kind::Json => "any".to_owned(),
            Kind::Object(_) => "object".to_owned(),
            Kind::Objects(_) => "list of objects".to_owned(),
            Kind::Statements => "list of statements".to_owned(),
            Kind::Inner(name) => format!("`{name}`"),
            Kind::InnerList(name) => format!("list of `{name}`"),
            Kind::NotYet => "not supported yet".to_owned(),
        }
    }

    fn rows(page: &mut String, prefix: &str, attributes: &[Attribute]) {
        for attribute in attributes {
            let expression = if attribute.takes_expression { "yes" } else { "" };
            let required = if attribute.is_required { "Required. " } else { "" };
            let (name, kind, about) = (attribute.name, kind(attribute.kind), attribute.about);
            let _ = writeln!(page, "| `{prefix}{name}` | {kind} | {expression} | {required}{about} |");
            if let Kind::Object(inner) | Kind::Objects(inner) = attribute.kind {
                rows(page, &format!("{prefix}{name}."), inner);
            }
        }
    }

    fn page() -> String {
        let mut page = HEAD.to_owned();
        for spec in all() {
            let sections = spec.section_names().join(", ");
            let scopes: Vec<_> = spec.scopes.iter().map(|scope| scope.name()).collect();
            let scopes = if scopes.is_empty() { "all scopes".to_owned() } else { scopes.join(", ") };
            let once = if spec.is_once { "; once in a section" } else { "" };
            let _ = write!(page, "\n## {}\n\n{}\n\nIn {sections}; {scopes}{once}.\n", spec.name, spec.about);
            if !spec.attributes.is_empty() {
                page.push_str("\n| attribute | type | expression | description |\n|---|---|---|---|\n");
                rows(&mut page, "", spec.attributes);
            }
        }
        page
    }

    /// `UPDATE=1 cargo test --lib statements` generates the page.
    #[test]
    fn the_page_of_statements_matches_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy-statements.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == page(),
            "UPDATE=1 cargo test --lib statements"
        );
    }
}
