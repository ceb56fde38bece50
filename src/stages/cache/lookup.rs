//! The way in: what is stored is given, or the request goes on with a ticket for the way back.

use super::{
    Cache,
    asked::{Asked, Plan},
    conditions::Conditions,
    directives::Directives,
    entry::{About, Entry},
    flights::{Flight, Joined, Lead, State},
    freshness::Life,
    key::{Found, url},
    landing::Ticket,
    serve::{self, Source, Wanted},
    settings::Mode,
    status::{Forward, Said},
};
use crate::{
    pipeline::{
        answer::Answer,
        body::Framing,
        cause::{Cause, Why},
        exchange::Exchange,
        stage::Step,
    },
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

/// Bodies of requests that are part of a key.
const LARGEST_REQUEST: usize = 32 << 20;

/// What may be done with a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Fresh,
    /// Stale, and the client does not mind.
    Stale,
    /// Stale, and good enough while another one is asked for.
    Meanwhile,
    No,
}

/// RFC 9111 4.2 and 5.2.1.
fn use_of(life: &Life, asked: &Directives, now: Instant) -> Use {
    let too_old = asked.max_age.is_some_and(|most| life.age(now).as_secs() > u64::from(most));
    if asked.no_cache || too_old {
        return Use::No;
    }
    if let Some(left) = life.left(now) {
        let enough = asked.min_fresh.is_none_or(|least| left.as_secs() >= u64::from(least));
        return if enough { Use::Fresh } else { Use::No };
    }
    let staleness = life.staleness(now).as_secs();
    if !life.strict && asked.max_stale.is_some_and(|most| staleness <= u64::from(most)) {
        return Use::Stale;
    }
    if life.serves_while_revalidating(now) { Use::Meanwhile } else { Use::No }
}

impl Cache {
    pub(super) fn look(self: &Arc<Self>, x: &mut Exchange) -> Step {
        let plan = match self.settings.mode {
            Mode::Http => Plan::http(&self.settings, x),
            Mode::Ocelot => Plan::ocelot(&self.settings, x),
        };
        match plan {
            Plan::Look(asked) => {
                let found = self.find(x);
                self.answer(x, asked, found, true)
            }
            Plan::Body if x.dry => Step::Next,
            Plan::Body => Step::Body(LARGEST_REQUEST),
            Plan::Pass(forward) => self.pass(x, forward),
        }
    }

    fn find(&self, x: &Exchange) -> Found {
        let body = x.body.as_deref().filter(|_| self.settings.hash_body && x.framing != Framing::None);
        match self.settings.mode {
            // HEAD is answered out of what GET brought.
            Mode::Http => self.keyer.find(x, b"GET", None),
            Mode::Ocelot => self.keyer.find(x, x.req.method(), body),
        }
    }

    /// What is stored for the request, unless something was said against it.
    fn stored(&self, x: &Exchange, found: Found) -> (Option<Arc<Entry>>, Forward) {
        let Some(resource) = self.store.get(found.key) else { return (None, Forward::UriMiss) };
        let entry = resource.find(&x.req);
        let entry = entry.filter(|entry| entry.about.is_allowed(&self.common.marks));
        (entry.cloned(), if resource.variants.is_empty() { Forward::UriMiss } else { Forward::VaryMiss })
    }

    fn answer(self: &Arc<Self>, x: &mut Exchange, asked: Asked, found: Found, wait: bool) -> Step {
        let (entry, missed) = self.stored(x, found);
        let forward = if entry.is_some() { Forward::Stale } else { missed };
        if let Some(entry) = &entry {
            match use_of(&entry.about.life, &asked.directives, x.now) {
                Use::Fresh => return Step::Reply(self.hit(x, entry, &asked, CacheOutcome::Hit)),
                Use::Stale => return Step::Reply(self.hit(x, entry, &asked, CacheOutcome::Stale)),
                Use::Meanwhile => {
                    self.refresh(x, &asked, found, entry);
                    return Step::Reply(self.hit(x, entry, &asked, CacheOutcome::Stale));
                }
                Use::No => {}
            }
        }
        if asked.directives.only_if_cached {
            return Step::Fail(Cause::new(
                Why::CacheOnly,
                "nothing fresh is stored, and nothing else was wanted",
            ));
        }
        if x.dry {
            return Step::Next;
        }
        self.ask(x, asked, found, entry, forward, wait)
    }

    /// Another request for the same is joined, or this one goes on.
    fn ask(
        self: &Arc<Self>,
        x: &mut Exchange,
        asked: Asked,
        found: Found,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        wait: bool,
    ) -> Step {
        let alone =
            !wait || !self.settings.collapse || asked.head_only || !self.may_share(&asked, entry.as_ref());
        if alone || self.common.passes.passes(found.key, x.now) {
            self.go_on(x, &asked, Some(found), entry, forward, None);
            return Step::Next;
        }
        match self.common.flights.join(found.key) {
            Joined::Follow(flight) => self.wait(flight, asked, found),
            Joined::Lead(lead) => {
                // Somebody else may have stored an answer just now.
                let (now_stored, _) = self.stored(x, found);
                if let Some(stored) = now_stored
                    && use_of(&stored.about.life, &asked.directives, x.now) == Use::Fresh
                {
                    lead.end(Some(stored.clone()));
                    return Step::Reply(self.hit(x, &stored, &asked, CacheOutcome::Hit));
                }
                self.go_on(x, &asked, Some(found), entry, forward, Some(lead));
                Step::Next
            }
        }
    }

    /// The answer to a request that others wait for must be a whole one: its conditions must be ours to decide.
    fn may_share(&self, asked: &Asked, entry: Option<&Arc<Entry>>) -> bool {
        !asked.conditional || entry.is_some_and(|entry| entry.about.validates())
    }

    fn wait(self: &Arc<Self>, flight: Arc<Flight>, asked: Asked, found: Found) -> Step {
        let cache = self.clone();
        Step::Wait(Box::pin(async move {
            let state = flight.landed().await;
            Step::Resume(Box::new(move |x| cache.landed(x, state, asked, found)))
        }))
    }

    /// What another request brought, if it is for this one too.
    fn landed(self: &Arc<Self>, x: &mut Exchange, state: State, asked: Asked, found: Found) -> Step {
        // The clock stood still for this exchange while it waited.
        let now = Instant::now();
        match state {
            State::Open(incoming) if incoming.about.varies.suits(&x.req) && incoming.filling.is_open() => {
                let length = incoming.filling.length();
                let source = Source::Open(incoming.filling.follow(), length);
                Step::Reply(self.reply(x, &incoming.about, source, &asked, now, CacheOutcome::Collapsed))
            }
            State::Landed(entry) if entry.about.varies.suits(&x.req) => {
                let source = Source::Stored(&entry);
                Step::Reply(self.reply(x, &entry.about, source, &asked, now, CacheOutcome::Collapsed))
            }
            State::Abandoned => self.answer(x, asked, found, true),
            _ => self.answer(x, asked, found, false),
        }
    }

    fn hit(&self, x: &Exchange, entry: &Entry, asked: &Asked, outcome: CacheOutcome) -> Answer {
        self.reply(x, &entry.about, Source::Stored(entry), asked, x.now, outcome)
    }

    fn reply(
        &self,
        x: &Exchange,
        about: &About,
        source: Source,
        asked: &Asked,
        now: Instant,
        outcome: CacheOutcome,
    ) -> Answer {
        if !x.dry {
            self.metrics.count(x.worker, outcome);
        }
        let conditions = asked.conditional.then(|| Conditions::of(&x.req));
        let collapsed = outcome == CacheOutcome::Collapsed;
        let said = Said { hit: true, ttl: Some(ttl(&about.life, now)), collapsed, ..Said::default() };
        let wanted = Wanted {
            head_only: asked.head_only,
            conditions: conditions.as_ref(),
            now,
            said: self.says().then_some(said),
        };
        serve::answer(about, source, &wanted)
    }

    /// The request goes on, with all that is needed when it comes back.
    pub(super) fn go_on(
        &self,
        x: &mut Exchange,
        asked: &Asked,
        found: Option<Found>,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        lead: Option<Lead>,
    ) {
        let validating = !asked.head_only && entry.as_ref().is_some_and(|entry| entry.about.validates());
        let conditions = if validating { Conditions::take(&mut x.req) } else { Conditions::default() };
        if let Some(entry) = entry.as_ref().filter(|_| validating) {
            let stored = &entry.about.head;
            for (name, field) in
                [(&b"If-None-Match"[..], &b"etag"[..]), (b"If-Modified-Since", b"last-modified")]
            {
                if let Some(value) = stored.get(field) {
                    x.req.append(name, value);
                }
            }
        }
        let ticket = Ticket {
            // What comes back to a HEAD is no answer to anything else.
            found: found.filter(|_| !asked.head_only || self.settings.mode == Mode::Ocelot),
            url: url(x),
            stamp: self.common.marks.now(),
            asked: x.now,
            forward,
            entry,
            validating,
            conditions,
            stale_if_error: asked.directives.stale_if_error,
            authorized: asked.authorized,
            lead,
        };
        x.ticket = Some(Box::new(ticket));
    }

    fn pass(&self, x: &mut Exchange, forward: Forward) -> Step {
        if !x.dry {
            self.go_on(x, &Asked::default(), None, None, forward, None);
        }
        Step::Next
    }
}

/// Seconds of freshness left; fewer than none for what is stale.
pub fn ttl(life: &Life, now: Instant) -> i64 {
    let secs = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    secs(life.lifetime).saturating_sub(secs(life.age(now)))
}
