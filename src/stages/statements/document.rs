//! One document: its sections.

use super::{compiler::StatementCompiler, forward::ForwardRequest};
use crate::{
    config::{Node, codes, node::Value as NodeValue, suggest},
    stages::program::{
        Instruction, Origin, Scope, Section,
        effective::{Document, DocumentSection},
        instruction::{Described, EffectiveSection},
    },
};
use std::sync::Arc;

/// The built-in statement of `backend`.
pub fn built_in_forward() -> (Instruction, Described) {
    let origin = Arc::new(Origin {
        scope: Scope::Global,
        file: "built-in".into(),
        pointer: String::new(),
        span: Default::default(),
        path: "forward-request[1]".into(),
        id: String::new(),
        statement: "forward-request",
    });
    let statement = Arc::new(serde_json::json!({ "forward-request": {} }));
    let described = Described { origin: origin.clone(), statement };
    (Instruction::Run(Arc::new(ForwardRequest::default()), origin), described)
}

/// Compiles a document.
pub fn compile_document(tree: &Node, compiler: &mut StatementCompiler<'_, '_>) -> Document {
    let mut document = Document::default();
    if !matches!(tree.value, NodeValue::Object(_)) {
        let message = format!("expected a document, found {}", tree.type_name());
        compiler.diagnostics.error(codes::WRONG_TYPE, tree.span, message);
        return document;
    }
    for member in tree.members() {
        let name = &*member.key.value;
        let Some(section) = Section::ALL.into_iter().find(|section| section.name() == name) else {
            if !name.starts_with("//") && !name.starts_with("x-") && name != "$schema" && name != "id" {
                let names = Section::ALL.map(Section::name);
                let diagnostic = compiler.diagnostics.error(
                    codes::UNKNOWN_KEY,
                    member.key.span,
                    format!("unknown section `{name}`"),
                );
                match suggest::closest_match(name, names) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic.help(format!("the sections are {}", suggest::list(&names))),
                };
            }
            continue;
        };
        let NodeValue::Array(items) = &member.value.value else {
            let message =
                format!("`{name}`: expected a list of statements, found {}", member.value.type_name());
            compiler.diagnostics.error(codes::WRONG_TYPE, member.value.span, message);
            continue;
        };
        compiler.section = section;
        document.sections[section as usize] = Some(compile_section(items, compiler));
    }
    document
}

fn is_base(item: &Node) -> bool {
    item.as_str() == Some("base") || item.get_ignore_case("base").is_some()
}

fn compile_section(items: &[Node], compiler: &mut StatementCompiler<'_, '_>) -> DocumentSection {
    let bases: Vec<usize> =
        items.iter().enumerate().filter(|(_, item)| is_base(item)).map(|(at, _)| at).collect();
    if let Some(second) = bases.get(1) {
        compiler.diagnostics.error(
            codes::POLICY_BASE,
            items[*second].span,
            "`base` stands in a section once",
        );
    }
    let statements: Vec<Node> = items.iter().filter(|item| !is_base(item)).cloned().collect();
    let before_base = bases.first().map_or(statements.len(), |at| *at);
    let compiled = compiler.sections(&statements, before_base);
    let (before, after) = compiled;
    DocumentSection {
        before: EffectiveSection { instructions: before.instructions, described: before.described },
        has_base: !bases.is_empty(),
        after: EffectiveSection { instructions: after.instructions, described: after.described },
    }
}
