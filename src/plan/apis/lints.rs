//! Warnings: documents that are valid and probably not meant.

use super::documents::Documents;
use crate::{
    config::{Diagnostics, Span, codes},
    stages::program::{
        Instruction, Origin, Program, Scope, Section,
        effective::DocumentSection,
        entities::{Api, Product, Subscription, SubscriptionScope},
    },
};
use std::sync::Arc;

/// Statements that protect.
const PROTECTIONS: [&str; 10] = [
    "check-header",
    "ip-filter",
    "validate-jwt",
    "validate-azure-ad-token",
    "validate-client-certificate",
    "rate-limit",
    "rate-limit-by-key",
    "quota",
    "quota-by-key",
    "cors",
];
const BY_SUBSCRIPTION: [&str; 2] = ["rate-limit", "quota"];

fn statements(section: &DocumentSection) -> Vec<&'static str> {
    let all = section.before.instructions.iter().chain(&section.after.instructions);
    all.filter_map(name).collect()
}

fn name(instruction: &Instruction) -> Option<&'static str> {
    match instruction {
        Instruction::Run(_, origin) => Some(origin.statement),
        _ => None,
    }
}

/// Warns of documents whose `inbound` inherits nothing although a broader document protects.
pub fn protections(chain: &[String], documents: &Documents, diagnostics: &mut Diagnostics) {
    for (at, narrow) in chain.iter().enumerate() {
        let Some(document) = documents.all.get(narrow) else { continue };
        let Some(section) = &document.document.sections[Section::Inbound as usize] else { continue };
        if section.has_base {
            continue;
        }
        for broad in &chain[at + 1..] {
            let inbound = documents.all.get(broad).and_then(|broad| broad.document.sections[0].as_ref());
            let mut lost: Vec<&str> = inbound
                .map(statements)
                .unwrap_or_default()
                .into_iter()
                .filter(|name| PROTECTIONS.contains(name))
                .collect();
            lost.dedup();
            if let (false, Some(span)) = (lost.is_empty(), document.section_spans[0]) {
                let message = format!("`inbound` has no `base`: {} of {broad} is lost", lost.join(", "));
                diagnostics
                    .warning(codes::PROTECTION_LOST, span, message)
                    .help("add \"base\" to the section");
            }
        }
        return;
    }
}

/// Warns of an effective backend section that never calls the service, and of limits that never count.
/// `backend_span` is the place of the section that replaces the built-in one.
pub fn program(api: &Api, program: &Program, backend_span: Option<Span>, diagnostics: &mut Diagnostics) {
    let backend = &program.section(Section::Backend).instructions;
    let answers = ["return-response", "mock-response"];
    let calls = backend.iter().any(|instruction| match instruction {
        Instruction::Run(statement, origin) => statement.forwards() || answers.contains(&origin.statement),
        _ => false,
    });
    let inbound = &program.section(Section::Inbound).instructions;
    let is_answered = inbound.iter().filter_map(name).any(|name| answers.contains(&name));
    if !calls && !is_answered {
        let message =
            format!("the backend section of {} has no forward-request: every response is empty", api.id);
        diagnostics.warning(codes::NO_FORWARD_REQUEST, backend_span, message);
    }
    if !api.requires_subscription
        && let Some(limit) = find(inbound, &BY_SUBSCRIPTION)
    {
        let message = format!("`{}` counts by subscription, and {} needs none", limit.statement, api.id);
        diagnostics
            .warning(codes::LIMIT_WITHOUT_SUBSCRIPTION, limit.span, message)
            .help("use rate-limit-by-key or quota-by-key");
    }
    let cors = inbound.iter().filter_map(name).position(|name| name == "cors");
    if let Some(cors) = find(inbound, &["cors"]).filter(|_| cors.is_some_and(|at| at > 0)) {
        let message = format!("`cors` is not the first statement of {}", api.id);
        diagnostics.warning(codes::CORS_NOT_FIRST, cors.span, message);
    }
}

/// The first statement with one of these names.
fn find<'i>(instructions: &'i [Instruction], names: &[&str]) -> Option<&'i Origin> {
    instructions.iter().find_map(|instruction| match instruction {
        Instruction::Run(_, origin) if names.contains(&origin.statement) => Some(&**origin),
        _ => None,
    })
}

/// Warns of product documents that do not run for some subscriptions.
pub fn products(
    documents: &Documents,
    products: &[Arc<Product>],
    subscriptions: &[Arc<Subscription>],
    diagnostics: &mut Diagnostics,
) {
    let skipped = subscriptions.iter().find(|one| !matches!(one.scope, SubscriptionScope::Product(_)));
    let Some(subscription) = skipped else { return };
    for product in products {
        let Some(document) = documents.all.get(&format!("products/{}", product.id.to_lowercase())) else {
            continue;
        };
        debug_assert_eq!(document.scope, Scope::Product);
        let span = Span { end: document.span.start + 1, ..document.span };
        let message = format!("the document does not run for the subscription \"{}\"", subscription.id);
        diagnostics
            .warning(codes::PRODUCT_DOCUMENT_SKIPPED, span, message)
            .help("documents of products run for subscriptions of the product only");
    }
}
