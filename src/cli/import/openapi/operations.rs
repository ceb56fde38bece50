//! The operations of a document, in its order, with what they inherit from their path.

use super::reference::resolve;
use crate::cli::import::report::Report;
use crate::cli::import::values::{items, text};
use serde_json::Value;

const METHODS: [&str; 9] = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

/// One operation.
pub struct Operation<'d> {
    /// The key in `paths`.
    pub path: &'d str,
    /// Upper case.
    pub method: String,
    /// A JSON pointer.
    pub position: String,
    pub value: &'d Value,
    /// The parameters of the operation and of its path.
    pub parameters: Vec<&'d Value>,
    /// `servers` and the JSON pointer to them; `None`: those of the document.
    pub servers: Option<(&'d Value, String)>,
}

/// All operations of `paths`.
pub fn collect<'d>(root: &'d Value, report: &mut Report) -> Vec<Operation<'d>> {
    let mut operations = Vec::new();
    let paths = root.get("paths").and_then(Value::as_object).into_iter().flatten();
    for (path, item) in paths.filter(|(path, _)| !path.starts_with("x-")) {
        let position = format!("/paths/{}", path.replace('~', "~0").replace('/', "~1"));
        match resolve(root, item) {
            Ok(target) => collect_item(root, path, &position, (item, target), &mut operations, report),
            Err(reason) => report.skip(position, reason),
        }
    }
    operations
}

/// The operations of a path item; `item` is as written, with members next to a `$ref`, and its target.
fn collect_item<'d>(
    root: &'d Value,
    path: &'d str,
    position: &str,
    item: (&'d Value, &'d Value),
    operations: &mut Vec<Operation<'d>>,
    report: &mut Report,
) {
    let member = |name: &str| item.0.get(name).or_else(|| item.1.get(name)).filter(|value| !value.is_null());
    let shared: Vec<&Value> = resolve_all(root, member("parameters"), position, report);
    let additional = member("additionalOperations").and_then(Value::as_object).into_iter().flatten();
    let named = METHODS.iter().filter_map(|name| Some(((*name).to_owned(), *name, member(name)?)));
    let named = named.chain(
        additional.map(|(name, value)| (format!("additionalOperations/{name}"), name.as_str(), value)),
    );
    for (step, method, value) in named {
        let place = format!("{position}/{step}");
        if !value.is_object() {
            report.skip(place, "the operation is not an object");
            continue;
        }
        let mut parameters = resolve_all(root, value.get("parameters"), &place, report);
        let own: Vec<_> = parameters.iter().map(|parameter| identity(parameter)).collect();
        parameters.extend(shared.iter().filter(|parameter| !own.contains(&identity(parameter))));
        let servers = |value: &'d Value, place: &str| Some((value, format!("{place}/servers")));
        operations.push(Operation {
            path,
            method: method.to_ascii_uppercase(),
            servers: value
                .get("servers")
                .and_then(|list| servers(list, &place))
                .or_else(|| servers(member("servers")?, position)),
            position: place,
            value,
            parameters,
        });
    }
}

fn identity(parameter: &Value) -> (Option<String>, Option<String>) {
    (text(parameter, "name"), text(parameter, "in"))
}

fn resolve_all<'d>(
    root: &'d Value,
    list: Option<&'d Value>,
    position: &str,
    report: &mut Report,
) -> Vec<&'d Value> {
    let mut resolved = Vec::new();
    for parameter in items(list) {
        match resolve(root, parameter) {
            Ok(parameter) => resolved.push(parameter),
            Err(reason) => report.skip(position, format!("parameter: {reason}")),
        }
    }
    resolved
}

impl Operation<'_> {
    /// The names of the parameters at a place: `query`, `header`, `path`, `cookie`.
    pub fn parameter_names(&self, place: &str) -> impl Iterator<Item = String> {
        let at_place = self.parameters.iter().filter(|p| p.get("in").and_then(Value::as_str) == Some(place));
        at_place.filter_map(|parameter| text(parameter, "name")).collect::<Vec<_>>().into_iter()
    }
}
