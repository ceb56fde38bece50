//! Fan-out: the order in which parts are called, and the result where one of them fails.

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
    /// Ocelot composes nothing where only the first part was called: its response is the response.
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

    /// Asks the parts: those that depend on the first one behind it, all others at once. Ocelot lets them all wait for the
    /// first one as soon as one of them depends on it.
    pub async fn gather(&self) -> Result<FanOutResult, GatewayError> {
        let parts = &self.caller.aggregate.parts;
        let some_depend = parts.iter().any(|part| part.terms.values.is_some());
        let mut progress = Progress::default();
        progress.results.resize_with(parts.len(), || None);
        for (at, part) in parts.iter().enumerate() {
            let waits = part.terms.values.is_some() || self.ocelot() && some_depend;
            if at == 0 || !waits {
                progress.running.push(self.call_part(at, None));
            }
        }
        while let Some((at, done)) = progress.running.next().await {
            if at == 0
                && some_depend
                && let Some(main) = self.start_dependents(&done, &mut progress)?
            {
                return Ok(FanOutResult::Only(main));
            }
            progress.results[at] = Some(self.handle_failed_part(at, done.map(|done| done.body))?);
        }
        // An aggregator that nobody has is looked for whatever became of the parts.
        if self.caller.aggregate.shape.unsupported_aggregator.is_some() {
            return Ok(FanOutResult::Parts(Vec::new()));
        }
        let bodies: Result<Vec<Body>, GatewayError> = progress.results.into_iter().flatten().collect();
        bodies.map(FanOutResult::Parts)
    }

    /// Whether the answer may do without a part that failed. Ocelot waits for the others, and tells of the first in their
    /// order.
    fn handle_failed_part(
        &self,
        at: usize,
        done: Result<Body, GatewayError>,
    ) -> Result<Result<Body, GatewayError>, GatewayError> {
        let part = &self.caller.aggregate.parts[at].terms;
        match done {
            Err(cause) if part.optional => {
                log::debug!(
                    "the aggregate does without \"{}\": {}: {}",
                    part.key,
                    cause.why.name(),
                    cause.detail
                );
                Ok(Ok(Body::Missing))
            }
            Err(cause) if !self.ocelot() => Err(cause),
            done => Ok(done),
        }
    }

    /// The first part was asked: now those that waited for it. Gives its answer back where Ocelot asks no other.
    fn start_dependents<'f>(
        &'f self,
        main: &Result<PartResult, GatewayError>,
        progress: &mut Progress<'f>,
    ) -> Result<Option<Response>, GatewayError> {
        let document = match main.as_ref().map(|main| self.document(main)) {
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
                        Err(none) => {
                            progress.results[at] =
                                Some(self.handle_failed_part(at, Err(failed(&part.terms.key, none)))?);
                        }
                    }
                }
                (None, _) if self.ocelot() => progress.running.push(self.call_part(at, None)),
                (None, _) => {}
            }
        }
        let main = main.as_ref().ok().and_then(|main| main.response.as_ref());
        Ok(main.filter(|_| self.ocelot() && progress.running.is_empty()).map(PartResponse::to_response))
    }

    /// The answer of the first part, in which the values stand.
    fn document(&self, main: &PartResult) -> Result<Value, GatewayError> {
        let Body::Single(body) = &main.body else { return Ok(Value::Null) };
        serde_json::from_slice(body).map_err(|_| {
            failed(
                &self.caller.aggregate.parts[0].terms.key,
                "is not JSON, or nested too deep, and others need its values",
            )
        })
    }

    fn call_part(&self, at: usize, values: Option<Vec<Vec<u8>>>) -> PartFuture<'_> {
        let part = &self.caller.aggregate.parts[at];
        Box::pin(async move {
            let asked = async {
                match values {
                    None => self.call_once(part).await,
                    Some(values) => self.call_per_value(part, &values).await,
                }
            };
            (at, within(part.terms.timeout, &part.terms.key, asked).await)
        })
    }

    async fn call_once(&self, part: &AggregatePart) -> Result<PartResult, GatewayError> {
        let remaining = AtomicUsize::new(part.terms.max_response_bytes);
        let reply = self.caller.call(part, None, &remaining).await?;
        let body = self.validate_body(part, &reply)?;
        Ok(PartResult { body: Body::Single(body), response: Some(reply) })
    }

    /// One call for each value, so many at one time.
    async fn call_per_value(
        &self,
        part: &AggregatePart,
        values: &[Vec<u8>],
    ) -> Result<PartResult, GatewayError> {
        let remaining = &AtomicUsize::new(part.terms.max_response_bytes);
        let mut waiting = values.iter().enumerate();
        let mut running = FuturesUnordered::new();
        let mut replies: Vec<Option<Result<Bytes, GatewayError>>> = Vec::new();
        replies.resize_with(values.len(), || None);
        loop {
            let room = part.terms.max_concurrency - running.len();
            for (at, value) in waiting.by_ref().take(room) {
                running.push(async move { (at, self.caller.call(part, Some(value), remaining).await) });
            }
            let Some((at, reply)) = running.next().await else { break };
            let body = reply.and_then(|reply| self.validate_body(part, &reply));
            match body {
                Err(cause) if !self.ocelot() => return Err(cause),
                body => replies[at] = Some(body),
            }
        }
        let bodies: Result<Vec<Bytes>, GatewayError> = replies.into_iter().flatten().collect();
        Ok(PartResult { body: self.list(part, bodies?), response: None })
    }

    /// One value gives Ocelot a plain body; to us it is a list where a path can find several.
    fn list(&self, part: &AggregatePart, mut bodies: Vec<Bytes>) -> Body {
        let singular = part.terms.values.as_ref().is_some_and(|path| path.is_singular());
        match (bodies.len(), self.ocelot() || singular) {
            (1, true) => Body::Single(bodies.remove(0)),
            (0, true) => Body::Absent,
            _ => Body::List(bodies),
        }
    }

    /// The body, if it may stand in an answer; to Ocelot every body may.
    fn validate_body(&self, part: &AggregatePart, reply: &PartResponse) -> Result<Bytes, GatewayError> {
        if self.ocelot() {
            return Ok(reply.body.clone());
        }
        let key = &part.terms.key;
        match reply.head.status {
            204 | 205 => Ok(Bytes::from_static(b"null")),
            200..=299 if reply.head.get(b"Content-Encoding").is_some() => {
                Err(failed(key, "answered with a content coding that nobody asked for"))
            }
            200..=299 if is_json(&reply.body) => Ok(reply.body.clone()),
            200..=299 => Err(failed(key, "answered with something that is not JSON")),
            status => Err(error_from_part(key, status, reply)),
        }
    }
}

/// A part that answers with an error: the client's mistakes are passed on as such.
fn error_from_part(key: &str, status: u16, reply: &PartResponse) -> GatewayError {
    let cause = failed(key, format!("answered {status}"));
    if !(400..500).contains(&status) {
        return cause;
    }
    cause.with_details(|more| {
        more.status = Some(status);
        for name in ["WWW-Authenticate", "Retry-After"] {
            let lines =
                reply.head.get_all(name.as_bytes()).map(|line| String::from_utf8_lossy(line).into_owned());
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
