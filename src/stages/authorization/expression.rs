//! `RouteClaimsExpression`: a condition in CEL (Common Expression Language), compiled with the plan.

use super::variables;
use crate::{
    base::percent::percent_decoded,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        identity::Identity,
    },
};
use cel::{Context, Env, ParseErrors, Program, Value};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
};

/// The variables of an expression.
pub const VARIABLES: [&str; 7] = ["claims", "claim_values", "scopes", "path", "method", "headers", "client"];

/// Longest expression in bytes: the recursion depth of the compiler is bounded by the length.
pub const MAX_EXPRESSION_BYTES: usize = 4096;

/// The CEL standard library, shared by all evaluations.
static CEL_ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition, compiled.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    program: Arc<Program>,
    /// Which of [`VARIABLES`] it uses: only those are computed.
    used_variables: [bool; VARIABLES.len()],
    /// The names of the route's parameters.
    names: Arc<[Box<str>]>,
}

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadExpression {
    pub message: String,
    /// An unknown variable.
    pub unknown: Option<String>,
}

impl Expression {
    /// Compiles a condition; `names` are the parameters of the route.
    pub fn compile(source: &str, names: &[Box<str>]) -> Result<Expression, BadExpression> {
        let bad = |message: String| BadExpression { message, unknown: None };
        if source.len() > MAX_EXPRESSION_BYTES {
            return Err(bad(format!("it is longer than {MAX_EXPRESSION_BYTES} bytes")));
        }
        let program = CEL_ENVIRONMENT.compile(source).map_err(|errors| bad(first_error(&errors)))?;
        let free = variables::free_variables(program.expression());
        if let Some(name) = free.iter().find(|name| !VARIABLES.contains(name)) {
            let (message, unknown) = (format!("unknown variable {name}"), Some((*name).to_owned()));
            return Err(BadExpression { message, unknown });
        }
        let used_variables = VARIABLES.map(|name| free.contains(&name));
        Ok(Expression {
            text: source.into(),
            program: Arc::new(program),
            used_variables,
            names: names.into(),
        })
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates the condition. An evaluation error counts as false.
    pub fn evaluate(&self, exchange: &Exchange) -> Result<(), GatewayError> {
        let mut context = Context::with_env(CEL_ENVIRONMENT.clone());
        for (name, used) in VARIABLES.iter().zip(self.used_variables) {
            if used {
                context.add_variable_from_value(*name, self.variable(name, exchange));
            }
        }
        let detail = match self.program.execute(&context) {
            Ok(Value::Bool(true)) => return Ok(()),
            Ok(Value::Bool(false)) => "the condition of the route is false for the caller".to_owned(),
            Ok(_) => "the condition of the route is not a boolean".to_owned(),
            Err(error) => {
                log::debug!("RouteClaimsExpression: {error}");
                "the condition of the route cannot be evaluated for the caller".to_owned()
            }
        };
        Err(GatewayError::new(ErrorCode::AccessCondition, detail))
    }

    fn variable(&self, name: &str, exchange: &Exchange) -> Value {
        let user = exchange.client.user.as_deref();
        match name {
            "claims" => first_values(user),
            "claim_values" => all_values(user),
            "scopes" => scopes(user),
            "path" => self.path(exchange),
            "method" => text(exchange.request.method()),
            "headers" => headers(exchange),
            _ => Value::from(exchange.client.ip.to_string()),
        }
    }

    /// The parameters of the route, percent-decoded.
    fn path(&self, exchange: &Exchange) -> Value {
        let value = |index: usize| {
            let value = exchange.routing.path_params.get(index, exchange.request.routed_target())?;
            let in_query = value.at.is_some_and(|at| at >= exchange.routing.path_len);
            let decoded = value.at.is_some().then(|| percent_decoded(value.bytes, in_query));
            Some(text(decoded.as_deref().unwrap_or(value.bytes)))
        };
        let named =
            self.names.iter().enumerate().filter_map(|(at, name)| Some((name.to_string(), value(at)?)));
        Value::from(named.collect::<HashMap<String, Value>>())
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes).into_owned())
}

/// Claim type → its first value.
fn first_values(user: Option<&Identity>) -> Value {
    let mut map: HashMap<String, Value> = HashMap::new();
    for claim in user.into_iter().flat_map(Identity::claims) {
        map.entry(claim.name.to_string()).or_insert_with(|| Value::from(&*claim.value));
    }
    Value::from(map)
}

/// Claim type → all its values.
fn all_values(user: Option<&Identity>) -> Value {
    let mut map: HashMap<String, Vec<Value>> = HashMap::new();
    for claim in user.into_iter().flat_map(Identity::claims) {
        map.entry(claim.name.to_string()).or_default().push(Value::from(&*claim.value));
    }
    let map: HashMap<String, Value> =
        map.into_iter().map(|(name, values)| (name, Value::List(Arc::new(values)))).collect();
    Value::from(map)
}

fn scopes(user: Option<&Identity>) -> Value {
    let all = user.into_iter().flat_map(|user| user.claim_values("scope").chain(user.claim_values("scp")));
    let each = all.flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty());
    Value::List(Arc::new(each.map(Value::from).collect()))
}

/// Lowercase name → its lines, joined.
fn headers(exchange: &Exchange) -> Value {
    let mut map: HashMap<String, String> = HashMap::new();
    for (_, name, value) in exchange.request.fields() {
        let value = String::from_utf8_lossy(value);
        map.entry(String::from_utf8_lossy(name).to_ascii_lowercase())
            .and_modify(|all| *all = format!("{all}, {value}"))
            .or_insert_with(|| value.clone().into_owned());
    }
    Value::from(map)
}

/// The first error and its position in the expression.
fn first_error(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else { return "it is not an expression".to_owned() };
    let message = error.msg.lines().next().unwrap_or_default();
    let message = message.split(" expecting {").next().unwrap_or(message);
    let (line, column) = (error.pos.0, error.pos.1 + 1);
    let position =
        if line > 1 { format!("line {line}, column {column}") } else { format!("column {column}") };
    format!("{position}: {}", message.strip_prefix("Syntax error: ").unwrap_or(message))
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}
