//! `include-fragment` and `choose`: statements that become instructions of the program itself.

use super::{
    compiler::{Compiled, Fragment, MAX_FRAGMENT_DEPTH, StatementCompiler},
    table,
};
use crate::{
    config::{Node, codes, node::Value as NodeValue, suggest},
    stages::program::{Instruction, Origin, Template},
};
use std::sync::Arc;

const ARM_FORM: &str = "expected { \"when\": ..., \"do\": [...] }, or { \"otherwise\": [...] } at the end";

impl<'c> StatementCompiler<'c, '_> {
    /// The statements of a fragment in the place of `include-fragment`.
    pub(super) fn fragment(
        &mut self,
        item: &Node,
        value: Option<&Node>,
        path: String,
        compiled: &mut Compiled,
    ) {
        let Some((name, fragment)) = self.included(item, value) else { return };
        let Some(tree) = &fragment.statements else { return };
        self.fragment_stack.push(name);
        let outer = (
            std::mem::replace(&mut self.prefix, path),
            std::mem::replace(&mut self.root, tree),
            std::mem::replace(&mut self.file, fragment.file.clone()),
        );
        let statements = tree.get_ignore_case("statements").map_or(&[][..], Node::items);
        let inner = self.list(statements);
        (self.prefix, self.root, self.file) = outer;
        self.fragment_stack.pop();
        compiled.instructions.extend(inner.instructions);
        compiled.described.extend(inner.described);
    }

    /// The fragment that a statement includes.
    fn included(&mut self, item: &Node, value: Option<&Node>) -> Option<(String, &'c Fragment)> {
        let name = value.and_then(|value| match &value.value {
            NodeValue::Object(_) => value.get_ignore_case("fragment-id"),
            _ => Some(value),
        });
        let Some((name, span)) = name.and_then(|node| Some((node.as_str()?.to_lowercase(), node.span)))
        else {
            let message = "`include-fragment` needs the id of a fragment";
            self.diagnostics.error(codes::POLICY_ATTRIBUTE, item.span, message);
            return None;
        };
        let fragments = self.fragments;
        let Some(fragment) = fragments.get(&name) else {
            let diagnostic =
                self.diagnostics.error(codes::POLICY_FRAGMENT, span, format!("unknown fragment `{name}`"));
            match suggest::closest_match(&name, fragments.keys().map(String::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!("create policies/fragments/{name}.json")),
            };
            return None;
        };
        self.used_fragments.insert(name.clone());
        let message = match self.fragment_stack.contains(&name) {
            true => format!("the fragment `{name}` includes itself"),
            false if self.fragment_stack.len() < MAX_FRAGMENT_DEPTH => return Some((name, fragment)),
            false => format!("fragments are included more than {MAX_FRAGMENT_DEPTH} deep"),
        };
        self.diagnostics.error(codes::POLICY_FRAGMENT, span, message);
        None
    }

    /// `choose`: conditions and jumps.
    pub(super) fn choose(
        &mut self,
        item: &Node,
        value: Option<&Node>,
        origin: &Arc<Origin>,
        compiled: &mut Compiled,
    ) {
        let arms = value.map_or(&[][..], Node::items);
        if arms.is_empty() {
            let message = "`choose` needs a list of { \"when\": ..., \"do\": [...] }";
            self.diagnostics.error(codes::POLICY_ATTRIBUTE, item.span, message);
            return;
        }
        let (outer, mut blocks) = (self.prefix.clone(), Vec::new());
        for (at, arm) in arms.iter().enumerate() {
            let (when, otherwise) = (arm.get_ignore_case("when"), arm.get_ignore_case("otherwise"));
            let (condition, statements) = match (when, otherwise) {
                (Some(when), None) => {
                    self.prefix = format!("{outer}/when[{}]", at + 1);
                    (self.template(when, &table::WHEN), arm.get_ignore_case("do"))
                }
                (None, Some(otherwise)) if at + 1 == arms.len() => {
                    self.prefix = format!("{outer}/otherwise[1]");
                    (None, Some(otherwise))
                }
                _ => {
                    self.diagnostics.error(codes::POLICY_ATTRIBUTE, arm.span, ARM_FORM);
                    continue;
                }
            };
            self.check_arm(arm);
            let body = self.list(statements.map_or(&[][..], Node::items)).instructions;
            if condition.is_some() || otherwise.is_some() {
                blocks.push((condition, body));
            }
        }
        self.prefix = outer;
        push_choose(blocks, origin, compiled);
    }

    fn check_arm(&mut self, arm: &Node) {
        let known = ["when", "do", "otherwise", "//", "id"];
        for member in arm.members().iter().filter(|member| !known.contains(&&*member.key.value)) {
            let message = format!("unknown attribute `{}` of `choose`", member.key.value);
            self.diagnostics.error(codes::UNKNOWN_KEY, member.key.span, message);
        }
        if let Some(list) =
            arm.get_ignore_case("do").filter(|list| !matches!(list.value, NodeValue::Array(_)))
        {
            self.diagnostics.error(codes::WRONG_TYPE, list.span, "`do`: expected a list of statements");
        }
    }
}

/// Arms as conditions and jumps over their statements.
fn push_choose(
    blocks: Vec<(Option<Template>, Vec<Instruction>)>,
    origin: &Arc<Origin>,
    compiled: &mut Compiled,
) {
    let mut rest: Vec<Instruction> = Vec::new();
    for (condition, body) in blocks.into_iter().rev() {
        let mut arm = Vec::with_capacity(body.len() + rest.len() + 2);
        let Some(condition) = condition else {
            rest = body;
            continue;
        };
        let has_rest = !rest.is_empty();
        arm.push(Instruction::Unless(
            Arc::new(condition),
            body.len() + usize::from(has_rest),
            origin.clone(),
        ));
        arm.extend(body);
        if has_rest {
            arm.push(Instruction::Skip(rest.len()));
        }
        arm.append(&mut rest);
        rest = arm;
    }
    compiled.instructions.append(&mut rest);
}
