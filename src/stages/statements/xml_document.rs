//! Policy documents in XML, as the JSON form of the same document; the table of statements says how.

use super::{
    csharp,
    schema::{Attribute, Kind, find},
    spec::Spec,
    table,
    xml_reader::{Element, read_xml},
};
use crate::config::{
    Diagnostics, FileId, Node, Span, Spanned, codes,
    node::{Member, Value as NodeValue},
};

/// Elements whose content may contain markup.
const RAW: [&str; 2] = ["set-body", "cross-domain"];

/// The document of an XML text; `None` after a diagnostic.
pub fn xml_document(file: FileId, text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    let reader = XmlConverter { file };
    match read_xml(text, &RAW) {
        Ok(root) if ["policies", "fragment"].contains(&root.name.as_str()) => Some(reader.document(&root)),
        Ok(root) => {
            let message = format!("expected `policies` or `fragment`, found `{}`", root.name);
            diagnostics.error(codes::POLICY_XML, reader.span(root.start, root.start + 1), message);
            None
        }
        Err(error) => {
            diagnostics.error(codes::POLICY_XML, reader.span(error.at, error.at + 1), error.message);
            None
        }
    }
}

/// Translates the C# in the texts of a document to CEL.
pub fn translate_expressions(
    node: &mut Node,
    is_secret: &dyn Fn(Span) -> bool,
    diagnostics: &mut Diagnostics,
) {
    let span = node.span;
    if let Some(items) = node.items_mut() {
        items.iter_mut().for_each(|item| translate_expressions(item, is_secret, diagnostics));
        return;
    }
    if let Some(members) = node.members_mut() {
        let values = members.iter_mut().map(|member| &mut member.value);
        values.for_each(|value| translate_expressions(value, is_secret, diagnostics));
        return;
    }
    let Some(text) = node.as_str().map(str::trim) else { return };
    if !text.starts_with("@(") && !text.starts_with("@{") {
        return;
    }
    match csharp::translate(text) {
        Ok(cel) => node.value = NodeValue::String(cel.into()),
        Err(reason) => {
            let message = match is_secret(span) {
                true => "the C# expression cannot be translated".to_owned(),
                false => format!("the C# expression cannot be translated: {reason}"),
            };
            diagnostics
                .error(codes::POLICY_EXPRESSION, span, message)
                .help("write the document in JSON, with the expression in CEL");
            node.value = NodeValue::Null;
        }
    }
}

struct XmlConverter {
    file: FileId,
}

impl XmlConverter {
    fn span(&self, start: usize, end: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: offset(start), end: offset(end) }
    }

    fn of(&self, element: &Element) -> Span {
        self.span(element.start, element.end)
    }

    fn member(&self, name: &str, at: Span, value: Node) -> Member {
        let end = at.start + 1;
        Member { key: Spanned::new(name.into(), Span { end, ..at }), value }
    }

    fn list(&self, element: &Element, items: Vec<Node>) -> Node {
        Node::new(self.of(element), NodeValue::Array(items))
    }

    fn text(&self, element: &Element) -> Node {
        let start = if element.text.is_empty() { element.start } else { element.text_start };
        Node::new(self.span(start, element.end), NodeValue::String(element.text.as_str().into()))
    }

    fn document(&self, root: &Element) -> Node {
        let members = if root.name == "fragment" {
            let statements = self.list(root, self.statements(&root.children));
            vec![self.member("statements", self.of(root), statements)]
        } else {
            let section = |section: &Element| {
                let list = self.list(section, self.statements(&section.children));
                self.member(&section.name, self.of(section), list)
            };
            root.children.iter().map(section).collect()
        };
        Node::new(self.of(root), NodeValue::Object(members))
    }

    fn statements(&self, elements: &[Element]) -> Vec<Node> {
        elements.iter().map(|element| self.statement(element)).collect()
    }

    fn statement(&self, element: &Element) -> Node {
        let span = self.of(element);
        let name = element.name.to_ascii_lowercase();
        if name == "base" {
            return Node::new(span, NodeValue::String("base".into()));
        }
        let spec = table::find(&name);
        let value = match name.as_str() {
            "choose" => self.choose(element),
            _ => self.value(element, spec),
        };
        let mut members = vec![self.member(&element.name, span, value)];
        let own_id = spec.is_none_or(|spec| spec.attribute("id").is_none());
        if let Some(id) = element.attributes.iter().find(|one| one.name == "id").filter(|_| own_id) {
            let at = self.span(id.start, id.end);
            members.push(self.member("id", at, Node::new(at, NodeValue::String(id.value.as_str().into()))));
        }
        Node::new(span, NodeValue::Object(members))
    }

    fn choose(&self, element: &Element) -> Node {
        let arm = |arm: &Element| {
            let span = self.of(arm);
            let body = self.list(arm, self.statements(&arm.children));
            let condition = arm.attributes.iter().find(|one| one.name == "condition");
            let mut members = match (arm.name.as_str(), condition) {
                ("when", Some(condition)) => {
                    let at = self.span(condition.start, condition.end);
                    let text = NodeValue::String(condition.value.as_str().into());
                    vec![self.member("when", at, Node::new(at, text)), self.member("do", span, body)]
                }
                ("when", None) => vec![self.member("do", span, body)],
                (name, _) => vec![self.member(name, span, body)],
            };
            self.add_attributes(arm, &mut members);
            members.retain(|member| &*member.key.value != "condition");
            Node::new(span, NodeValue::Object(members))
        };
        self.list(element, element.children.iter().map(arm).collect())
    }

    /// The value of a statement.
    fn value(&self, element: &Element, spec: Option<&Spec>) -> Node {
        let attributes = spec.map_or(&[][..], |spec| spec.attributes);
        let bare = spec.and_then(|spec| spec.bare);
        let mut members = self.object(element, attributes, bare);
        if spec.is_none_or(|spec| spec.attribute("id").is_none()) {
            members.retain(|member| &*member.key.value != "id");
        }
        Node::new(self.of(element), NodeValue::Object(members))
    }

    /// The attributes, children and text of an element as members.
    fn object(
        &self,
        element: &Element,
        attributes: &'static [Attribute],
        bare: Option<&'static str>,
    ) -> Vec<Member> {
        let mut members = Vec::new();
        self.add_attributes(element, &mut members);
        if !element.text.is_empty() {
            let name = bare.or_else(|| find(attributes, "value").map(|attribute| attribute.name));
            members.push(self.member(name.unwrap_or("text"), self.of(element), self.text(element)));
        }
        let body = attributes.iter().find(|attribute| matches!(attribute.kind, Kind::Statements));
        let mut statements = Vec::new();
        for child in &element.children {
            match (named(attributes, &child.name), body) {
                (Some((attribute, is_item)), _) => {
                    self.add_child(child, attribute, is_item, &mut members);
                }
                (None, Some(_)) => statements.push(self.statement(child)),
                (None, None) => members.push(self.member(&child.name, self.of(child), self.text(child))),
            }
        }
        if let Some(body) = body {
            let list = self.list(element, statements);
            members.push(self.member(body.name, self.of(element), list));
        }
        members
    }

    fn add_attributes(&self, element: &Element, members: &mut Vec<Member>) {
        for one in &element.attributes {
            let at = self.span(one.start, one.end);
            let value = Node::new(at, NodeValue::String(one.value.as_str().into()));
            members.push(self.member(&one.name, at, value));
        }
    }

    /// Adds a child that stands for an attribute, or for an item of one.
    fn add_child(
        &self,
        child: &Element,
        attribute: &'static Attribute,
        is_item: bool,
        members: &mut Vec<Member>,
    ) {
        // `<openid-config url="..."/>`: an element without container is an item.
        let is_item = is_item || matches!(attribute.kind, Kind::Objects(inner) if is_item_of(child, inner));
        // `<allowed-methods preflight-result-max-age="60">`: attributes of a container belong to the statement.
        let has_attributes = is_item && matches!(attribute.kind, Kind::Objects(_))
            || matches!(attribute.kind, Kind::Inner(_) | Kind::InnerList(_) | Kind::Object(_));
        if !has_attributes {
            self.add_attributes(child, members);
        }
        if matches!(attribute.kind, Kind::Texts) {
            child.children.iter().for_each(|item| self.add_attributes(item, members));
        }
        let Some(items) = self.items(child, attribute, is_item) else {
            let value = match attribute.kind {
                Kind::Inner(name) => self.value(child, table::find(name)),
                Kind::Object(inner) => self.item(child, inner),
                _ => self.text(child),
            };
            members.push(self.member(attribute.name, self.of(child), value));
            return;
        };
        let known = members.iter_mut().find(|member| &*member.key.value == attribute.name);
        match known.and_then(|member| member.value.items_mut()) {
            Some(list) => list.extend(items),
            None => members.push(self.member(attribute.name, self.of(child), self.list(child, items))),
        }
    }

    /// The items of a list; `None`: the attribute is one value.
    fn items(&self, child: &Element, attribute: &Attribute, is_item: bool) -> Option<Vec<Node>> {
        Some(match attribute.kind {
            Kind::Texts if child.children.is_empty() => vec![self.text(child)],
            Kind::Texts => child.children.iter().map(|item| self.text(item)).collect(),
            Kind::Objects(inner) if is_item => vec![self.item(child, inner)],
            Kind::Objects(inner) => child.children.iter().map(|item| self.item(item, inner)).collect(),
            Kind::InnerList(name) => vec![self.value(child, table::find(name))],
            _ => return None,
        })
    }

    fn item(&self, element: &Element, attributes: &'static [Attribute]) -> Node {
        Node::new(self.of(element), NodeValue::Object(self.object(element, attributes, None)))
    }
}

/// Whether an element is an item of a list of objects rather than their container.
fn is_item_of(element: &Element, attributes: &'static [Attribute]) -> bool {
    element.children.is_empty() && element.attributes.iter().any(|one| find(attributes, &one.name).is_some())
}

/// The attribute that a child element stands for, and whether the child is one item of it.
fn named(attributes: &'static [Attribute], name: &str) -> Option<(&'static Attribute, bool)> {
    if let Some(attribute) = find(attributes, name) {
        return Some((attribute, matches!(attribute.kind, Kind::InnerList(_))));
    }
    let plurals = [
        format!("{name}s"),
        format!("{name}es"),
        name.strip_suffix('y').map_or_else(String::new, |start| format!("{start}ies")),
    ];
    plurals.iter().find_map(|plural| Some((find(attributes, plural)?, true)))
}
