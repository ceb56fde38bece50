//! Which answers are kept, and for how long (RFC 9111 3).

use super::{
    Cache,
    directives::Directives,
    entry::{About, tags},
    freshness::{Arrival, Life, is_guessable, is_understood},
    key::Found,
    landing::{Judged, Ticket},
    serve::wall,
    settings::Mode,
    vary::Varies,
};
use crate::pipeline::{
    answer::Answer,
    head::{Head, Known},
};
use smallvec::SmallVec;
use std::time::Instant;

impl Cache {
    /// What is kept of an answer; none: nothing.
    pub(super) fn about(
        &self,
        ticket: &Ticket,
        request: &Head,
        answer: &Answer,
        now: Instant,
    ) -> Option<(Found, About)> {
        let found = ticket.found?;
        let head = &answer.head;
        if answer.body.length().is_some_and(|length| length > self.largest) {
            return None;
        }
        let judged = self.judge(ticket, head, now)?;
        let varies = if self.settings.exact { Varies::Not } else { Varies::of(head, request) };
        if varies == Varies::Always {
            return None;
        }
        let about = About {
            head: self.kept_head(head, &judged.left_out),
            varies,
            life: judged.life,
            stamp: ticket.stamp,
            marks: self.marks(found, head),
            url: ticket.url.clone(),
            region: self.region.clone(),
        };
        Some((found, about))
    }

    pub(super) fn judge(&self, ticket: &Ticket, head: &Head, now: Instant) -> Option<Judged> {
        if !self.settings.statuses.holds(head.status) {
            return None;
        }
        match self.settings.mode {
            Mode::Http => self.judge_http(ticket, head, now),
            Mode::Ocelot => self.judge_ocelot(head, now),
        }
    }

    /// A fixed time, whatever the answer says; but what is meant for one is kept for nobody, unless Ocelot does.
    fn judge_ocelot(&self, head: &Head, now: Instant) -> Option<Judged> {
        let (directives, _) = match self.settings.exact {
            true => Default::default(),
            false => Directives::of_answer(head),
        };
        let partial = matches!(head.status, 206 | 304) && !self.settings.exact;
        let kept = !partial && !directives.no_store && !directives.private;
        kept.then(|| Judged { life: Life::fixed(now, self.settings.ttl()), left_out: directives.left_out })
    }

    fn judge_http(&self, ticket: &Ticket, head: &Head, now: Instant) -> Option<Judged> {
        let (directives, targeted) = Directives::of_answer(head);
        // Parts are not kept, and 304 is about something that is not here.
        if head.status < 200 || matches!(head.status, 206 | 304) {
            return None;
        }
        let understood = directives.must_understand && is_understood(head.status);
        let forbidden = !understood && (directives.no_store || directives.must_understand)
            || directives.private
            || ticket.authorized && !allows_authorized(&directives);
        if forbidden {
            return None;
        }
        let arrival = Arrival {
            head,
            directives: &directives,
            targeted,
            asked: ticket.asked,
            received: now,
            wall: wall(),
        };
        let life = Life::of(&arrival, &self.settings.defaults);
        let validates = head.get(b"etag").is_some() || head.get(b"last-modified").is_some();
        // RFC 9111 3: the answer, or its status, allows it; and it is of use again.
        let allowed = life.explicit || directives.public || directives.no_cache || is_guessable(head.status);
        let useful =
            !life.is_over(now, validates) && (validates || !life.lifetime.is_zero() && !life.never_alone);
        (allowed && useful).then(|| Judged { life, left_out: directives.left_out.clone() })
    }

    /// Without what is for one connection or one client only, and with a date.
    pub(super) fn kept_head(&self, head: &Head, left_out: &[Box<[u8]>]) -> Head {
        let mut kept = head.copy(64);
        let exact = self.settings.exact;
        let cookies = self.settings.cookies;
        kept.remove_if(|known, name| {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            let cookie = !cookies && is(b"set-cookie");
            let hop = matches!(known, Known::ProxyAuthenticate | Known::Trailer)
                || is(b"proxy-authentication-info")
                || is(b"proxy-authorization");
            !exact && (cookie || hop || is(b"age")) || left_out.iter().any(|out| is(out))
        });
        if !exact && kept.get(b"date").is_none() {
            kept.append(b"Date", httpdate::fmt_http_date(std::time::SystemTime::now()).as_bytes());
        }
        kept.compact()
    }

    /// Under which words it is forgotten.
    pub(super) fn marks(&self, found: Found, head: &Head) -> SmallVec<[u64; 2]> {
        let mut marks = SmallVec::from_slice(&[found.address, self.region_mark]);
        marks.extend(tags(head).take(MOST_TAGS).map(|tag| self.common.tag(tag)));
        marks
    }
}

/// Tags of one answer; more are not listened to.
const MOST_TAGS: usize = 64;

/// RFC 9111 3.5.
fn allows_authorized(directives: &Directives) -> bool {
    directives.public || directives.s_maxage.is_some() || directives.must_revalidate
}
