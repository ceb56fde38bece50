//! The way back: what came is given on, kept, or gives way to what is stored.

use super::{
    Cache,
    asked::{self, is_safe},
    conditions::Conditions,
    entry::{About, Entry, Pieces},
    fill::{Filling, Tee},
    flights::{Incoming, Lead},
    freshness::Life,
    key::Found,
    lookup::ttl,
    marks::Stamp,
    serve::{self, Source, Wanted},
    sink::Landing,
    status::{Forward, Said},
};
use crate::{
    pipeline::{
        answer::{Answer, Outcome, add_field},
        body::Body,
        cause::{Cause, Fault, Why},
        exchange::Exchange,
        head::Head,
    },
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

/// What a request that went on wants to find on its way back.
pub struct Ticket {
    /// None: what comes is not kept.
    pub found: Option<Found>,
    pub url: Box<[u8]>,
    pub stamp: Stamp,
    pub asked: Instant,
    pub forward: Forward,
    /// What is stored and stale.
    pub entry: Option<Arc<Entry>>,
    /// The service is asked whether it still holds.
    pub validating: bool,
    /// What the client asked to be true, instead of which the gateway asks.
    pub conditions: Conditions,
    pub stale_if_error: Option<u32>,
    pub authorized: bool,
    pub lead: Option<Lead>,
}

impl Cache {
    /// The way back of a request that came with a client.
    pub(super) fn back(&self, x: &Exchange, ticket: Ticket, outcome: &mut Outcome) {
        if let Ok(answer) = outcome
            && self.is_http()
            && !is_safe(x.req.method())
            && (200..400).contains(&answer.status())
        {
            self.invalidate(x, &answer.head);
        }
        let ticket = self.as_get(x, ticket, outcome);
        self.land(x.worker, &x.req, ticket, outcome);
    }

    /// RFC 9111 4.4: what was changed is asked for anew, under its own name and under those that the answer gives it.
    fn invalidate(&self, x: &Exchange, answer: &Head) {
        self.common.marks.set(self.keyer.find(x, b"GET", None).address);
        for name in [&b"location"[..], b"content-location"] {
            let elsewhere = answer.get(name).and_then(|location| self.keyer.elsewhere(x, location));
            elsewhere.into_iter().for_each(|hash| self.common.marks.set(hash));
        }
    }

    /// RFC 9110 9.3.3: the answer to a POST that says how long it is fresh, and that it is what a GET would bring.
    fn as_get(&self, x: &Exchange, mut ticket: Ticket, outcome: &Outcome) -> Ticket {
        let Ok(answer) = outcome else { return ticket };
        let post = x.req.method() == b"POST" && self.is_http() && asked::takes(&self.settings, b"POST");
        let itself = post
            && !self.settings.methods.is_empty()
            && answer.status() == 200
            && answer.head.get(b"content-location").is_some_and(|text| self.keyer.is_itself(x, text))
            && (answer.head.get(b"cache-control").is_some() || answer.head.get(b"expires").is_some());
        if itself {
            ticket.found = Some(self.keyer.find(x, b"GET", None));
            ticket.authorized = x.req.get(b"authorization").is_some();
            // After the mark that the same answer made.
            ticket.stamp = self.common.marks.now();
        }
        ticket
    }

    /// What is done with an outcome, whoever asked.
    pub(super) fn land(&self, worker: usize, request: &Head, mut ticket: Ticket, outcome: &mut Outcome) {
        let now = Instant::now();
        let lead = ticket.lead.take();
        if let Some(entry) = self.stale_instead(&ticket, outcome, now) {
            self.metrics.count(worker, CacheOutcome::Stale);
            return self.give_stale(&ticket, entry, lead, outcome, now);
        }
        let Ok(answer) = outcome else {
            // Whoever waits asks for itself, unless it was only the client that left.
            let gone = matches!(outcome, Err(cause) if cause.why == Why::ClientGone);
            lead.filter(|_| !gone).into_iter().for_each(|lead| lead.end(None));
            return self.say(outcome, Said { forward: Some(ticket.forward), ..Said::default() });
        };
        if ticket.validating && answer.status() == 304 {
            self.metrics.count(worker, CacheOutcome::Validated);
            return self.refreshed(ticket, lead, outcome, now);
        }
        let passed = ticket.found.is_none();
        self.metrics.count(worker, if passed { CacheOutcome::Bypass } else { CacheOutcome::Miss });
        let forward_status = None;
        let (stored, ttl) = match self.about(&ticket, request, answer, now) {
            Some((found, about)) => {
                let left = ttl(&about.life, now);
                (self.take_in(found, about, answer, lead, now), Some(left))
            }
            None => {
                self.not_kept(&ticket, lead, now);
                (false, None)
            }
        };
        let forward = Some(ticket.forward);
        self.say(outcome, Said { forward, forward_status, stored, ttl, ..Said::default() });
    }

    /// Others need not wait for answers like this one for a while.
    fn not_kept(&self, ticket: &Ticket, lead: Option<Lead>, now: Instant) {
        if let (Some(found), true) = (ticket.found, lead.is_some()) {
            self.common.passes.note(found.key, false, now);
        }
        lead.into_iter().for_each(|lead| lead.end(None));
    }

    /// The stored answer, where the service failed and it may stand in (RFC 5861 4, RFC 9111 4.2.4).
    fn stale_instead(&self, ticket: &Ticket, outcome: &Outcome, now: Instant) -> Option<Arc<Entry>> {
        let entry = ticket.entry.as_ref()?;
        let life = &entry.about.life;
        let may = match outcome {
            Ok(answer) => {
                matches!(answer.status(), 500 | 502 | 503 | 504)
                    && life.serves_on_error(now, ticket.stale_if_error)
            }
            Err(Cause { why, .. }) => {
                why.fault() == Fault::Backend
                    && (life.serves_disconnected(now) || life.serves_on_error(now, ticket.stale_if_error))
            }
        };
        (may && entry.about.is_allowed(&self.common.marks)).then(|| entry.clone())
    }

    fn give_stale(
        &self,
        ticket: &Ticket,
        entry: Arc<Entry>,
        lead: Option<Lead>,
        outcome: &mut Outcome,
        now: Instant,
    ) {
        let forward_status = outcome.as_ref().ok().map(Answer::status);
        let detail = if forward_status.is_none() { Some("unreachable") } else { None };
        let said = Said {
            hit: false,
            forward: Some(Forward::Stale),
            forward_status,
            ttl: Some(ttl(&entry.about.life, now)),
            detail,
            ..Said::default()
        };
        *outcome = Ok(self.stored_answer(ticket, &entry, said, now));
        lead.into_iter().for_each(|lead| lead.end(Some(entry.clone())));
    }

    fn stored_answer(&self, ticket: &Ticket, entry: &Entry, said: Said, now: Instant) -> Answer {
        let wanted = Wanted {
            head_only: false,
            conditions: Some(&ticket.conditions),
            now,
            said: self.says().then_some(said),
        };
        serve::answer(&entry.about, Source::Stored(entry), &wanted)
    }

    /// RFC 9111 4.3.4: what is stored holds on, with what the service says anew.
    fn refreshed(&self, ticket: Ticket, lead: Option<Lead>, outcome: &mut Outcome, now: Instant) {
        let (Ok(answer), Some(old), Some(found)) = (&*outcome, ticket.entry.clone(), ticket.found) else {
            return;
        };
        let head = merged(&old.about.head, &answer.head);
        let admitted = self.common.marks.admits(ticket.stamp);
        let judged = self.judge(&ticket, &head, now).filter(|_| admitted);
        let keeps = judged.map(|judged| (judged, old.about.size()));
        let new = keeps.and_then(|(judged, size)| {
            let about = Arc::new(About {
                head: self.kept_head(&head, &judged.left_out),
                varies: old.about.varies.clone(),
                life: judged.life,
                stamp: ticket.stamp,
                marks: self.marks(found, &head),
                url: old.about.url.clone(),
                region: self.region.clone(),
            });
            let hold = self.store.room(size)?;
            Some(Arc::new(Entry { about, body: old.body.clone(), length: old.length, _hold: hold }))
        });
        if let Some(entry) = &new {
            self.store.put(found.key, entry.clone(), now);
        }
        let stored = new.is_some();
        let entry = new.unwrap_or(old);
        let said = Said {
            forward: Some(Forward::Stale),
            forward_status: Some(304),
            ttl: Some(ttl(&entry.about.life, now)),
            stored,
            ..Said::default()
        };
        *outcome = Ok(self.stored_answer(&ticket, &entry, said, now));
        let shared = stored && entry.about.life.left(now).is_some();
        lead.into_iter().for_each(|lead| lead.end(shared.then(|| entry.clone())));
    }

    /// Begins to keep an answer; its body is read along from now on.
    fn take_in(
        &self,
        found: Found,
        about: About,
        answer: &mut Answer,
        lead: Option<Lead>,
        now: Instant,
    ) -> bool {
        let Some(hold) = self.store.room(about.size()) else {
            lead.into_iter().for_each(|lead| lead.end(None));
            return false;
        };
        let shared = about.life.left(now).is_some();
        self.common.passes.note(found.key, shared, now);
        let about = Arc::new(about);
        let sink = |lead| Landing::new(self, found, about.clone(), hold, lead);
        match std::mem::take(&mut answer.body) {
            Body::Stream(inner) => {
                let expected = inner.framing().length();
                // Who waits for what cannot be shared asks for itself.
                let lead = self.or_release(lead, shared);
                let filling = Filling::new(Box::new(sink(lead)), expected);
                if expected.is_some() && shared {
                    let incoming = Incoming { about: about.clone(), filling: filling.clone() };
                    filling.open(Arc::new(incoming));
                }
                answer.body = Body::Stream(Box::new(Tee::new(inner, filling)));
            }
            Body::Bytes(bytes) => {
                sink(self.or_release(lead, shared)).whole(&bytes);
                answer.body = Body::Bytes(bytes);
            }
            Body::Empty => sink(self.or_release(lead, shared)).whole(&[]),
        }
        true
    }

    fn or_release(&self, lead: Option<Lead>, shared: bool) -> Option<Lead> {
        if shared {
            return lead;
        }
        lead.into_iter().for_each(|lead| lead.end(None));
        None
    }

    /// `Cache-Status`, on answers of all kinds.
    fn say(&self, outcome: &mut Outcome, said: Said) {
        if self.says() {
            add_field(outcome, "Cache-Status", &said.text());
        }
    }
}

/// The stored head with the fields of a 304 in the place of its own (RFC 9111 3.2). What describes the stored bytes
/// themselves stays.
fn merged(stored: &Head, fresh: &Head) -> Head {
    const STAY: [&[u8]; 4] = [b"content-length", b"content-encoding", b"content-range", b"cache-status"];
    let stays = |name: &[u8]| STAY.iter().any(|known| name.eq_ignore_ascii_case(known));
    let mut head = stored.copy(fresh.bytes().len());
    for (_, name, _) in fresh.fields().filter(|(_, name, _)| !stays(name)) {
        head.remove(name);
    }
    for (_, name, value) in fresh.fields().filter(|(_, name, _)| !stays(name)) {
        head.append(name, value);
    }
    if fresh.get(b"age").is_none() {
        head.remove(b"age");
    }
    head
}

/// What was found out about an answer that may be kept.
pub struct Judged {
    pub life: Life,
    pub left_out: smallvec::SmallVec<[Box<[u8]>; 1]>,
}

/// The body of a stored answer.
pub fn pieces_length(pieces: &Pieces) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_304_says_anew_what_it_says_and_leaves_the_rest() {
        let (mut stored, mut fresh) = (Head::response(200, b"OK"), Head::response(304, b"Not Modified"));
        for (name, value) in [("A", "1"), ("B", "1"), ("B", "2"), ("Content-Length", "36"), ("Age", "7")] {
            stored.append(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in [("b", "3"), ("C", "4"), ("Content-Length", "10")] {
            fresh.append(name.as_bytes(), value.as_bytes());
        }
        let head = merged(&stored, &fresh);
        let fields: Vec<_> = head.fields().map(|(_, name, value)| (name, value)).collect();
        assert_eq!(head.status, 200);
        assert_eq!(fields, [(&b"A"[..], &b"1"[..]), (b"Content-Length", b"36"), (b"b", b"3"), (b"C", b"4")]);
    }
}
