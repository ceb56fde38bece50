//! Which answers are kept, and for how long (RFC 9111 3).

use super::{
    Cache,
    directives::Directives,
    entry::{EntryMetadata, tags},
    freshness::{Freshness, ResponseTimes, allows_heuristic, knows_status},
    key::ComputedKey,
    serve::unix_now,
    settings::Mode,
    store_response::{CacheContext, Storability},
    vary::VaryKey,
};
use crate::pipeline::{
    head::{Head, KnownHeader},
    response::Response,
};
use smallvec::SmallVec;
use std::time::Instant;

impl Cache {
    /// What is kept of an answer; none: nothing.
    pub(super) fn entry_metadata(
        &self,
        ticket: &CacheContext,
        request: &Head,
        answer: &Response,
        now: Instant,
    ) -> Option<(ComputedKey, EntryMetadata)> {
        let found = ticket.key?;
        let head = &answer.head;
        if answer.body.length().is_some_and(|length| length > self.max_object_size) {
            return None;
        }
        let judged = self.is_storable(ticket, head, now)?;
        let varies = if self.settings.ocelot_exact { VaryKey::None } else { VaryKey::of(head, request) };
        if varies == VaryKey::Star {
            return None;
        }
        let about = EntryMetadata {
            head: self.stored_head(head, &judged.excluded_fields),
            vary_key: varies,
            freshness: judged.life,
            epoch: ticket.stamp,
            invalidation_marks: self.invalidation_marks(found, head),
            url: ticket.url.clone(),
            region: self.region.clone(),
        };
        Some((found, about))
    }

    pub(super) fn is_storable(
        &self,
        ticket: &CacheContext,
        head: &Head,
        now: Instant,
    ) -> Option<Storability> {
        if !self.settings.statuses.contains(head.status) {
            return None;
        }
        match self.settings.mode {
            Mode::Http => self.is_storable_http(ticket, head, now),
            Mode::Ocelot => self.is_storable_ocelot(head, now),
        }
    }

    /// A fixed time, whatever the answer says; but what is meant for one is kept for nobody, unless Ocelot does.
    fn is_storable_ocelot(&self, head: &Head, now: Instant) -> Option<Storability> {
        let (directives, _) = match self.settings.ocelot_exact {
            true => Default::default(),
            false => Directives::for_shared_cache(head),
        };
        let partial = matches!(head.status, 206 | 304) && !self.settings.ocelot_exact;
        let kept = !partial && !directives.no_store && !directives.private;
        kept.then(|| Storability {
            life: Freshness::with_ttl(now, self.settings.ttl()),
            excluded_fields: directives.no_store_fields,
        })
    }

    fn is_storable_http(&self, ticket: &CacheContext, head: &Head, now: Instant) -> Option<Storability> {
        let (directives, targeted) = Directives::for_shared_cache(head);
        // Parts are not kept, and 304 is about something that is not here.
        if head.status < 200 || matches!(head.status, 206 | 304) {
            return None;
        }
        let understood = directives.must_understand && knows_status(head.status);
        let forbidden = !understood && (directives.no_store || directives.must_understand)
            || directives.private
            || ticket.authorized && !may_store_authorized(&directives);
        if forbidden {
            return None;
        }
        let arrival = ResponseTimes {
            head,
            directives: &directives,
            targeted,
            requested_at: ticket.request,
            received_at: now,
            date_now: unix_now(),
        };
        let life = Freshness::from_response(&arrival, &self.settings.defaults);
        let validates = head.get(b"etag").is_some() || head.get(b"last-modified").is_some();
        // RFC 9111 3: the answer, or its status, allows it; and it is of use again.
        let allowed =
            life.explicit || directives.public || directives.no_cache || allows_heuristic(head.status);
        let useful = !life.is_unusable(now, validates)
            && (validates || !life.lifetime.is_zero() && !life.always_revalidate);
        (allowed && useful).then(|| Storability { life, excluded_fields: directives.no_store_fields.clone() })
    }

    /// Without what is for one connection or one client only, and with a date.
    pub(super) fn stored_head(&self, head: &Head, left_out: &[Box<[u8]>]) -> Head {
        let mut kept = head.copy(64);
        let exact = self.settings.ocelot_exact;
        let cookies = self.settings.cookies;
        kept.remove_if(|known, name| {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            let cookie = !cookies && is(b"set-cookie");
            let hop = matches!(known, KnownHeader::ProxyAuthenticate | KnownHeader::Trailer)
                || is(b"proxy-authentication-info")
                || is(b"proxy-authorization");
            !exact && (cookie || hop || is(b"age")) || left_out.iter().any(|out| is(out))
        });
        if !exact && kept.get(b"date").is_none() {
            kept.append(b"Date", httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
        }
        kept.to_stored()
    }

    /// Under which words it is forgotten.
    pub(super) fn invalidation_marks(&self, found: ComputedKey, head: &Head) -> SmallVec<[u64; 2]> {
        let mut marks = SmallVec::from_slice(&[found.resource, self.region_epoch]);
        marks.extend(tags(head).take(MAX_TAGS).map(|tag| self.shared.tag(tag)));
        marks
    }
}

/// Tags of one answer; more are not listened to.
const MAX_TAGS: usize = 64;

/// RFC 9111 3.5.
fn may_store_authorized(directives: &Directives) -> bool {
    directives.public || directives.s_maxage.is_some() || directives.must_revalidate
}
