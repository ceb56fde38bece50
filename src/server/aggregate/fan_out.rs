//! Fan-out: the order in which parts are called, and the result if one of them fails.

use super::call::{BoxFuture, PartCaller, PartResponse};
use crate::{
    pipeline::{
        body::Body as ResponseBody,
        error::{ErrorCode, GatewayError},
        response::Response,
    },
    plan::{
        AggregatePart,
        aggregate::{
            compose::{Body, failed, is_json},
            values,
        },
    },
};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use std::{future::Future, sync::atomic::AtomicUsize, time::Duration};

/// The result of calling the parts.
pub enum FanOutResult {
    /// In Ocelot mode nothing is composed if only the first part was called: its response is the response.
    Only(Response),
    /// In the order of the parts.
    Parts(Vec<Body>),
}

/// Calls the parts of an aggregate concurrently.
pub struct FanOut<'a> {
    pub caller: PartCaller<'a>,
}

/// A call that is running, by the index of its part.
type PartFuture<'f> = BoxFuture<'f, (usize, Result<PartResult, GatewayError>)>;

/// The responses to all calls of a part.
struct PartResult {
    body: Body,
    /// The response itself, where there was one call.
    response: Option<PartResponse>,
}

/// The parts so far, in their order.
#[derive(Default)]
struct Progress<'f> {
    running: FuturesUnordered<PartFuture<'f>>,
    results: Vec<Option<Result<Body, GatewayError>>>,
}

impl FanOut<'_> {
    fn ocelot(&self) -> bool {
        self.caller.aggregate.shape.ocelot
    }

    /// Calls the parts: those that depend on the first one after it, all others concurrently. In Ocelot mode all wait
    /// for the first one as soon as one of them depends on it.
    pub async fn gather(&self) -> Result<FanOutResult, GatewayError> {
        let parts = &self.caller.aggregate.parts;
        let some_depend = parts.iter().any(|part| part.terms.values.is_some());
        let mut progress = Progress::default();
        progress.results.resize_with(parts.len(), || None);
        for (at, part) in parts.iter().enumerate() {
            let is_dependent = part.terms.values.is_some() || self.ocelot() && some_depend;
            if at == 0 || !is_dependent {
                progress.running.push(self.call_part(at, None));
            }
        }
        while let Some((at, done)) = progress.running.next().await {
            if at == 0
                && some_depend
                && let Some(first) = self.start_dependents(&done, &mut progress)?
            {
                return Ok(FanOutResult::Only(first));
            }
            progress.results[at] = Some(self.handle_failed_part(at, done.map(|done| done.body))?);
        }
        // In Ocelot mode an unknown aggregator fails only after the parts were called.
        if self.caller.aggregate.shape.unsupported_aggregator.is_some() {
            return Ok(FanOutResult::Parts(Vec::new()));
        }
        let bodies: Result<Vec<Body>, GatewayError> = progress.results.into_iter().flatten().collect();
        bodies.map(FanOutResult::Parts)
    }

    /// Accepts the failure of an optional part. In Ocelot mode the others are awaited and the first failure in their
    /// order is returned.
    fn handle_failed_part(
        &self,
        at: usize,
        done: Result<Body, GatewayError>,
    ) -> Result<Result<Body, GatewayError>, GatewayError> {
        let part = &self.caller.aggregate.parts[at].terms;
        match done {
            Err(cause) if part.optional => {
                log::debug!(
                    "optional part \"{}\" of the aggregate failed: {}: {}",
                    part.key,
                    cause.code.name(),
                    cause.detail
                );
                Ok(Ok(Body::Missing))
            }
            Err(cause) if !self.ocelot() => Err(cause),
            done => Ok(done),
        }
    }

    /// Calls the dependent parts after the first part. Returns its response if no other part is called in Ocelot mode.
    fn start_dependents<'f>(
        &'f self,
        first: &Result<PartResult, GatewayError>,
        progress: &mut Progress<'f>,
    ) -> Result<Option<Response>, GatewayError> {
        let document = match first.as_ref().map(|first| self.document(first)) {
            Ok(document) => Some(document?),
            Err(cause) if !self.caller.aggregate.parts[0].terms.optional => return Err(cause.clone()),
            Err(_) => None,
        };
        for (at, part) in self.caller.aggregate.parts.iter().enumerate().skip(1) {
            match (&part.terms.values, &document) {
                (Some(_), None) => {
                    let key = &self.caller.aggregate.parts[0].terms.key;
                    let cause = failed(&part.terms.key, format!("has no values, because \"{key}\" failed"));
                    progress.results[at] = Some(self.handle_failed_part(at, Err(cause))?);
                }
                (Some(path), Some(document)) => {
                    match values::extract(path, document, self.ocelot(), part.terms.max_calls) {
                        Ok(values) if values.is_empty() && self.ocelot() => {
                            progress.results[at] = Some(Ok(Body::Absent));
                        }
                        Ok(values) => progress.running.push(self.call_part(at, Some(values))),
                        Err(error) => {
                            progress.results[at] =
                                Some(self.handle_failed_part(at, Err(failed(&part.terms.key, error)))?);
                        }
                    }
                }
                (None, _) if self.ocelot() => progress.running.push(self.call_part(at, None)),
                (None, _) => {}
            }
        }
        let first = first.as_ref().ok().and_then(|first| first.response.as_ref());
        Ok(first.filter(|_| self.ocelot() && progress.running.is_empty()).map(PartResponse::to_response))
    }

    /// The JSON document of the first part, which contains the values.
    fn document(&self, first: &PartResult) -> Result<Value, GatewayError> {
        let Body::Single(body) = &first.body else { return Ok(Value::Null) };
        serde_json::from_slice(body).map_err(|_| {
            failed(
                &self.caller.aggregate.parts[0].terms.key,
                "did not respond with JSON of the allowed depth, which other parts depend on",
            )
        })
    }

    fn call_part(&self, at: usize, values: Option<Vec<Vec<u8>>>) -> PartFuture<'_> {
        let part = &self.caller.aggregate.parts[at];
        Box::pin(async move {
            let call = async {
                match values {
                    None => self.call_once(part).await,
                    Some(values) => self.call_per_value(part, &values).await,
                }
            };
            (at, within(part.terms.timeout, &part.terms.key, call).await)
        })
    }

    async fn call_once(&self, part: &AggregatePart) -> Result<PartResult, GatewayError> {
        let remaining = AtomicUsize::new(part.terms.max_response_bytes);
        let response = self.caller.call(part, None, &remaining).await?;
        let body = self.validate_body(part, &response)?;
        Ok(PartResult { body: Body::Single(body), response: Some(response) })
    }

    /// One call per value, at most `max_concurrency` concurrently.
    async fn call_per_value(
        &self,
        part: &AggregatePart,
        values: &[Vec<u8>],
    ) -> Result<PartResult, GatewayError> {
        let remaining = &AtomicUsize::new(part.terms.max_response_bytes);
        let mut waiting = values.iter().enumerate();
        let mut running = FuturesUnordered::new();
        let mut responses: Vec<Option<Result<Bytes, GatewayError>>> = Vec::new();
        responses.resize_with(values.len(), || None);
        loop {
            let room = part.terms.max_concurrency - running.len();
            for (at, value) in waiting.by_ref().take(room) {
                running.push(async move { (at, self.caller.call(part, Some(value), remaining).await) });
            }
            let Some((at, response)) = running.next().await else { break };
            let body = response.and_then(|response| self.validate_body(part, &response));
            match body {
                Err(cause) if !self.ocelot() => return Err(cause),
                body => responses[at] = Some(body),
            }
        }
        let bodies: Result<Vec<Bytes>, GatewayError> = responses.into_iter().flatten().collect();
        Ok(PartResult { body: self.list(part, bodies?), response: None })
    }

    /// A single value has a plain body in Ocelot mode; otherwise the body is a list if the path can match several
    /// values.
    fn list(&self, part: &AggregatePart, mut bodies: Vec<Bytes>) -> Body {
        let singular = part.terms.values.as_ref().is_some_and(|path| path.is_singular());
        match (bodies.len(), self.ocelot() || singular) {
            (1, true) => Body::Single(bodies.remove(0)),
            (0, true) => Body::Absent,
            _ => Body::List(bodies),
        }
    }

    /// The body, if it can be part of the aggregate; in Ocelot mode every body can.
    fn validate_body(&self, part: &AggregatePart, response: &PartResponse) -> Result<Bytes, GatewayError> {
        if self.ocelot() {
            return Ok(response.body.clone());
        }
        let key = &part.terms.key;
        match response.head.status {
            204 | 205 => Ok(Bytes::from_static(b"null")),
            200..=299 if response.head.get(b"Content-Encoding").is_some() => {
                Err(failed(key, "responded with a content coding that was not requested"))
            }
            200..=299 if is_json(&response.body) => Ok(response.body.clone()),
            200..=299 => Err(failed(key, "responded with a body that is not JSON")),
            status => Err(error_from_part(key, status, response)),
        }
    }
}

/// The error of a part that responded with an error status: a 4xx status becomes the status of the whole response.
fn error_from_part(key: &str, status: u16, response: &PartResponse) -> GatewayError {
    let cause = failed(key, format!("responded with status {status}"));
    if !(400..500).contains(&status) {
        return cause;
    }
    cause.with_details(|more| {
        more.status = Some(status);
        for name in ["WWW-Authenticate", "Retry-After"] {
            let lines =
                response.head.get_all(name.as_bytes()).map(|line| String::from_utf8_lossy(line).into_owned());
            more.headers.extend(lines.map(|line| (name.into(), line)));
        }
    })
}

async fn within(
    time: Option<Duration>,
    key: &str,
    work: impl Future<Output = Result<PartResult, GatewayError>>,
) -> Result<PartResult, GatewayError> {
    let Some(time) = time else { return work.await };
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        let detail = format!("the part \"{key}\" was not complete within {time:?}");
        Err(GatewayError::new(ErrorCode::BackendTimeout, detail))
    })
}

impl PartResponse {
    /// The response as it was received.
    fn to_response(&self) -> Response {
        Response {
            head: self.head.clone(),
            body: ResponseBody::Bytes(self.body.clone()),
            ..Response::default()
        }
    }
}
