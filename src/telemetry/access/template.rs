//! Lines rendered by a template, on the writer thread: a request costs what the JSON form costs.

use super::output::LogOutput;
use minijinja::{Environment, UndefinedBehavior, Value, value::Serde};
use std::{collections::HashSet, time::Duration};

/// Maximum bytes of a template.
const MAX_TEMPLATE_BYTES: usize = 16 * 1024;
/// Instructions of one line.
const MAX_INSTRUCTIONS: u64 = 50_000;
const NAME: &str = "line";

/// The members of the JSON form, which are the variables of a template.
pub const VARIABLES: &[&str] = &[
    "time",
    "id",
    "trace_id",
    "span_id",
    "listener",
    "client_ip",
    "method",
    "host",
    "path",
    "query",
    "user",
    "route",
    "status",
    "error_code",
    "leg",
    "stage",
    "cluster",
    "endpoint",
    "backend_status",
    "attempts",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "gateway_duration_ms",
    "backend_duration_ms",
    "protocol",
    "tls",
    "request_headers",
    "response_headers",
];

/// A compiled template.
#[derive(Debug)]
pub struct LineTemplate(Environment<'static>);

impl LineTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn compile(source: &str) -> Result<LineTemplate, String> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("expected at most {MAX_TEMPLATE_BYTES} bytes, found {}", source.len()));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(MAX_INSTRUCTIONS));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| error.to_string())?;
        let template = LineTemplate(environment);
        template.render(&Value::from(Serde(serde_json::json!({ "status": 200 }))))?;
        Ok(template)
    }

    /// The variables that no record has.
    pub fn unknown_variables(&self) -> Vec<String> {
        let Ok(template) = self.0.get_template(NAME) else { return Vec::new() };
        let used: HashSet<String> = template.undeclared_variables(false);
        let globals: HashSet<&str> = self.0.globals().map(|(name, _)| name).collect();
        let is_unknown =
            |name: &String| !VARIABLES.contains(&name.as_str()) && !globals.contains(name.as_str());
        let mut unknown: Vec<String> = used.into_iter().filter(is_unknown).collect();
        unknown.sort_unstable();
        unknown
    }

    fn render(&self, record: &Value) -> Result<String, String> {
        let template = self.0.get_template(NAME).map_err(|error| error.to_string())?;
        template.render(record).map_err(|error| error.to_string())
    }

    /// Appends the line of a record in its JSON form; false if it cannot be rendered.
    fn render_line(&self, json: &[u8], lines: &mut Vec<u8>) -> bool {
        let Ok(record) = serde_json::from_slice::<serde_json::Value>(json) else { return false };
        let Ok(text) = self.render(&Value::from(Serde(&record))) else { return false };
        // No value of a request can begin a new line.
        lines.extend(text.bytes().map(|byte| if byte < 0x20 && byte != b'\t' { b' ' } else { byte }));
        lines.push(b'\n');
        true
    }
}

/// Renders the JSON lines of records.
pub(super) struct TemplateOutput {
    template: LineTemplate,
    to: Box<dyn LogOutput>,
    lines: Vec<u8>,
}

impl TemplateOutput {
    /// The lines are written to `to`.
    ///
    /// # Errors
    ///
    /// What is wrong with the template.
    pub(super) fn new(template: &str, to: Box<dyn LogOutput>) -> Result<TemplateOutput, String> {
        let template = LineTemplate::compile(template)?;
        Ok(TemplateOutput { template, to, lines: Vec::new() })
    }
}

impl LogOutput for TemplateOutput {
    fn write_lines(&mut self, lines: &[u8]) -> u64 {
        self.lines.clear();
        let mut lost = 0;
        for json in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lost += u64::from(!self.template.render_line(json, &mut self.lines));
        }
        lost + self.to.write_lines(&self.lines)
    }

    fn reopen(&mut self) {
        self.to.reopen();
    }

    fn batch_delay(&self) -> Duration {
        self.to.batch_delay()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    fn rendered(source: &str) -> String {
        let template = LineTemplate::compile(source).unwrap();
        let (mut json, mut lines) = (Vec::new(), Vec::new());
        let hostile = crate::telemetry::Record { path: b"/a\nb", ..record() };
        hostile.write_json(&mut json);
        assert!(template.render_line(&json, &mut lines));
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn a_template_has_the_members_of_the_json_form() {
        let line =
            rendered("{{ method }} {{ path }} {{ status }} {{ duration_ms }}{% if query %} ?{% endif %}");
        assert_eq!(line, "GET /a b 200 1.234\n");
        assert_eq!(rendered("{{ request_headers['user-agent'] | default('-') }}"), "-\n");
    }

    #[test]
    fn a_malformed_template_and_unknown_variables_are_found() {
        assert!(LineTemplate::compile("{{ method ").is_err());
        assert!(LineTemplate::compile("{{ method | nothing }}").is_err());
        let template = LineTemplate::compile("{{ methd }}{{ range(1) }}{{ status }}").unwrap();
        assert_eq!(template.unknown_variables(), ["methd"]);
    }

    #[test]
    fn every_member_of_a_complete_record_is_a_variable() {
        let mut json = Vec::new();
        let mut headers = crate::telemetry::HeaderValues::new();
        headers.push("a", b"b");
        crate::telemetry::Record {
            trace: Some(crate::telemetry::TraceIds::default()),
            query: Some(b"a=b"),
            user: "ann",
            error_code: "backend.reset",
            leg: Some(crate::telemetry::Leg::Backend),
            stage: "cache",
            request_headers: &headers,
            response_headers: &headers,
            ..record()
        }
        .write_json(&mut json);
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(names, VARIABLES);
    }
}
