//! `POST /client/negotiate`: a connection token, and the transports.

use super::{
    super::HubTarget,
    access::{self, Access},
};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    exchange::Exchange,
    response::{Response, RouteResult},
};
use crate::realtime::{
    protocols::signalr::Transport,
    service::{
        path::{QueryPairs, parameter},
        upgrade::check_draining,
    },
    signalr::token::{NegotiatedConnection, TokenScope},
};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The latest version of negotiations.
const VERSION: i64 = 1;

/// The response.
pub fn respond(target: &HubTarget, query: &QueryPairs, exchange: &Exchange) -> RouteResult {
    if exchange.request.method() != b"POST" {
        let error = GatewayError::new(ErrorCode::HubUnknownOperation, "a negotiation is a POST request");
        return Err(error.with_details(|details| {
            details.status = Some(405);
            details.headers.push(("Allow".into(), "POST".to_owned()));
        }));
    }
    check_draining(&target.engine)?;
    let access = access::check(target, query, exchange, "/negotiate", false)?;
    let version = match parameter(query, "negotiateversion").unwrap_or("0").parse::<i64>() {
        Ok(version @ 0..) => version.min(VERSION),
        _ => {
            return Ok(json_response(
                &json!({ "error": "The negotiateVersion is not an integer of at least 0." }),
            ));
        }
    };
    let is_stateful =
        parameter(query, "usestatefulreconnect").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let negotiated = issue(target, &access, (is_stateful, version == 0))?;
    Ok(json_response(&body(&negotiated, version, &access.context.config.signalr.transports)))
}

/// A new connection; `kind`: with stateful reconnect, and of version 0.
fn issue(
    target: &HubTarget,
    access: &Access,
    kind: (bool, bool),
) -> Result<NegotiatedConnection, GatewayError> {
    let engine = &target.engine.shared;
    let scope = TokenScope {
        service: &target.service.config,
        hub: &access.context.name,
        user: access.user.as_deref(),
    };
    let negotiated = scope.negotiate(engine.random_bytes(), &engine.node, kind, SystemTime::now());
    negotiated.ok_or_else(|| GatewayError::new(ErrorCode::GatewayInternal, "the hub service has no key"))
}

/// The body of the response.
fn body(negotiated: &NegotiatedConnection, version: i64, transports: &[Transport]) -> Value {
    let mut body = json!({ "negotiateVersion": version, "connectionId": &*negotiated.connection_id });
    if version > 0 {
        body["connectionToken"] = (*negotiated.token).into();
    }
    // Clients that did not request it fail if it is present.
    if negotiated.is_stateful {
        body["useStatefulReconnect"] = true.into();
    }
    let transports = transports.iter().map(|transport| {
        let formats: &[&str] = match transport {
            Transport::ServerSentEvents => &["Text"],
            Transport::WebSockets | Transport::LongPolling => &["Text", "Binary"],
        };
        json!({ "transport": transport.name(), "transferFormats": formats })
    });
    body["availableTransports"] = transports.collect::<Value>();
    body
}

fn json_response(body: &Value) -> Response {
    let mut response = Response::local(200, "application/json", body.to_string());
    response.head.append(b"Cache-Control", b"no-store");
    response
}
