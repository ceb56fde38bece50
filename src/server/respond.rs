//! Delivery of a response: the gateway's own error responses, head and body to the client.

use super::{
    context::{Context, NextAction},
    read_ahead::ReadAheadLimit,
    relay::{TransferLimits, framing, relay},
    worker::Worker,
};
use crate::{
    net::client_io::ClientIo,
    pipeline::{
        body::{Body, Framing},
        error::{ErrorCode, Fault, GatewayError},
        grpc,
        head::Version,
        response::{Response, rescue},
    },
    plan::{ClientPace, Plan},
};
use std::time::SystemTime;

/// Turns an error into the gateway's own response; none for a client that closed its connection.
pub fn error_response(ctx: &mut Context<'_>, cause: GatewayError) -> Option<Response> {
    let (exchange, ocelot) = (&mut *ctx.exchange, ctx.plan.ocelot);
    exchange.record.error_code = Some(cause.code);
    exchange.record.status = cause.status(ocelot);
    ctx.worker.gateway.metrics().record_error(cause.code.name());
    log::debug!("{}: {}", cause.code.name(), cause.detail);
    let is_aborted = cause.extra.as_ref().is_some_and(|extra| extra.aborts);
    if cause.code == ErrorCode::ClientClosed || is_aborted {
        return None;
    }
    let mut response = match grpc::is_grpc(&exchange.request) {
        true => grpc::error_response(&cause),
        false => rescue(&cause, exchange.request.original_path(), &exchange.record.id, ocelot),
    };
    response.close_connection = cause.code.breaks_connection();
    response.head.append(b"Date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    Some(response)
}

/// Sends head and body of the response.
pub async fn send_response<C: ClientIo>(
    conn: &mut C,
    ctx: &mut Context<'_>,
    mut response: Response,
    for_head: bool,
    keep: bool,
    pace: Option<ClientPace>,
) -> NextAction {
    ctx.exchange.record.status = response.status();
    let framing = framing(&response, for_head, conn.version());
    let keep = keep && framing != Framing::UntilClose;
    conn.send_head(&response.head, framing, keep);
    response.head.clear();
    ctx.exchange.response.spare_head = std::mem::take(&mut response.head);
    if framing == Framing::None && !matches!(response.body, Body::Stream(_)) {
        response.body = Body::Empty;
    }
    let limits = transfer_limits(ctx, pace);
    let relayed = relay(conn, &mut response.body, limits).await;
    let record = &mut ctx.exchange.record;
    record.bytes_out = conn.sent();
    if let Err(cause) = relayed {
        record.error_code = Some(cause.code);
        ctx.worker.gateway.metrics().record_error(cause.code.name());
        if cause.code == ErrorCode::ClientClosed {
            record.status = 499;
        }
        // The received part is sent, then the connection is reset or the stream aborted. If only the end of the
        // connection delimits the body, an orderly close would look like a complete body.
        let is_client = cause.code.fault() == Fault::Client;
        let visible = !is_client && framing != Framing::UntilClose;
        return if visible { NextAction::Linger } else { NextAction::Close };
    }
    if let Body::Stream(stream) = response.body {
        stream.finish();
    }
    if keep { NextAction::KeepAlive(ctx.exchange.now) } else { NextAction::Linger }
}

/// `pace` is that of the route; without one nothing is received ahead.
fn transfer_limits<'w>(ctx: &Context<'w>, pace: Option<ClientPace>) -> TransferLimits<'w> {
    let (plan, worker): (&Plan, &'w Worker) = (ctx.plan, ctx.worker);
    TransferLimits {
        idle_timeout: plan.limits.body_idle,
        min_rate: pace.map_or(plan.limits.min_response_rate, |pace| pace.min_response_rate),
        read_ahead: ReadAheadLimit {
            max_bytes: pace.map_or(0, |pace| pace.response_buffer_bytes),
            budget: &worker.gateway.shared_state.buffering_memory,
            client: ctx.exchange.client.ip,
        },
    }
}

/// Sends the last response on a connection: nothing more of the request is read.
pub async fn send_final_response<C: ClientIo>(
    conn: &mut C,
    ctx: &mut Context<'_>,
    mut response: Response,
) -> NextAction {
    ctx.exchange.record.status = response.status();
    conn.send_head(&response.head, framing(&response, false, Version::Http11), false);
    let limits = transfer_limits(ctx, None);
    let relayed = relay(conn, &mut response.body, limits).await;
    ctx.exchange.record.bytes_out = conn.sent();
    if relayed.is_ok() { NextAction::Linger } else { NextAction::Close }
}
