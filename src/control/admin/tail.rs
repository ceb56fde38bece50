//! A live tail of the access records, as server-sent events. A reader that does not read loses records, which are counted; it
//! never slows traffic.

use super::{context::AdminContext, error::AdminError, extract::QueryParams};
use crate::{
    base::ip_set::{IpRange, IpSet},
    pipeline::internal::Response,
    server::Gateway,
    telemetry::{Record, RecordBatch, RecordFilter, Subscription},
};
use axum::{body::Body, extract::State, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use serde::Deserialize;
use std::{
    convert::Infallible,
    ops::RangeInclusive,
    sync::{Arc, Weak},
    time::Duration,
};

/// A comment is sent after this time without records, so that proxies and the idle timeout keep the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Selects records; all that are set must match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TailQuery {
    route: Option<String>,
    status: Option<String>,
    code: Option<String>,
    client: Option<String>,
}

/// Records of requests as they end, as server-sent events: `data` is the JSON line of the access log. After records were
/// lost, because the client did not read, an event `lost` contains their number.
#[utoipa::path(get, path = "/v1/tail", tag = "routes",
    params(
        ("route" = Option<String>, Query, description = "The name of the route; empty: requests without a route."),
        ("status" = Option<String>, Query, description = "A status such as `503`, a class such as `5xx`, or a range such as `400-499`."),
        ("code" = Option<String>, Query, description = "An error code such as `backend.timeout`, or an area such as `backend`."),
        ("client" = Option<String>, Query, description = "A client address, a range, or a network such as `10.0.0.0/8`.")),
    responses((status = 200, description = "Events until the client closes the connection.", body = String,
        content_type = "text/event-stream")))]
pub async fn tail(
    State(context): State<AdminContext>,
    QueryParams(query): QueryParams<TailQuery>,
) -> Result<Response, AdminError> {
    let gateway = context.gateway()?;
    let subscription = gateway.metrics().feed().subscribe(query.filter()?).map_err(|_| {
        let detail = "too many clients read the tail; close one of them";
        AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.busy", detail)
    })?;
    let reader = TailReader { subscription, gateway: Arc::downgrade(&gateway), is_started: false };
    let events = stream::unfold(reader, TailReader::next);
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl TailQuery {
    fn filter(self) -> Result<RecordFilter, AdminError> {
        let statuses = self.status.map(|text| parse_statuses(&text)).transpose()?;
        let clients = self.client.map(|text| {
            let range = IpRange::parse(&text).ok_or_else(|| {
                AdminError::query(format!(
                    "invalid client \"{text}\": expected an address or a network such as 10.0.0.0/8"
                ))
            })?;
            Ok::<IpSet, AdminError>([range].into_iter().collect())
        });
        let clients = clients.transpose()?;
        let (route, code) = (self.route, self.code);
        Ok(Box::new(move |record: &Record| {
            route.as_ref().is_none_or(|route| record.route == route)
                && statuses.as_ref().is_none_or(|statuses| statuses.contains(&record.status))
                && code.as_ref().is_none_or(|code| has_code(record.error_code, code))
                && clients.as_ref().is_none_or(|clients| clients.contains(record.client))
        }))
    }
}

/// The code itself, or one of its area.
fn has_code(code: &str, wanted: &str) -> bool {
    code == wanted || code.split_once('.').is_some_and(|(area, _)| area == wanted)
}

fn parse_statuses(text: &str) -> Result<RangeInclusive<u16>, AdminError> {
    let class =
        text.strip_suffix("xx").filter(|class| class.len() == 1).and_then(|class| class.parse::<u16>().ok());
    let range = match (class, text.split_once('-')) {
        (Some(class), _) => Some(class * 100..=class * 100 + 99),
        (None, Some((first, last))) => {
            first.parse().ok().zip(last.parse().ok()).map(|(first, last)| first..=last)
        }
        (None, None) => text.parse().ok().map(|status| status..=status),
    };
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| AdminError::query(format!("invalid status \"{text}\": expected 503, 5xx or 400-499")))
}

/// A reader of the tail; the subscription ends when it is dropped.
struct TailReader {
    subscription: Subscription,
    gateway: Weak<Gateway>,
    is_started: bool,
}

impl TailReader {
    /// The next events; `None` when the gateway shuts down.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, TailReader)> {
        if !std::mem::replace(&mut self.is_started, true) {
            return Some((Ok(Bytes::from_static(KEEP_ALIVE)), self));
        }
        if self.gateway.upgrade().is_none_or(|gateway| gateway.drain.is_on()) {
            return None;
        }
        let batch = tokio::time::timeout(KEEP_ALIVE_INTERVAL, self.subscription.next()).await;
        let events = batch.map_or_else(|_| Bytes::from_static(KEEP_ALIVE), |batch| to_events(&batch).into());
        Some((Ok(events), self))
    }
}

/// The lines as events.
fn to_events(batch: &RecordBatch) -> Vec<u8> {
    let mut events = Vec::with_capacity(batch.lines.len() + 64);
    for line in batch.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        events.extend_from_slice(b"data: ");
        events.extend_from_slice(line);
        events.extend_from_slice(b"\n\n");
    }
    if batch.dropped > 0 {
        events.extend_from_slice(format!("event: lost\ndata: {{\"lost\":{}}}\n\n", batch.dropped).as_bytes());
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_a_code_a_class_or_a_range() {
        assert_eq!(parse_statuses("503").ok(), Some(503..=503));
        assert_eq!(parse_statuses("5xx").ok(), Some(500..=599));
        assert_eq!(parse_statuses("400-499").ok(), Some(400..=499));
        for text in ["", "abc", "55xx", "9-1", "-"] {
            assert_eq!(parse_statuses(text).unwrap_err().code(), "admin.query", "{text}");
        }
    }

    #[test]
    fn an_error_code_is_selected_by_its_area_too() {
        assert!(has_code("backend.timeout", "backend.timeout") && has_code("backend.timeout", "backend"));
        assert!(!has_code("backend.timeout", "back") && !has_code("", "backend"));
    }

    #[test]
    fn each_line_is_an_event_and_lost_records_are_counted() {
        let batch = RecordBatch { lines: b"{\"a\":1}\n{\"b\":2}\n".to_vec(), dropped: 3 };
        let expected = "data: {\"a\":1}\n\ndata: {\"b\":2}\n\nevent: lost\ndata: {\"lost\":3}\n\n";
        assert_eq!(String::from_utf8(to_events(&batch)).unwrap(), expected);
    }
}
