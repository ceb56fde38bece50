//! The attributes of statements: known names, types, ranges, statements inside statements.

use super::{
    args::{Arg, Args},
    compiler::StatementCompiler,
    schema::{Attribute, Kind, find},
    spec::Spec,
    table,
};
use crate::{
    config::{Node, Spanned, codes, node::Value as NodeValue, suggest},
    stages::program::Origin,
};
use std::sync::Arc;

impl StatementCompiler<'_, '_> {
    /// The attributes of a statement.
    pub(super) fn args(
        &mut self,
        item: &Node,
        spec: &'static Spec,
        value: Option<&Node>,
        origin: &Arc<Origin>,
    ) -> Option<Args> {
        let nothing = Node::empty_object(item.span);
        let value = value.unwrap_or(&nothing);
        let mut args = match (&value.value, spec.bare) {
            (NodeValue::Object(_), bare) if !is_let(value, bare) => {
                self.members(value, spec.name, spec.attributes)?
            }
            (NodeValue::Null, None) => self.members(&nothing, spec.name, spec.attributes)?,
            (_, Some(name)) => {
                let attribute = spec.attribute(name)?;
                let arg = self.arg(value, attribute)?;
                Args { span: value.span, origin: None, values: vec![(attribute.name, arg)] }
            }
            _ => {
                let message = format!("`{}`: expected an object, found {}", spec.name, value.type_name());
                self.diagnostics.error(codes::WRONG_TYPE, value.span, message);
                return None;
            }
        };
        args.origin = Some(origin.clone());
        Some(args)
    }

    /// The members of an object with these attributes.
    fn members(&mut self, node: &Node, owner: &str, attributes: &'static [Attribute]) -> Option<Args> {
        let mut args = Args { span: node.span, ..Args::default() };
        let mut is_sound = true;
        for member in node.members() {
            let name = &*member.key.value;
            if name.starts_with("//")
                || name.starts_with("x-")
                || name == "id" && find(attributes, "id").is_none()
            {
                continue;
            }
            let Some(attribute) = find(attributes, name) else {
                self.unknown_attribute(&member.key, owner, attributes);
                is_sound = false;
                continue;
            };
            match self.arg(&member.value, attribute) {
                Some(arg) => args.values.push((attribute.name, arg)),
                None => is_sound = false,
            }
        }
        for attribute in attributes.iter().filter(|attribute| attribute.is_required) {
            if node.get_ignore_case(attribute.name).is_none() {
                let message = format!("`{owner}` needs `{}`", attribute.name);
                self.diagnostics.error(codes::POLICY_ATTRIBUTE, node.span, message).help(attribute.about);
                is_sound = false;
            }
        }
        is_sound.then_some(args)
    }

    fn unknown_attribute(&mut self, key: &Spanned<Box<str>>, owner: &str, attributes: &'static [Attribute]) {
        let diagnostic = self.diagnostics.error(
            codes::UNKNOWN_KEY,
            key.span,
            format!("unknown attribute `{}` of `{owner}`", key.value),
        );
        let names: Vec<&str> = attributes.iter().map(|attribute| attribute.name).collect();
        match suggest::closest_match(&key.value, names.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("it has {}", suggest::list(&names))),
        };
    }

    fn arg(&mut self, node: &Node, attribute: &'static Attribute) -> Option<Arg> {
        match attribute.kind {
            Kind::Texts => {
                let items = if let NodeValue::Array(items) = &node.value {
                    items.as_slice()
                } else {
                    std::slice::from_ref(node)
                };
                let one = Attribute { kind: Kind::Text, ..*attribute };
                let all = items.iter().map(|item| self.template(item, &one));
                Some(Arg::Templates(all.collect::<Option<Vec<_>>>()?))
            }
            Kind::Object(attributes) => self.members(node, attribute.name, attributes).map(Arg::Object),
            Kind::Objects(attributes) => self.objects(node, attribute, attributes),
            Kind::Inner(name) => self.inner(node, name).map(Arg::Object),
            Kind::InnerList(name) => {
                let items = if let NodeValue::Array(items) = &node.value {
                    items.as_slice()
                } else {
                    std::slice::from_ref(node)
                };
                let all = items.iter().map(|item| self.inner(item, name));
                Some(Arg::Objects(all.collect::<Option<Vec<_>>>()?))
            }
            Kind::NotYet => {
                let message = format!("`{}` is not supported yet", attribute.name);
                self.diagnostics.error(codes::POLICY_NOT_YET, node.span, message).help(attribute.about);
                None
            }
            Kind::Statements => {
                let NodeValue::Array(items) = &node.value else {
                    self.wrong_type(node, attribute);
                    return None;
                };
                Some(Arg::Block(self.list(items).instructions.into()))
            }
            _ => self.template(node, attribute).map(|template| Arg::Template(template, node.span)),
        }
    }

    fn objects(
        &mut self,
        node: &Node,
        attribute: &'static Attribute,
        attributes: &'static [Attribute],
    ) -> Option<Arg> {
        let NodeValue::Array(items) = &node.value else {
            self.wrong_type(node, attribute);
            return None;
        };
        let all = items.iter().map(|item| match item.value {
            NodeValue::Object(_) => self.members(item, attribute.name, attributes),
            _ => {
                self.diagnostics.error(
                    codes::WRONG_TYPE,
                    item.span,
                    format!("`{}`: expected an object, found {}", attribute.name, item.type_name()),
                );
                None
            }
        });
        Some(Arg::Objects(all.collect::<Option<Vec<_>>>()?))
    }

    /// A statement that stands inside another one as a member.
    fn inner(&mut self, node: &Node, name: &str) -> Option<Args> {
        let spec = table::find(name)?;
        let origin = Arc::new(Origin {
            scope: self.scope,
            file: self.file.clone(),
            pointer: String::new(),
            span: node.span,
            path: self.prefix.clone(),
            id: String::new(),
            statement: spec.name,
        });
        self.args(node, spec, Some(node), &origin)
    }
}

/// Whether an object is the `let` form of the attribute that a bare text sets.
fn is_let(node: &Node, bare: Option<&str>) -> bool {
    bare.is_some() && node.get_ignore_case("let").is_some()
}
