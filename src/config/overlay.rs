//! Lays a tree over another one as .NET configuration does: objects are merged by name, lists by index, and a single
//! value replaces another one. The upper tree is that of `ocelot.Production.json`, or of environment variables such as
//! `Routes__0__DownstreamHostAndPorts__0__Host`.

use super::codes;
use super::diagnostics::Diagnostics;
use super::dotnet::path_of_variable;
use super::node::{Member, Node, Value};
use super::source::Sources;
use super::span::{FileId, Span, Spanned};

/// Lays a document over another one.
pub fn overlay(base: &mut Node, upper: Node, diagnostics: &mut Diagnostics) {
    if !matches!(upper.value, Value::Object(_)) {
        let message = format!("configuration: expected an object, found {}", upper.type_name());
        diagnostics.error(codes::WRONG_TYPE, upper.span, message);
    } else if matches!(base.value, Value::Object(_)) {
        overlay_value(base, upper, diagnostics);
    }
}

fn overlay_value(base: &mut Node, upper: Node, diagnostics: &mut Diagnostics) {
    let has_children = !is_empty(base);
    match (&mut base.value, upper.value) {
        (Value::Object(members), Value::Object(uppers)) => {
            uppers.into_iter().for_each(|upper| overlay_member(members, upper, diagnostics));
        }
        (Value::Object(members), Value::Array(uppers)) => {
            for (index, value) in uppers.into_iter().enumerate() {
                let key = Spanned::new(index.to_string().into(), value.span);
                overlay_member(members, Member { key, value }, diagnostics);
            }
        }
        (Value::Array(items), Value::Array(uppers)) => {
            for (index, upper) in uppers.into_iter().enumerate() {
                overlay_item(items, Some(index), upper, diagnostics);
            }
        }
        (Value::Array(items), Value::Object(mut uppers)) => {
            uppers.sort_by_key(|member| index_of(member).unwrap_or(usize::MAX));
            for upper in uppers {
                overlay_item(items, index_of(&upper), upper.value, diagnostics);
            }
        }
        // In .NET the children of a section remain when the section gets a value.
        (Value::Object(_) | Value::Array(_), value) if has_children => {
            report_without_effect(base, &Node { value, ..upper }, diagnostics);
        }
        (Value::Object(_) | Value::Array(_), Value::Null) => {}
        (_, value) => *base = with_lists(Node { value, ..upper }),
    }
}

fn overlay_member(members: &mut Vec<Member>, upper: Member, diagnostics: &mut Diagnostics) {
    match members.iter_mut().find(|member| member.key.value.eq_ignore_ascii_case(&upper.key.value)) {
        Some(member) => overlay_value(&mut member.value, upper.value, diagnostics),
        None => members.push(Member { value: with_lists(upper.value), ..upper }),
    }
}

fn overlay_item(items: &mut Vec<Node>, index: Option<usize>, upper: Node, diagnostics: &mut Diagnostics) {
    match index.and_then(|index| items.get_mut(index)) {
        Some(item) => overlay_value(item, upper, diagnostics),
        None => items.push(with_lists(upper)),
    }
}

fn is_empty(node: &Node) -> bool {
    node.members().is_empty() && node.items().is_empty()
}

/// The index that a name is; `None` for other names, and for `00`, which is another name than `0`.
fn index_of(member: &Member) -> Option<usize> {
    let name = &*member.key.value;
    name.parse().ok().filter(|index: &usize| index.to_string() == name)
}

fn report_without_effect(base: &Node, upper: &Node, diagnostics: &mut Diagnostics) {
    let (kind, help) = match base.value {
        Value::Array(_) => ("the list", "name its items by their index: 0, 1, 2"),
        _ => ("the object", "name the settings of the object"),
    };
    let value = if upper.is_null() { "null" } else { "a single value" };
    diagnostics
        .warning(
            codes::OVERLAY_WITHOUT_EFFECT,
            upper.span,
            format!("{value} has no effect: {kind} of the file below remains"),
        )
        .help(help);
}

/// Objects of variables whose names are all indexes become lists; values of files have brackets.
fn with_lists(mut node: Node) -> Node {
    let Value::Object(members) = &mut node.value else { return node };
    if !node.interpolated || members.is_empty() {
        return node;
    }
    let mut members = std::mem::take(members);
    let is_list = members.iter().all(|member| index_of(member).is_some());
    members.sort_by_key(|member| index_of(member).unwrap_or(usize::MAX));
    let children = members.into_iter().map(|member| Member { value: with_lists(member.value), ..member });
    node.value = match is_list {
        true => Value::Array(children.map(|member| member.value).collect()),
        false => Value::Object(children.collect()),
    };
    node
}

/// The variables as a tree; `None`: there are none. Diagnostics contain their names only, because a value may be a secret.
pub fn variables_as_tree(variables: Vec<(String, String)>, sources: &mut Sources) -> Option<Node> {
    if variables.is_empty() {
        return None;
    }
    let file = sources.add_variables(variables.iter().map(|(name, _)| name.as_str()));
    let mut root = variable_node(Value::Object(Vec::new()), span(file, 0, 0));
    let mut start = 0;
    for (name, value) in &variables {
        insert(&mut root, name, value, span(file, start, name.len()));
        start += name.len() + 1;
    }
    Some(root)
}

fn span(file: FileId, start: usize, length: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(start), end: offset(start + length) }
}

/// Adds the value of a variable. The children of a section hide its own value, as in .NET.
fn insert(root: &mut Node, name: &str, text: &str, span: Span) {
    let mut place = root;
    for part in path_of_variable(name) {
        if !matches!(place.value, Value::Object(_)) {
            place.value = Value::Object(Vec::new());
        }
        let Value::Object(members) = &mut place.value else { return };
        let known = members.iter().position(|member| member.key.value.eq_ignore_ascii_case(part));
        let index = known.unwrap_or_else(|| {
            let value = variable_node(Value::Object(Vec::new()), span);
            members.push(Member { key: Spanned::new(part.into(), span), value });
            members.len() - 1
        });
        place = &mut members[index].value;
    }
    if place.members().is_empty() {
        *place = variable_node(Value::String(text.into()), span);
    }
}

fn variable_node(value: Value, span: Span) -> Node {
    Node { span, interpolated: true, value }
}
