//! `Scope` and `Lease` of rate limits and concurrency limits.

use super::{LeaseSize, Scope};
use crate::{
    config::{Spanned, codes},
    stages::feature::CompileContext,
};

const SCOPES: [&str; 2] = ["Node", "Shared"];
const MAX_LEASE: u32 = 100_000;

/// The scope, with its lease.
pub fn compile(
    scope: Option<&Spanned<String>>,
    lease: Option<&Spanned<String>>,
    context: &mut CompileContext,
) -> Scope {
    let is_shared = is_shared(scope, context);
    if let (false, Some(lease)) = (is_shared, lease) {
        context
            .diagnostics
            .error(codes::USELESS_LEASE, lease.span, "Lease has no effect without \"Scope\": \"Shared\"")
            .help("remove it, or set \"Scope\": \"Shared\"");
    }
    match is_shared {
        true => Scope::Shared(lease.map_or(LeaseSize::Adaptive, |lease| read_lease(lease, context))),
        false => Scope::Node,
    }
}

/// Whether the scope is `Shared`; reports an unknown one, and a missing shared state.
pub fn is_shared(scope: Option<&Spanned<String>>, context: &mut CompileContext) -> bool {
    let Some(scope) = scope else { return false };
    match SCOPES.iter().position(|known| known.eq_ignore_ascii_case(scope.trim())) {
        Some(0) => false,
        Some(_) => {
            let code = codes::NO_SHARED_STATE;
            let is_reported =
                context.diagnostics.list.iter().any(|d| d.code == code && d.span == Some(scope.span));
            if !context.gateway.has_shared_state && !is_reported {
                context
                    .diagnostics
                    .error(code, scope.span, "\"Scope\": \"Shared\" without SharedState")
                    .help("add the section: \"SharedState\": { \"Url\": \"redis://127.0.0.1:6379\" }");
            }
            true
        }
        None => {
            let message = format!("unknown Scope \"{}\"", scope.value);
            let diagnostic = context.diagnostics.error(codes::UNKNOWN_CHOICE, scope.span, message);
            diagnostic.expected(scope, &SCOPES);
            false
        }
    }
}

fn read_lease(lease: &Spanned<String>, context: &mut CompileContext) -> LeaseSize {
    let text = lease.trim();
    if text.eq_ignore_ascii_case("Adaptive") {
        return LeaseSize::Adaptive;
    }
    match text.parse::<u32>().ok().filter(|tokens| (1..=MAX_LEASE).contains(tokens)) {
        Some(tokens) => LeaseSize::Fixed(tokens),
        None => {
            context
                .diagnostics
                .error(codes::BAD_LEASE, lease.span, format!("invalid Lease \"{}\"", lease.value))
                .help("must be \"Adaptive\" or between 1 and 100000");
            LeaseSize::Adaptive
        }
    }
}
