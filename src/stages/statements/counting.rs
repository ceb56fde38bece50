//! What rate limits and quotas have in common: keys, increments, parts for APIs and operations.

use super::{args::Args, compiler::StatementCompiler};
use crate::{
    base::expr::Usage,
    config::{codes, suggest},
    stages::program::{Context, Failure, Template, template::usage_of},
};
use std::sync::Arc;

/// Longest counter key.
const MAX_KEY_BYTES: usize = 1024;

/// The text of a counter key.
pub(super) fn counter_key(template: &Template, context: &Context<'_>) -> Result<Arc<str>, Failure> {
    let key = template.text_or_empty(context)?;
    if key.len() > MAX_KEY_BYTES {
        return Err(Failure::statement("a counter key is longer than 1 KiB"));
    }
    Ok(key)
}

/// How much a call counts; `None`: it is known with the response.
#[derive(Clone, Debug)]
pub(super) struct Increment {
    pub(super) condition: Option<Template>,
    pub(super) count: Option<Template>,
}

impl Increment {
    pub(super) fn usage(&self) -> Usage {
        usage_of(self.condition.iter().chain(&self.count))
    }

    /// What it reads before the response is known; the body of the request is kept for an increment that waits.
    pub(super) fn usage_at_once(&self) -> Usage {
        let mut usage = self.usage();
        usage.response_body &= !usage.response;
        usage
    }

    pub(super) fn value(&self, context: &Context<'_>) -> Result<u64, Failure> {
        let counts = self.condition.as_ref().map_or(Ok(true), |condition| condition.bool_value(context))?;
        let count = self.count.as_ref().map_or(Ok(1), |count| count.int(context))?;
        Ok(if counts { u64::try_from(count).unwrap_or(0) } else { 0 })
    }

    pub(super) fn at_once(&self, context: &Context<'_>) -> Result<Option<u64>, Failure> {
        if self.usage().response { Ok(None) } else { self.value(context).map(Some) }
    }
}

/// A limit of an API or an operation, in addition to the whole.
#[derive(Clone, Debug)]
pub(super) struct PartLimit {
    /// In lower case; ids and display names.
    pub(super) api: String,
    pub(super) operation: Option<String>,
    pub(super) calls: Option<u64>,
    pub(super) bandwidth: Option<u64>,
    pub(super) period: u64,
}

/// The limits of APIs and operations; `None` after a diagnostic.
pub(super) fn parts(apis: &[Args], compiler: &mut StatementCompiler<'_, '_>) -> Option<Vec<PartLimit>> {
    let mut all = Vec::new();
    for api in apis {
        let id = part_name(api, compiler)?;
        if let Some(known) = &compiler.facts.apis
            && known.get(&id).is_none()
        {
            let diagnostic =
                compiler.diagnostics.error(codes::UNKNOWN_ENTITY, api.span, format!("unknown API \"{id}\""));
            match known.near(&id) {
                Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
                None => diagnostic.help("set `id`, or `name` with the DisplayName of the API"),
            };
            return None;
        }
        all.push(part(api, &id, None, compiler)?);
        for operation in api.objects("operations") {
            let name = part_name(operation, compiler)?;
            check_operation(&id, &name, operation, compiler)?;
            all.push(part(operation, &id, Some(name), compiler)?);
        }
    }
    Some(all)
}

/// Reports an operation that its API does not have.
fn check_operation(
    api: &str,
    name: &str,
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<()> {
    let Some(known) = compiler.facts.operations.get(api) else { return Some(()) };
    let names = || known.iter().flat_map(|one| [one.id.as_str(), one.name.as_str()]);
    if names().any(|known| known.to_lowercase() == name) {
        return Some(());
    }
    let message = format!("the API \"{api}\" has no operation \"{name}\"");
    let diagnostic = compiler.diagnostics.error(codes::UNKNOWN_ENTITY, args.span, message);
    match suggest::closest_match(name, names()) {
        Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
        None => diagnostic.help("set `id`, or `name` with the DisplayName of the operation"),
    };
    None
}

fn part_name(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<String> {
    if args.has("id") && args.has("name") {
        let message = "a limit has either `id` or `name`";
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("name"), message);
        return None;
    }
    let name = args.text("id").or(args.text("name")).map(|name| name.to_lowercase());
    if name.is_none() {
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span, "a limit needs `id` or `name`");
    }
    name
}

fn part(
    args: &Args,
    api: &str,
    operation: Option<String>,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<PartLimit> {
    let whole = |name: &str| args.number(name).map(|n| n as u64);
    let (calls, bandwidth) = (whole("calls"), whole("bandwidth").map(|kib| kib * 1024));
    if calls.is_none() && bandwidth.is_none() {
        compiler.diagnostics.error(
            codes::POLICY_ATTRIBUTE,
            args.span,
            "a quota needs `calls` or `bandwidth`",
        );
        return None;
    }
    let period = whole("renewal-period").unwrap_or(0);
    Some(PartLimit { api: api.to_owned(), operation, calls, bandwidth, period })
}

impl PartLimit {
    pub(super) fn applies(&self, context: &Context<'_>) -> bool {
        let Some(target) = context.operation else { return false };
        let is =
            |known: &str, id: &str, name: &str| id.to_lowercase() == *known || name.to_lowercase() == *known;
        is(&self.api, &target.api.base_id, &target.api.name)
            && self.operation.as_ref().is_none_or(|known| {
                target.operation.as_ref().is_some_and(|operation| is(known, &operation.id, &operation.name))
            })
    }

    pub(super) fn key(&self) -> String {
        format!("{}\n{}", self.api, self.operation.as_deref().unwrap_or_default())
    }
}
