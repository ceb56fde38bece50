//! Asks the parts of an aggregate, all at one time, and answers with what they say (spec section 20).
//!
//! Parts are exchanges of their own that go through their whole route. They belong to the exchange of the aggregate: when
//! that ends, because the client left or time is over, they end with it, and everything that they hold is given back.

mod call;
mod gather;

use super::answer::through;
use crate::{
    base::{
        bytes::is_tchar,
        percent::{percent_decoded, put_percent},
    },
    pipeline::{
        answer::{Answer, Outcome},
        body::{Caller, Chunk, Framing},
        cause::{Cause, Why},
        exchange::Exchange,
        head::{Head, Known},
    },
    plan::{
        Aggregate, Part,
        aggregate::{
            PARTIAL, accept,
            compose::{self, Form},
        },
    },
    wire::h1::hop::Hop,
};
use call::Counted;
use gather::{Asker, Gathered, RequestBody};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};

/// Asks the parts and puts their answers together.
pub async fn run(aggregate: &Aggregate, x: &mut Exchange, hop: Hop, caller: &mut dyn Caller) -> Outcome {
    let shape = &aggregate.shape;
    if let ([only, rest @ ..], true) = (&*aggregate.parts, shape.ocelot)
        && (rest.is_empty() || hop.websocket)
    {
        return alone(only, x, hop, caller).await;
    }
    if hop.websocket && !shape.ocelot {
        return Err(Cause::new(Why::RequestSwitch, "an answer of several services is no WebSocket"));
    }
    let form = form(aggregate, x)?;
    let body = whole(aggregate, x, caller).await?;
    let asker = Asker::new(aggregate, x, body);
    let gathered = patiently(asker.gather(), aggregate, x.now, caller).await;
    x.record.attempts = asker.attempts();
    x.record.backend = x.record.wanted.then(|| x.now.elapsed());
    match gathered? {
        Gathered::Main(answer) => Ok(answer),
        Gathered::Parts(_) if shape.unserved.is_some() => {
            Err(Cause::new(Why::RouteUnserved, shape.unserved.clone().unwrap_or_default()))
        }
        Gathered::Parts(bodies) => answer(aggregate, form, bodies, x),
    }
}

/// To Ocelot an aggregate of one route is that route; a WebSocket goes to the first one (spec sections 20, 22).
async fn alone(part: &Part, x: &mut Exchange, hop: Hop, caller: &mut dyn Caller) -> Outcome {
    let mut inner = part.exchange(x, None, true);
    let mut counted = Counted::begin(&part.route.metrics, x.worker);
    let outcome = Box::pin(through(&part.route, &mut inner, hop, caller)).await;
    let status = |cause: &Cause| cause.status(true);
    counted.status = outcome.as_ref().map_or_else(status, Answer::status);
    let record = inner.record;
    (x.record.endpoint, x.record.attempts, x.record.backend) =
        (record.endpoint, record.attempts, record.backend);
    outcome
}

/// The form that the client asks for.
fn form<'a>(aggregate: &'a Aggregate, x: &Exchange) -> Result<&'a Form, Cause> {
    let forms = &aggregate.shape.forms;
    let names: Vec<&str> = forms.iter().map(|form| &*form.media).collect();
    let wished = accept::choose(x.req.all(b"Accept"), &names);
    let wished = if aggregate.shape.ocelot { wished.or(Some(0)) } else { wished };
    wished.and_then(|at| forms.get(at)).ok_or_else(|| {
        Cause::new(Why::RequestAccept, format!("the answer can be had as {}", names.join(", ")))
    })
}

/// The request body, which every part gets. Ocelot copies it only if its length is known beforehand.
async fn whole(aggregate: &Aggregate, x: &Exchange, caller: &mut dyn Caller) -> Result<RequestBody, Cause> {
    let most = (aggregate.shape.most_of_request as u64).min(x.body_limit);
    let expects = x.req.known(Known::Expect).is_some();
    match caller.framing() {
        Framing::None => return Ok(RequestBody::default()),
        Framing::Chunked if aggregate.shape.ocelot => return Ok(RequestBody::default()),
        Framing::Length(n) if n > most => {
            return Err(Cause::new(
                Why::RequestBody,
                format!("the request body is larger than {most} bytes"),
            ));
        }
        _ => {}
    }
    caller.limit_body(most);
    if expects && caller.received() == 0 {
        poll_fn(|cx| {
            caller.interim(&Head::response(100, b"Continue"), cx);
            Poll::Ready(())
        })
        .await;
    }
    let (mut body, mut since) = (Vec::new(), Instant::now());
    poll_fn(|cx| {
        while let Poll::Ready(chunk) = caller.poll_fill(cx) {
            let Chunk::Data(data) = chunk? else { return Poll::Ready(Ok(())) };
            let n = data.len();
            body.extend_from_slice(data);
            caller.consume(n);
            since = Instant::now();
        }
        let still = || Cause::new(Why::RequestTimeout, "the request body stood still for too long");
        caller.poll_alarm(cx, since + aggregate.body_idle).map(|()| Err(still()))
    })
    .await?;
    Ok(RequestBody { bytes: body.into(), trailers: caller.trailers().cloned() })
}

/// Waits for as long as the client does, and the aggregate may take.
async fn patiently<T>(
    work: impl Future<Output = Result<T, Cause>>,
    aggregate: &Aggregate,
    began: Instant,
    caller: &mut dyn Caller,
) -> Result<T, Cause> {
    let mut work = pin!(work);
    let shape = &aggregate.shape;
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if caller.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Cause::gone()));
        }
        match shape.timeout {
            Some(time) if caller.poll_alarm(cx, began + time).is_ready() => {
                let detail = format!("the aggregate was not complete within {time:?}");
                Poll::Ready(Err(Cause::new(Why::BackendTimeout, detail)))
            }
            _ => Poll::Pending,
        }
    })
    .await
}

fn answer(aggregate: &Aggregate, form: &Form, bodies: Vec<compose::Body>, x: &Exchange) -> Outcome {
    let shape = &aggregate.shape;
    let keys = aggregate.parts.iter().map(|part| &*part.terms.key);
    let parts: Vec<compose::Part> = keys.zip(bodies).map(|(key, body)| compose::Part { key, body }).collect();
    let text = match form.template {
        None if shape.ocelot => compose::ocelots(&parts),
        _ => compose::ours(form, &parts, &values(aggregate, x), shape.most)?,
    };
    let mut answer = Answer::reply(200, &form.media, text);
    if shape.forms.len() > 1 {
        answer.head.append(b"Vary", b"Accept");
    }
    let missing: Vec<String> = compose::missing(&parts).map(in_header).collect();
    if !missing.is_empty() {
        answer.head.append(PARTIAL.as_bytes(), missing.join(", ").as_bytes());
        // Nobody should find half an answer in a cache.
        answer.head.append(b"Cache-Control", b"no-store");
    }
    Ok(answer)
}

/// The placeholders of the aggregate, for templates.
fn values(aggregate: &Aggregate, x: &Exchange) -> Vec<(String, String)> {
    let Some(part) = aggregate.parts.iter().find(|part| part.terms.values.is_none()) else {
        return Vec::new();
    };
    let value = |at: usize| {
        let value = x.values.get(at, x.req.target())?;
        let plain = percent_decoded(value.bytes, false);
        Some((part.names[at].to_string(), String::from_utf8_lossy(&plain).into_owned()))
    };
    (0..part.names.len()).filter_map(value).collect()
}

/// A key as it may stand in a list in a header.
fn in_header(key: &str) -> String {
    let mut out = Vec::new();
    for byte in key.bytes() {
        match is_tchar(byte) && byte != b'%' {
            true => out.push(byte),
            false => put_percent(byte, &mut out),
        }
    }
    String::from_utf8(out).unwrap_or_default()
}
