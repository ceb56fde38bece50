//! The attributes of a statement, compiled.

use crate::{
    config::Span,
    stages::program::{Instruction, Origin, Template},
};
use std::sync::Arc;

/// The attributes of one statement.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub span: Span,
    pub origin: Option<Arc<Origin>>,
    pub(super) values: Vec<(&'static str, Arg)>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Template(Template, Span),
    Templates(Vec<Template>),
    Object(Args),
    Objects(Vec<Args>),
    Block(Arc<[Instruction]>),
}

impl Args {
    fn get(&self, name: &str) -> Option<&Arg> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, arg)| arg)
    }

    /// The value of an attribute.
    pub fn template(&self, name: &str) -> Option<Template> {
        match self.get(name)? {
            Arg::Template(template, _) => Some(template.clone()),
            Arg::Templates(all) => all.first().cloned(),
            _ => None,
        }
    }

    /// Where an attribute was written.
    pub fn span_of(&self, name: &str) -> Span {
        match self.get(name) {
            Some(Arg::Template(_, span)) => *span,
            _ => self.span,
        }
    }

    /// The value of a required attribute; null after a diagnostic.
    pub fn required(&self, name: &str) -> Template {
        self.template(name).unwrap_or_default()
    }

    /// The values of a list.
    pub fn templates(&self, name: &str) -> Option<Vec<Template>> {
        match self.get(name)? {
            Arg::Templates(all) => Some(all.clone()),
            Arg::Template(one, _) => Some(vec![one.clone()]),
            _ => None,
        }
    }

    /// A literal text.
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.template(name)?.literal_text()
    }

    /// A literal boolean.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        let text = self.text(name);
        text.map_or(default, |text| text.eq_ignore_ascii_case("true"))
    }

    /// A literal number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.template(name)?.literal_number()
    }

    /// The members of an object.
    pub fn object(&self, name: &str) -> Option<&Args> {
        match self.get(name)? {
            Arg::Object(args) => Some(args),
            _ => None,
        }
    }

    /// The objects of a list.
    pub fn objects(&self, name: &str) -> &[Args] {
        match self.get(name) {
            Some(Arg::Objects(all)) => all,
            Some(Arg::Object(one)) => std::slice::from_ref(one),
            _ => &[],
        }
    }

    /// The statements in it.
    pub fn block(&self, name: &str) -> Arc<[Instruction]> {
        match self.get(name) {
            Some(Arg::Block(block)) => block.clone(),
            _ => Arc::from([]),
        }
    }

    /// Whether an attribute was written.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
