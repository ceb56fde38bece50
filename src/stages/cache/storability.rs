//! Which responses are stored, and for how long (RFC 9111 3).

use super::{
    context::CacheContext,
    core::Cache,
    directives::Directives,
    entry::{EntryMetadata, tags},
    freshness::{Freshness, ResponseTimes, allows_heuristic, knows_status},
    key::ComputedKey,
    serve::unix_now,
    settings::Mode,
    shared_key::{SharedKey, resource_mark},
    vary::VaryKey,
};
use crate::pipeline::{
    head::{Head, KnownHeader},
    response::Response,
};
use smallvec::SmallVec;
use std::time::Instant;

/// The result for a response that may be stored.
pub struct Storability {
    pub freshness: Freshness,
    /// Lowercase names of fields that must not be stored.
    pub excluded_fields: SmallVec<[Box<[u8]>; 1]>,
}

impl Cache {
    /// The key and metadata of a response that may be stored.
    pub(super) fn entry_metadata(
        &self,
        context: &CacheContext,
        request: &Head,
        response: &Response,
        now: Instant,
    ) -> Option<(ComputedKey, EntryMetadata)> {
        let computed = context.key?;
        let head = &response.head;
        if response.body.length().is_some_and(|length| length > self.max_object_size) {
            return None;
        }
        let storability = self.is_storable(context, head, now)?;
        let vary_key = if self.settings.ocelot_exact { VaryKey::None } else { VaryKey::of(head, request) };
        if vary_key == VaryKey::Star {
            return None;
        }
        let metadata = EntryMetadata {
            head: self.stored_head(head, &storability.excluded_fields),
            vary_key,
            freshness: storability.freshness,
            epoch: context.epoch,
            invalidation_marks: self.invalidation_marks(computed, context.shared_key, head),
            url: context.url.clone(),
            region: self.region.clone(),
        };
        Some((computed, metadata))
    }

    /// Whether a response may be stored, and its freshness.
    pub(super) fn is_storable(
        &self,
        context: &CacheContext,
        head: &Head,
        now: Instant,
    ) -> Option<Storability> {
        if !self.settings.statuses.contains(head.status) {
            return None;
        }
        match self.settings.mode {
            Mode::Http => self.is_storable_http(context, head, now),
            Mode::Ocelot => self.is_storable_ocelot(head, now),
        }
    }

    /// A fixed lifetime. Unlike Ocelot, `no-store` and `private` are respected, except with `ocelot_exact`.
    fn is_storable_ocelot(&self, head: &Head, now: Instant) -> Option<Storability> {
        let (directives, _) = match self.settings.ocelot_exact {
            true => Default::default(),
            false => Directives::for_shared_cache(head),
        };
        let partial = matches!(head.status, 206 | 304) && !self.settings.ocelot_exact;
        let may_store = !partial && !directives.no_store && !directives.private;
        may_store.then(|| Storability {
            freshness: Freshness::with_ttl(now, self.settings.ttl()),
            excluded_fields: directives.no_store_fields,
        })
    }

    fn is_storable_http(&self, context: &CacheContext, head: &Head, now: Instant) -> Option<Storability> {
        let (directives, targeted) = Directives::for_shared_cache(head);
        // Partial responses are not stored, nor a 304 without a stored response.
        if head.status < 200 || matches!(head.status, 206 | 304) {
            return None;
        }
        let is_understood = directives.must_understand && knows_status(head.status);
        let is_forbidden = !is_understood && (directives.no_store || directives.must_understand)
            || directives.private
            || context.authorized && !may_store_authorized(&directives);
        if is_forbidden {
            return None;
        }
        let times = ResponseTimes {
            head,
            directives: &directives,
            targeted,
            requested_at: context.requested_at,
            received_at: now,
            now_unix: unix_now(),
        };
        let freshness = Freshness::from_response(&times, &self.settings.defaults);
        let validates = head.get(b"etag").is_some() || head.get(b"last-modified").is_some();
        // RFC 9111 3: the response or its status allows storing, and it can be reused.
        let is_allowed =
            freshness.explicit || directives.public || directives.no_cache || allows_heuristic(head.status);
        let is_useful = !freshness.is_unusable(now, validates)
            && (validates || !freshness.lifetime.is_zero() && !freshness.always_revalidate);
        (is_allowed && is_useful)
            .then(|| Storability { freshness, excluded_fields: directives.no_store_fields.clone() })
    }

    /// The head without fields of one connection or one client, and with `Date`.
    pub(super) fn stored_head(&self, head: &Head, excluded_fields: &[Box<[u8]>]) -> Head {
        let mut stored = head.copy(64);
        let ocelot_exact = self.settings.ocelot_exact;
        let cookies = self.settings.cookies;
        stored.remove_if(|known, name| {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            let cookie = !cookies && is(b"set-cookie");
            let hop = matches!(known, KnownHeader::ProxyAuthenticate | KnownHeader::Trailer)
                || is(b"proxy-authentication-info")
                || is(b"proxy-authorization");
            !ocelot_exact && (cookie || hop || is(b"age"))
                || excluded_fields.iter().any(|excluded| is(excluded))
        });
        if !ocelot_exact && stored.get(b"date").is_none() {
            stored.append(b"Date", httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
        }
        stored.to_stored()
    }

    /// The marks under which the entry is invalidated: its URL, region and tags.
    pub(super) fn invalidation_marks(
        &self,
        computed: ComputedKey,
        shared: Option<SharedKey>,
        head: &Head,
    ) -> SmallVec<[u64; 2]> {
        let mut marks = SmallVec::from_slice(&[computed.resource, self.region_mark]);
        marks.extend(shared.map(|shared| resource_mark(&shared.resource)));
        marks.extend(tags(head).take(MAX_TAGS).map(|tag| self.shared.tag_mark(tag)));
        marks
    }
}

/// Tags of one response; further tags are ignored.
const MAX_TAGS: usize = 64;

/// RFC 9111 3.5.
fn may_store_authorized(directives: &Directives) -> bool {
    directives.public || directives.s_maxage.is_some() || directives.must_revalidate
}
