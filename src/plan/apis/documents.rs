//! The policy documents: read, checked against the entities, compiled.

use super::named_values::NamedValues;
use crate::{
    config::{
        Diagnostics, Node, Sources, Span, codes,
        ids::Ids,
        policies::{Policies, PolicyDocumentFile},
    },
    stages::{
        program::{Scope, effective::Document},
        statements::{
            compiler::{Facts, Fragment, StatementCompiler},
            document::compile_document,
            xml_document::{translate_expressions, xml_document},
        },
    },
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

/// The compiled documents, by their names in lower case.
#[derive(Debug, Default)]
pub struct Documents {
    pub all: HashMap<String, CompiledDocument>,
}

/// A compiled document.
#[derive(Debug)]
pub struct CompiledDocument {
    pub document: Document,
    pub scope: Scope,
    pub span: Span,
    /// The places of its sections, for lints.
    pub section_spans: [Option<Span>; 4],
}

/// The owners that documents may have.
#[derive(Debug, Default)]
pub struct Owners {
    pub apis: Ids,
    /// API in lower case → ids of its operations and its path values.
    pub operations: HashMap<String, (Ids, HashSet<String>)>,
    pub products: Ids,
    pub workspaces: Ids,
}

/// What documents are compiled with.
pub struct DocumentCompiler<'c> {
    pub policies: &'c Policies,
    pub sources: &'c Sources,
    pub owners: &'c Owners,
    pub facts: &'c Facts,
    pub named_values: &'c NamedValues,
}

/// A document before it is compiled.
struct Prepared {
    name: String,
    file: Arc<str>,
    tree: Node,
    masks: HashMap<Span, String>,
}

impl DocumentCompiler<'_> {
    /// Compiles all documents.
    pub fn compile(&self, diagnostics: &mut Diagnostics) -> Documents {
        let mut prepared: Vec<Prepared> =
            self.policies.documents.iter().filter_map(|file| self.prepare(file, diagnostics)).collect();
        let mut masks = HashMap::new();
        prepared.iter_mut().for_each(|one| masks.extend(std::mem::take(&mut one.masks)));
        let fragments: HashMap<String, Fragment> = prepared
            .iter()
            .filter_map(|one| {
                let id = one.name.strip_prefix("fragments/")?;
                Some((id.to_owned(), Fragment { file: one.file.clone(), statements: Some(one.tree.clone()) }))
            })
            .collect();
        let mut used = HashSet::new();
        let mut documents = Documents::default();
        for one in &prepared {
            let Some(scope) = self.scope(&one.name, one.tree.span, diagnostics) else { continue };
            let mut compiler = StatementCompiler::new(
                diagnostics,
                self.facts,
                &fragments,
                &mut used,
                &masks,
                &one.tree,
                one.file.clone(),
                scope,
            );
            compiler.placeholders = self.placeholders(&one.name);
            let document = compile_document(&one.tree, &mut compiler);
            let section_spans = crate::stages::program::Section::ALL
                .map(|section| one.tree.get_ignore_case(section.name()).map(|node| node.span));
            let span = one.tree.span;
            documents.all.insert(one.name.clone(), CompiledDocument { document, scope, span, section_spans });
        }
        self.check_fragments(&prepared, &fragments, &used, &masks, diagnostics);
        documents
    }

    /// Checks fragments that no document includes, and warns of them.
    fn check_fragments(
        &self,
        prepared: &[Prepared],
        fragments: &HashMap<String, Fragment>,
        used: &HashSet<String>,
        masks: &HashMap<Span, String>,
        diagnostics: &mut Diagnostics,
    ) {
        for one in prepared {
            let Some(id) = one.name.strip_prefix("fragments/").filter(|id| !used.contains(*id)) else {
                continue;
            };
            let span = Span { end: one.tree.span.start + 1, ..one.tree.span };
            diagnostics.warning(codes::UNUSED_FRAGMENT, span, format!("the fragment `{id}` is not used"));
            let mut ignored = HashSet::new();
            let mut compiler = StatementCompiler::new(
                diagnostics,
                self.facts,
                fragments,
                &mut ignored,
                masks,
                &one.tree,
                one.file.clone(),
                Scope::Global,
            );
            let _ = compiler.list(one.tree.get_ignore_case("statements").map_or(&[][..], Node::items));
        }
    }

    fn prepare(&self, file: &PolicyDocumentFile, diagnostics: &mut Diagnostics) -> Option<Prepared> {
        let mut tree = match file.is_xml {
            true => {
                let text = self.sources.get(file.file).map_or("", |source| source.text.as_str());
                xml_document(file.file, text, diagnostics)?
            }
            false => file.tree.clone()?,
        };
        let masks = self.named_values.substitute(&mut tree, diagnostics);
        if file.is_xml {
            translate_expressions(&mut tree, &|span| masks.contains_key(&span), diagnostics);
        }
        Some(Prepared { name: file.name.clone(), file: self.relative_name(file), tree, masks })
    }

    /// The name of a file relative to the configuration.
    fn relative_name(&self, file: &PolicyDocumentFile) -> Arc<str> {
        let shown = self.sources.name(file.file);
        let own = self.sources.get(file.file).and_then(|source| source.path.as_deref());
        let main = self.sources.iter().next().and_then(|(_, source)| source.path.as_deref());
        let relative =
            own.zip(main.and_then(Path::parent)).and_then(|(own, folder)| own.strip_prefix(folder).ok());
        relative.map_or_else(|| shown.into(), |path| path.display().to_string().into())
    }

    /// The scope of a document; `None` for fragments and schemas, and for a document without owner.
    fn scope(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Scope> {
        let at = Span { end: span.start + 1, ..span };
        if name == "global" {
            return Some(Scope::Global);
        }
        let Some((folder, rest)) = name.split_once('/') else { return Some(Scope::Policy) };
        let mut owned = |kind: &str, id: &str, ids: &Ids, scope| {
            if ids.get(id).is_none() {
                report_orphan(kind, id, at, ids, diagnostics);
                return None;
            }
            Some(scope)
        };
        match (folder, rest.split_once('/')) {
            ("workspaces", None) => owned("workspace", rest, &self.owners.workspaces, Scope::Workspace),
            ("products", None) => owned("product", rest, &self.owners.products, Scope::Product),
            ("apis", None) => owned("API", rest, &self.owners.apis, Scope::Api),
            ("apis", Some((api, operation))) => {
                owned("API", api, &self.owners.apis, Scope::Operation)?;
                let (operations, _) = self.owners.operations.get(api)?;
                owned("operation", operation, operations, Scope::Operation)
            }
            ("fragments" | "schemas", _) => None,
            _ => {
                diagnostics.error(codes::POLICY_ORPHAN, at, format!("no entity has the document {name}"));
                None
            }
        }
    }

    /// The path values that templates of a document may use.
    fn placeholders(&self, name: &str) -> Option<HashSet<String>> {
        let rest = name.strip_prefix("apis/")?;
        let api = rest.split_once('/').map_or(rest, |(api, _)| api);
        let (_, names) = self.owners.operations.get(api)?;
        Some(names.clone())
    }
}

fn report_orphan(kind: &str, id: &str, span: Span, ids: &Ids, diagnostics: &mut Diagnostics) {
    let message = format!("there is no {kind} \"{id}\": the document protects nothing");
    let diagnostic = diagnostics.error(codes::POLICY_ORPHAN, span, message);
    match ids.near(id) {
        Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
        None => diagnostic.help(format!("add the {kind}, or remove the document")),
    };
}
