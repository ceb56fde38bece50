//! Which parts are asked when, and what becomes of the answer when one of them fails.

use super::call::{Reply, call};
use crate::{
    pipeline::{
        answer::Answer,
        body::Body as AnswerBody,
        cause::{Cause, Why},
        exchange::Exchange,
        head::Head,
    },
    plan::{
        Aggregate, Part,
        aggregate::{
            compose::{Body, failed, is_json},
            values,
        },
    },
};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::Duration,
};

/// What came of it.
pub enum Gathered {
    /// To Ocelot nothing is put together where only the first part was asked: its answer is the answer.
    Main(Answer),
    /// In the order of the parts.
    Parts(Vec<Body>),
}

/// Asks the parts on behalf of one exchange.
pub struct Asker<'a> {
    pub aggregate: &'a Aggregate,
    pub x: &'a Exchange,
    /// For every part.
    pub body: RequestBody,
    attempts: AtomicU32,
}

/// A request body that is here as a whole.
#[derive(Debug, Default)]
pub struct RequestBody {
    pub bytes: Bytes,
    pub trailers: Option<Head>,
}

/// A part that is being asked, by its place.
type Asking<'f> = Pin<Box<dyn Future<Output = (usize, Result<Done, Cause>)> + Send + 'f>>;

/// The answers to all calls of a part.
struct Done {
    body: Body,
    /// The answer itself, where there was one call.
    answer: Option<Reply>,
}

/// The parts so far, in their order.
#[derive(Default)]
struct Progress<'f> {
    running: FuturesUnordered<Asking<'f>>,
    settled: Vec<Option<Result<Body, Cause>>>,
}

impl<'a> Asker<'a> {
    pub fn new(aggregate: &'a Aggregate, x: &'a Exchange, body: RequestBody) -> Asker<'a> {
        Asker { aggregate, x, body, attempts: AtomicU32::new(0) }
    }

    /// Attempts of all calls together.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Notes the attempts of a call.
    pub fn tried(&self, attempts: u32) {
        self.attempts.fetch_add(attempts, Ordering::Relaxed);
    }

    fn ocelot(&self) -> bool {
        self.aggregate.shape.ocelot
    }

    /// Asks the parts: those that depend on the first one behind it, all others at once. Ocelot lets them all wait for the
    /// first one as soon as one of them depends on it.
    pub async fn gather(&self) -> Result<Gathered, Cause> {
        let parts = &self.aggregate.parts;
        let some_depend = parts.iter().any(|part| part.terms.values.is_some());
        let mut progress = Progress::default();
        progress.settled.resize_with(parts.len(), || None);
        for (at, part) in parts.iter().enumerate() {
            let waits = part.terms.values.is_some() || self.ocelot() && some_depend;
            if at == 0 || !waits {
                progress.running.push(self.ask(at, None));
            }
        }
        while let Some((at, done)) = progress.running.next().await {
            if at == 0
                && some_depend
                && let Some(main) = self.go_on(&done, &mut progress)?
            {
                return Ok(Gathered::Main(main));
            }
            progress.settled[at] = Some(self.settle(at, done.map(|done| done.body))?);
        }
        // An aggregator that nobody has is looked for whatever became of the parts.
        if self.aggregate.shape.unserved.is_some() {
            return Ok(Gathered::Parts(Vec::new()));
        }
        let bodies: Result<Vec<Body>, Cause> = progress.settled.into_iter().flatten().collect();
        bodies.map(Gathered::Parts)
    }

    /// Whether the answer may do without a part that failed. Ocelot waits for the others, and tells of the first in their
    /// order.
    fn settle(&self, at: usize, done: Result<Body, Cause>) -> Result<Result<Body, Cause>, Cause> {
        let part = &self.aggregate.parts[at].terms;
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
    fn go_on<'f>(
        &'f self,
        main: &Result<Done, Cause>,
        progress: &mut Progress<'f>,
    ) -> Result<Option<Answer>, Cause> {
        let document = match main.as_ref().map(|main| self.document(main)) {
            Ok(document) => Some(document?),
            Err(cause) if !self.aggregate.parts[0].terms.optional => return Err(cause.clone()),
            Err(_) => None,
        };
        for (at, part) in self.aggregate.parts.iter().enumerate().skip(1) {
            match (&part.terms.values, &document) {
                (Some(_), None) => {
                    let key = &self.aggregate.parts[0].terms.key;
                    let cause = failed(&part.terms.key, format!("has no values, because \"{key}\" failed"));
                    progress.settled[at] = Some(self.settle(at, Err(cause))?);
                }
                (Some(path), Some(document)) => {
                    match values::found(path, document, self.ocelot(), part.terms.calls) {
                        Ok(values) if values.is_empty() && self.ocelot() => {
                            progress.settled[at] = Some(Ok(Body::Absent));
                        }
                        Ok(values) => progress.running.push(self.ask(at, Some(values))),
                        Err(none) => {
                            progress.settled[at] = Some(self.settle(at, Err(failed(&part.terms.key, none)))?);
                        }
                    }
                }
                (None, _) if self.ocelot() => progress.running.push(self.ask(at, None)),
                (None, _) => {}
            }
        }
        let main = main.as_ref().ok().and_then(|main| main.answer.as_ref());
        Ok(main.filter(|_| self.ocelot() && progress.running.is_empty()).map(Reply::answer))
    }

    /// The answer of the first part, in which the values stand.
    fn document(&self, main: &Done) -> Result<Value, Cause> {
        let Body::One(body) = &main.body else { return Ok(Value::Null) };
        serde_json::from_slice(body).map_err(|_| {
            failed(
                &self.aggregate.parts[0].terms.key,
                "is not JSON, or nested too deep, and others need its values",
            )
        })
    }

    fn ask(&self, at: usize, values: Option<Vec<Vec<u8>>>) -> Asking<'_> {
        let part = &self.aggregate.parts[at];
        Box::pin(async move {
            let asked = async {
                match values {
                    None => self.once(part).await,
                    Some(values) => self.for_each(part, &values).await,
                }
            };
            (at, within(part.terms.timeout, &part.terms.key, asked).await)
        })
    }

    async fn once(&self, part: &Part) -> Result<Done, Cause> {
        let left = AtomicUsize::new(part.terms.most);
        let reply = call(self, part, None, &left).await?;
        let body = self.usable(part, &reply)?;
        Ok(Done { body: Body::One(body), answer: Some(reply) })
    }

    /// One call for each value, so many at one time.
    async fn for_each(&self, part: &Part, values: &[Vec<u8>]) -> Result<Done, Cause> {
        let left = &AtomicUsize::new(part.terms.most);
        let mut waiting = values.iter().enumerate();
        let mut running = FuturesUnordered::new();
        let mut replies: Vec<Option<Result<Bytes, Cause>>> = Vec::new();
        replies.resize_with(values.len(), || None);
        loop {
            let room = part.terms.at_one_time - running.len();
            for (at, value) in waiting.by_ref().take(room) {
                running.push(async move { (at, call(self, part, Some(value), left).await) });
            }
            let Some((at, reply)) = running.next().await else { break };
            let body = reply.and_then(|reply| self.usable(part, &reply));
            match body {
                Err(cause) if !self.ocelot() => return Err(cause),
                body => replies[at] = Some(body),
            }
        }
        let bodies: Result<Vec<Bytes>, Cause> = replies.into_iter().flatten().collect();
        Ok(Done { body: self.list(part, bodies?), answer: None })
    }

    /// One value gives Ocelot a plain body; to us it is a list where a path can find several.
    fn list(&self, part: &Part, mut bodies: Vec<Bytes>) -> Body {
        let singular = part.terms.values.as_ref().is_some_and(|path| path.is_singular());
        match (bodies.len(), self.ocelot() || singular) {
            (1, true) => Body::One(bodies.remove(0)),
            (0, true) => Body::Absent,
            _ => Body::Many(bodies),
        }
    }

    /// The body, if it may stand in an answer; to Ocelot every body may.
    fn usable(&self, part: &Part, reply: &Reply) -> Result<Bytes, Cause> {
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
            status => Err(refused(key, status, reply)),
        }
    }
}

/// A part that answers with an error: the client's mistakes are passed on as such.
fn refused(key: &str, status: u16, reply: &Reply) -> Cause {
    let cause = failed(key, format!("answered {status}"));
    if !(400..500).contains(&status) {
        return cause;
    }
    cause.with(|more| {
        more.status = Some(status);
        for name in ["WWW-Authenticate", "Retry-After"] {
            let lines =
                reply.head.all(name.as_bytes()).map(|line| String::from_utf8_lossy(line).into_owned());
            more.fields.extend(lines.map(|line| (name.into(), line)));
        }
    })
}

async fn within(
    time: Option<Duration>,
    key: &str,
    work: impl Future<Output = Result<Done, Cause>>,
) -> Result<Done, Cause> {
    let Some(time) = time else { return work.await };
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        let detail = format!("the part \"{key}\" was not complete within {time:?}");
        Err(Cause::new(Why::BackendTimeout, detail))
    })
}

impl Reply {
    /// The answer as it came.
    fn answer(&self) -> Answer {
        Answer { head: self.head.clone(), body: AnswerBody::Bytes(self.body.clone()), ..Answer::default() }
    }
}
