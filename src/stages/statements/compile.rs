//! From statements of a document to instructions, with all mistakes.

use super::{
    compiler::{Compiled, MAX_FRAGMENT_DEPTH, StatementCompiler},
    spec::Spec,
    table,
};
use crate::{
    config::{
        Node, Span, codes,
        node::{Member, Value as NodeValue},
        suggest,
    },
    stages::program::{Instruction, Origin, instruction::Described},
};
use std::{collections::HashMap, sync::Arc};

impl StatementCompiler<'_, '_> {
    /// Compiles a list of statements.
    pub fn list(&mut self, items: &[Node]) -> Compiled {
        self.sections(items, items.len()).0
    }

    /// Compiles the statements of a section: those in front of its `base`, and those behind it.
    pub fn sections(&mut self, items: &[Node], before_base: usize) -> (Compiled, Compiled) {
        let (mut before, mut after) = (Compiled::default(), Compiled::default());
        let mut counts: HashMap<&'static str, usize> = HashMap::new();
        for (at, item) in items.iter().enumerate() {
            let compiled = if at < before_base { &mut before } else { &mut after };
            let Some((spec, value, id)) = self.statement(item) else { continue };
            let count = counts.entry(spec.name).or_default();
            *count += 1;
            let step = format!("{}[{count}]", spec.name);
            if spec.is_once && *count == 2 {
                let message = format!("`{}` may stand once in a section", spec.name);
                self.diagnostics.error(codes::POLICY_PLACE, item.span, message);
            }
            self.one(item, spec, value, id, &step, compiled);
        }
        (before, after)
    }

    /// The statement of an item: its line of the table, its value and its `id`.
    fn statement<'n>(&mut self, item: &'n Node) -> Option<(&'static Spec, Option<&'n Node>, String)> {
        match &item.value {
            NodeValue::String(name) => {
                if &**name == "base" {
                    self.report_base(item.span);
                    return None;
                }
                self.spec(name, item.span).map(|spec| (spec, None, String::new()))
            }
            NodeValue::Object(members) => {
                let is_free = |member: &&Member| {
                    let name = &*member.key.value;
                    name != "id" && !name.starts_with("//") && !name.starts_with("x-")
                };
                let named: Vec<&Member> = members.iter().filter(is_free).collect();
                let [member] = named.as_slice() else {
                    let message =
                        format!("expected an object with one statement, found {} members", named.len());
                    self.diagnostics.error(codes::POLICY_STATEMENT, item.span, message).help(
                        "write { \"set-header\": { ... } }; only \"id\", \"//\" and \"x-...\" may be added",
                    );
                    return None;
                };
                let id = item.get_ignore_case("id").and_then(Node::as_str).unwrap_or_default().to_owned();
                let spec = self.spec(&member.key.value, member.key.span)?;
                Some((spec, Some(&member.value), id))
            }
            _ => {
                let message = format!("expected a statement, found {}", item.type_name());
                self.diagnostics.error(codes::POLICY_STATEMENT, item.span, message);
                None
            }
        }
    }

    fn report_base(&mut self, span: Span) {
        let message = match self.fragment_stack.is_empty() {
            true => "`base` stands directly in a section, once",
            false => "a fragment has no `base`",
        };
        self.diagnostics.error(codes::POLICY_BASE, span, message);
    }

    fn spec(&mut self, name: &str, span: Span) -> Option<&'static Spec> {
        let lower = name.to_ascii_lowercase();
        if let Some(spec) = table::find(&lower) {
            return Some(spec);
        }
        if table::NOT_YET.contains(&lower.as_str()) {
            self.diagnostics
                .error(codes::POLICY_NOT_YET, span, format!("`{name}` is not supported yet"))
                .help("remove the statement; docs/apim-differences.md lists what is not supported");
            return None;
        }
        let diagnostic =
            self.diagnostics.error(codes::POLICY_STATEMENT, span, format!("unknown statement `{name}`"));
        match suggest::closest_match(name, table::names()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("docs/policy-statements.md lists the statements"),
        };
        None
    }

    /// Compiles one statement of a list.
    fn one(
        &mut self,
        item: &Node,
        spec: &'static Spec,
        value: Option<&Node>,
        id: String,
        step: &str,
        compiled: &mut Compiled,
    ) {
        self.check_place(item, spec);
        let path = if self.prefix.is_empty() { step.to_owned() } else { format!("{}/{step}", self.prefix) };
        if spec.name == "include-fragment" {
            return self.fragment(item, value, path, compiled);
        }
        let origin = Arc::new(Origin {
            scope: self.scope,
            file: self.file.clone(),
            pointer: self.root.pointer_of(value.map_or(item.span, |value| value.span)),
            span: value.map_or(item.span, |value| value.span),
            path: path.clone(),
            id,
            statement: spec.name,
        });
        let outer = std::mem::replace(&mut self.prefix, path);
        if spec.name == "choose" {
            self.choose(item, value, &origin, compiled);
        } else if let Some(args) = self.args(item, spec, value, &origin)
            && let Some(statement) = (spec.compile)(&args, self)
        {
            compiled.instructions.push(Instruction::Run(statement, origin.clone()));
        }
        self.prefix = outer;
        if self.prefix.is_empty() || self.is_only_fragments() {
            compiled.described.push(Described { origin, statement: Arc::new(self.shown(item)) });
        }
    }

    /// A node as JSON, with secrets masked.
    fn shown(&self, node: &Node) -> serde_json::Value {
        match &node.value {
            NodeValue::String(text) => match self.masks.get(&node.span) {
                Some(masked) => masked.as_str().into(),
                None => (&**text).into(),
            },
            NodeValue::Array(items) => items.iter().flat_map(|item| self.shown_item(item, 0)).collect(),
            NodeValue::Object(members) => {
                let members = members.iter().map(|m| (m.key.value.to_string(), self.shown(&m.value)));
                serde_json::Value::Object(members.collect())
            }
            _ => serde_json::from_str(&node.to_json()).unwrap_or_default(),
        }
    }

    /// An item of a list; the statements of a fragment in the place of `include-fragment`.
    fn shown_item(&self, item: &Node, depth: usize) -> Vec<serde_json::Value> {
        let included = item.get_ignore_case("include-fragment");
        let id = included.and_then(|id| id.get_ignore_case("fragment-id").unwrap_or(id).as_str());
        let fragment = id.and_then(|id| self.fragments.get(&id.to_lowercase()));
        let tree = fragment.and_then(|fragment| fragment.statements.as_ref());
        match tree.filter(|_| depth < MAX_FRAGMENT_DEPTH) {
            Some(tree) => {
                let statements = tree.get_ignore_case("statements").map_or(&[][..], Node::items);
                statements.iter().flat_map(|item| self.shown_item(item, depth + 1)).collect()
            }
            None => vec![self.shown(item)],
        }
    }

    /// Whether the enclosing path consists of fragments alone.
    fn is_only_fragments(&self) -> bool {
        self.prefix.split('/').all(|step| step.starts_with("include-fragment["))
    }

    fn check_place(&mut self, item: &Node, spec: &Spec) {
        let span = item.span;
        if !spec.is_allowed_in(self.section) {
            let message = format!("`{}` is not allowed in `{}`", spec.name, self.section.name());
            let sections = spec.section_names();
            self.diagnostics
                .error(codes::POLICY_PLACE, span, message)
                .help(format!("it may stand in {}", suggest::list(&sections)));
        } else if !spec.scopes.is_empty() && !spec.scopes.contains(&self.scope) {
            let message =
                format!("`{}` is not allowed in a document of scope {}", spec.name, self.scope.name());
            let scopes: Vec<&str> = spec.scopes.iter().map(|scope| scope.name()).collect();
            self.diagnostics
                .error(codes::POLICY_PLACE, span, message)
                .help(format!("it may stand in documents of scope {}", suggest::list(&scopes)));
        }
    }
}
