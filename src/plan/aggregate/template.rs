//! `Aggregator` and `Formats`: responses rendered by a template.

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use std::{fmt, io, sync::Arc};

/// Maximum bytes of a template.
pub const MAX_TEMPLATE: usize = 64 * 1024;
/// Instructions of one rendering: a template over a long list needs a few for each item.
const MAX_INSTRUCTIONS: u64 = 500_000;
const NAME: &str = "template";

/// A compiled template.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
}

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    Json,
    Html,
    None,
}

impl Escaping {
    /// The escaping for a media type.
    pub fn escaping_for(media: &str) -> Escaping {
        let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "application/json" || kind.ends_with("+json") {
            Escaping::Json
        } else if kind == "text/html" || kind.ends_with("/xml") || kind.ends_with("+xml") {
            Escaping::Html
        } else {
            Escaping::None
        }
    }
}

/// An error in a template, and its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    pub line: usize,
    pub message: String,
}

impl TemplateError {
    fn escaping_for(error: &minijinja::Error) -> TemplateError {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        TemplateError { line: error.line().unwrap_or(1), message }
    }
}

impl Template {
    /// Compiles a template.
    pub fn compile(source: &str, escaping: Escaping) -> Result<Template, TemplateError> {
        if source.len() > MAX_TEMPLATE {
            let what = format!("the template is longer than {MAX_TEMPLATE} bytes");
            return Err(TemplateError { line: 1, message: what });
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(MAX_INSTRUCTIONS));
        environment.set_auto_escape_callback(move |_| match escaping {
            Escaping::Json => AutoEscape::Json,
            Escaping::Html => AutoEscape::Html,
            Escaping::None => AutoEscape::None,
        });
        let added = environment.add_template_owned(NAME, source.to_owned());
        added.map_err(|error| TemplateError::escaping_for(&error))?;
        let template = Template { environment: Arc::new(environment) };
        template.validate_calls()?;
        Ok(template)
    }

    /// Renders once with an empty context: unknown filters and functions are detected only when they are called.
    fn validate_calls(&self) -> Result<(), TemplateError> {
        let unknown = [
            ErrorKind::UnknownFilter,
            ErrorKind::UnknownFunction,
            ErrorKind::UnknownTest,
            ErrorKind::TemplateNotFound,
        ];
        match self.environment.get_template(NAME).and_then(|template| template.render(Value::from(()))) {
            Err(error) if unknown.contains(&error.kind()) => Err(TemplateError::escaping_for(&error)),
            _ => Ok(()),
        }
    }

    /// Renders the template; the error is one of the template, or reports that the result is too long.
    pub fn render(&self, context: Value, max: usize) -> Result<Vec<u8>, RenderError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| RenderError::Template(TemplateError::escaping_for(&error)))?;
        let mut out = BoundedWriter { bytes: Vec::new(), max_bytes: max, full: false };
        match template.render_captured_to(context, &mut out) {
            Ok(_) => Ok(out.bytes),
            Err(_) if out.full => Err(RenderError::TooLong),
            Err(error) => Err(RenderError::Template(TemplateError::escaping_for(&error))),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Template")
    }
}

/// Why rendering failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("{0}")]
    Template(TemplateError),
    #[error("the text is too long")]
    TooLong,
}

/// A writer that accepts at most `max` bytes.
struct BoundedWriter {
    bytes: Vec<u8>,
    max_bytes: usize,
    full: bool,
}

impl io::Write for BoundedWriter {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.full = part.len() > self.max_bytes - self.bytes.len();
        if self.full {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(source: &str, escaping: Escaping) -> Result<String, RenderError> {
        let parts = json!({"user": {"name": "A\"<b>", "tags": ["x", "y"]}, "reviews": null});
        let context = minijinja::context! { parts => minijinja::value::Serde(&parts) };
        let template =
            Template::compile(source, escaping).unwrap_or_else(|error| panic!("{source}: {error}"));
        template.render(context, 200).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn values_are_escaped_for_the_media_type() {
        let name = "{{ parts.user.name }}";
        assert_eq!(rendered(name, Escaping::escaping_for("application/json")).unwrap(), r#""A\"<b>""#);
        assert_eq!(
            rendered(name, Escaping::escaping_for("text/html; charset=utf-8")).unwrap(),
            "A&quot;&lt;b&gt;"
        );
        assert_eq!(rendered(name, Escaping::escaping_for("text/plain")).unwrap(), "A\"<b>");
        assert_eq!(Escaping::escaping_for("application/hal+JSON"), Escaping::Json);
        assert_eq!(
            rendered(r#"{"t": {{ parts.user.tags }}}"#, Escaping::Json).unwrap(),
            r#"{"t": ["x","y"]}"#
        );
    }

    #[test]
    fn a_missing_part_is_null_at_any_depth() {
        assert_eq!(rendered("{{ parts.reviews.summary.average }}", Escaping::Json).unwrap(), "null");
        assert_eq!(
            rendered("[{% for r in parts.reviews.all %}{{ r }}{% endfor %}]", Escaping::Json).unwrap(),
            "[]"
        );
    }

    #[test]
    fn errors_are_found_before_the_first_request() {
        let compile_error = |source: &str| Template::compile(source, Escaping::Json).unwrap_err();
        assert_eq!(compile_error("{\n{% if %}").line, 2);
        assert!(compile_error("{{ parts|nonsense }}").message.contains("nonsense"));
        assert!(compile_error("{% include 'other' %}").message.contains("other"));
        assert!(compile_error(&"x".repeat(MAX_TEMPLATE + 1)).message.contains("65536"));
    }

    #[test]
    fn time_and_space_are_bounded() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(matches!(rendered(loops, Escaping::None), Err(RenderError::Template(_))));
        assert_eq!(
            rendered("{% for a in range(99) %}xxx{% endfor %}", Escaping::None),
            Err(RenderError::TooLong)
        );
    }
}
