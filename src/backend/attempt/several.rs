//! The loop over attempts, and what stands around each of them: circuits, time limits, the budget.

use super::{
    Terms, Time, attempt,
    breaker::{Pass, Settings as BreakerSettings},
    care::Care,
    fallback::Fallback,
};
use crate::{
    backend::{
        cluster::{Cluster, Picked},
        endpoint::Endpoint,
    },
    pipeline::{
        answer::{Answer, Outcome},
        body::{Body, Caller, Chunk},
        cause::{Cause, Fault, Why},
        exchange::Exchange,
        grpc,
        replay::Replay,
    },
    telemetry::Event,
    wire::h1::hop::Hop,
};
use smallvec::SmallVec;
use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// What is read of an answer that nobody wants, so that its connection can be used again.
const DISCARDED: usize = 64 * 1024;

/// What is kept of a request body for the other cluster, whatever is kept for retries.
const KEPT: usize = 64 * 1024;

/// Endpoints, few of them.
type Some4 = SmallVec<[Arc<Endpoint>; 4]>;

/// Attempts until one is good enough, or no more may be made.
pub async fn run(
    cluster: &Cluster,
    terms: &Terms,
    care: &Care,
    hop: Hop,
    x: &mut Exchange,
    caller: &mut dyn Caller,
) -> Outcome {
    let retry = care.retry.as_ref().filter(|retry| retry.takes(x.req.method()));
    let other = care.fallback.as_ref().is_some_and(|fallback| fallback.cluster.is_some());
    let kept = retry.map_or(0, |retry| retry.settings.kept).max(if other { KEPT } else { 0 });
    let mut caller = Replay::new(caller, kept);
    let mut tries = Tries { cluster, terms, care, hop, time: Time::new(x.now), tried: Some4::new(), made: 0 };
    if let Some(retry) = retry.filter(|retry| retry.settings.budget.is_some()) {
        retry.budget.deposit(Instant::now());
    }
    let mut outcome = tries.all(x, &mut caller).await;
    let overdue = tries.time.overdue;
    if let Some(fallback) = care.fallback.as_ref().filter(|fallback| fallback.takes(&outcome)) {
        care.metrics.count(Event::Fallback);
        outcome = tries.instead(fallback, outcome, x, &mut caller).await;
    }
    let outcome = outcome.map(|answer| Answer { body: caller.with_rest(answer.body), ..answer });
    as_ocelot(care, overdue, x, outcome)
}

/// Attempts with one cluster.
struct Tries<'a> {
    cluster: &'a Cluster,
    terms: &'a Terms,
    care: &'a Care,
    hop: Hop,
    time: Time,
    tried: Some4,
    made: u32,
}

impl<'a> Tries<'a> {
    async fn all(&mut self, x: &mut Exchange, caller: &mut Replay<'_>) -> Outcome {
        loop {
            let outcome = self.one(x, caller).await;
            self.made += 1;
            let Some(pause) = self.again(&outcome, x, caller) else { return outcome };
            if let Ok(answer) = outcome {
                discard(answer).await;
            }
            if !pause.is_zero() && !still_there(caller, Instant::now() + pause).await {
                return Err(Cause::gone());
            }
        }
    }

    /// One attempt, its result told to the circuits.
    async fn one(&mut self, x: &mut Exchange, caller: &mut Replay<'_>) -> Outcome {
        let (now, care) = (Instant::now(), self.care);
        let pass = care.enter(now)?;
        let picked = self.pick(x, now)?;
        let endpoint = picked.0.endpoint.clone();
        let inner = picked.1.map(|(settings, ticket)| Pass::new(&endpoint.state.breaker, settings, ticket));
        (self.time.attempt, self.time.limit, self.time.overdue) = (now, care.limit(), false);
        self.tell_deadline(x, now);
        let outcome = attempt(self.cluster, picked.0, self.terms, self.hop, &mut self.time, x, caller).await;
        let failed = has_failed(&outcome);
        if let Some(pass) = pass {
            care.report(pass, failed, "the service");
        }
        if let Some(pass) = inner {
            care.report(pass, failed, &endpoint.label);
        }
        self.tried.push(endpoint.clone());
        outcome
    }

    /// The answer of the other cluster; if there is none, or it fails too, the fixed one.
    async fn instead(
        &mut self,
        fallback: &Fallback,
        first: Outcome,
        x: &mut Exchange,
        caller: &mut Replay<'_>,
    ) -> Outcome {
        x.record.why = first.as_ref().err().map(|cause| cause.why.name());
        let mut outcome = first;
        if let Some(cluster) = fallback.cluster.as_ref().filter(|_| caller.rewind()) {
            outcome = self.other(cluster, x, caller).await;
        }
        match &fallback.settings.reply {
            Some(reply) if fallback.cluster.is_none() || fallback.takes(&outcome) => Ok(reply.answer()),
            _ => outcome,
        }
    }

    /// One attempt with another cluster, in what is left of the time.
    async fn other(&mut self, cluster: &Cluster, x: &mut Exchange, caller: &mut Replay<'_>) -> Outcome {
        let now = Instant::now();
        let picked = cluster.pick(x, &[])?;
        (self.time.attempt, self.time.limit, self.time.overdue) = (now, self.care.limit(), false);
        self.tell_deadline(x, now);
        attempt(cluster, picked, self.terms, self.hop, &mut self.time, x, caller).await
    }

    /// An endpoint that was not tried yet and whose circuit is not open, if there is one; else one that was tried.
    fn pick(&self, x: &Exchange, now: Instant) -> Result<Choice<'a>, Cause> {
        let care: &'a Care = self.care;
        let Some(settings) = care.of_endpoints() else {
            return Ok((self.cluster.pick(x, &self.tried)?, None));
        };
        let (mut shut, mut wait) = (Some4::new(), Duration::ZERO);
        for avoids_tried in [true, false] {
            loop {
                let mut avoided = shut.clone();
                avoided.extend(self.tried.iter().filter(|_| avoids_tried).cloned());
                let picked = self.cluster.pick(x, &avoided)?;
                if avoided.iter().any(|other| Arc::ptr_eq(other, &picked.endpoint)) {
                    break;
                }
                match picked.endpoint.state.breaker.admit(now) {
                    Ok(ticket) => return Ok((picked, Some((settings, ticket)))),
                    Err(time) => wait = if wait.is_zero() { time } else { wait.min(time) },
                }
                shut.push(picked.endpoint);
            }
        }
        Err(care.refuse(wait))
    }

    /// Whether another attempt is made, and after what time.
    fn again(&self, outcome: &Outcome, x: &Exchange, caller: &mut Replay<'_>) -> Option<Duration> {
        let retry = self.care.retry.as_ref()?;
        if self.made >= retry.settings.attempts || !retry.takes(x.req.method()) || !caller.may_rewind() {
            return None;
        }
        let event = retry.reason(outcome)?;
        let now = Instant::now();
        let pause = retry.pause(self.made).max(retry.asked_for(outcome).unwrap_or_default());
        let too_late = self.left(now) <= pause;
        if too_late || self.care.is_shut(now) {
            return None;
        }
        if retry.settings.budget.is_some_and(|allowed| !retry.budget.withdraw(now, allowed)) {
            self.care.metrics.count(Event::BudgetExhausted);
            return None;
        }
        self.care.metrics.count(event);
        caller.rewind().then_some(pause)
    }

    /// What is left of the time of the exchange.
    fn left(&self, now: Instant) -> Duration {
        (self.time.began + self.terms.timeout).saturating_duration_since(now)
    }

    /// Lets the service know how much time is left, if it wants to.
    fn tell_deadline(&self, x: &mut Exchange, now: Instant) {
        let Some(name) = &self.care.deadline_header else { return };
        let left = self.left(now).as_millis().min(99_999_999) as u64;
        if name.eq_ignore_ascii_case("grpc-timeout") {
            let asked = x.req.get(b"grpc-timeout").and_then(grpc::timeout);
            // A client that has less patience keeps what it said.
            if asked.is_none_or(|asked| asked > Duration::from_millis(left)) {
                x.req.set(name.as_bytes(), format!("{left}m").as_bytes());
            }
        } else {
            x.req.remove(name.as_bytes());
            x.req.append_number(name.as_bytes(), left);
        }
    }
}

/// An endpoint, and what its circuit wants to hear of.
type Choice<'a> = (Picked, Option<(&'a BreakerSettings, super::breaker::Ticket)>);

/// Whether the service failed; `None` if it was not its doing (Ocelot's list of statuses, spec section 12.2).
fn has_failed(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Ok(answer) => Some(matches!(answer.status(), 500..=508)),
        Err(Cause { why: Why::BackendNone | Why::BackendBreaker, .. }) => None,
        Err(cause) => (cause.why.fault() == Fault::Backend).then_some(true),
    }
}

/// Takes what is already there of an answer, so that its connection may serve again; a long one is closed.
async fn discard(answer: Answer) {
    let Body::Stream(mut body) = answer.body else { return };
    let mut left = DISCARDED;
    let ended = poll_fn(|cx| {
        while left > 0 {
            let n = match body.poll_fill(cx) {
                Poll::Ready(Ok(Chunk::Data(data))) => data.len(),
                Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(true),
                _ => break,
            };
            body.consume(n);
            left = left.saturating_sub(n);
        }
        Poll::Ready(false)
    });
    if ended.await {
        body.finish();
    }
}

/// Waits until then; false if the client left meanwhile.
async fn still_there(caller: &mut dyn Caller, until: Instant) -> bool {
    poll_fn(|cx| {
        if caller.poll_gone(cx).is_ready() {
            return Poll::Ready(false);
        }
        caller.poll_alarm(cx, until).map(|()| true)
    })
    .await
}

/// Ocelot answers for its circuit and its time limit with a text, which is an answer like any other: cached, transformed.
fn as_ocelot(care: &Care, overdue: bool, x: &mut Exchange, outcome: Outcome) -> Outcome {
    let cause = match outcome {
        Ok(answer) => return Ok(answer),
        Err(cause) => cause,
    };
    let Some(route) = care.quality.as_ref().and_then(|quality| quality.ocelot.as_deref()) else {
        return Err(cause);
    };
    let said = match cause.why {
        Why::BackendBreaker => "Circuit breaker is open",
        Why::BackendTimeout | Why::BackendConnectTimeout if overdue => "Request timeout",
        _ => return Err(cause),
    };
    x.record.why = Some(cause.why.name());
    let mut answer = Answer::reply(503, "text/plain; charset=utf-8", format!("{said} for route -> {route}"));
    answer.head.set_status(503, said.as_bytes());
    Ok(answer)
}
