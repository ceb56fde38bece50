//! `RateLimitOptions`: how often one client may call (spec section 13), and ours beside it: token buckets, other
//! partitions than the client's id, several limits at once.

pub mod bucket;
pub mod counters;
pub mod fields;
mod told;
pub mod window;

use super::partition::{Key, Keyer, Part, client_id, list};
use crate::pipeline::{
    answer::Outcome,
    cause::{Cause, Why},
    exchange::{Exchange, Quota},
    stage::{Stage, Step},
};
use bucket::Bucket;
use counters::{Cell, Counters};
use smallvec::SmallVec;
use std::{collections::HashSet, sync::Arc};
use window::{Standing, Window};

/// Limits that need to know nothing but the request.
pub const NAME: &str = "rate-limit";
/// Limits by claim, which have to wait for authentication.
pub const NAME_BY_CLAIM: &str = "rate-limit-by-claim";

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Window(Window),
    Bucket(Bucket),
}

impl Measure {
    fn count(&self, cell: Option<Cell>, now: u64) -> (Cell, (Standing, u64)) {
        let (cell, standing) = match self {
            Measure::Window(window) => window.count(cell, now),
            Measure::Bucket(bucket) => bucket.count(cell, now),
        };
        (cell, (standing, cell.began))
    }

    fn uncount(&self, cell: Cell, began: u64) -> Cell {
        match self {
            Measure::Window(_) => Window::uncount(cell, began),
            Measure::Bucket(bucket) => bucket.uncount(cell),
        }
    }

    /// Requests that pass at once.
    fn most(&self) -> u64 {
        match self {
            Measure::Window(window) => window.limit,
            Measure::Bucket(bucket) => bucket.burst(),
        }
    }
}

/// One limit, as the blueprint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Told to the client.
    pub name: String,
    /// `limit/period/wWAIT`, for people.
    pub rule: String,
    /// Under which counts are kept; equal names share them.
    pub counter: String,
    pub measure: Measure,
    /// Requests in a period, and the period in seconds; told to the client.
    pub policy: (u64, u64),
    pub parts: Vec<Part>,
    /// Client ids without a limit.
    pub whitelist: Vec<String>,
    pub status: u16,
    /// What a client is told that called too often.
    pub message: String,
    /// What a client is told that did not say who it is.
    pub unknown: String,
}

/// Which fields a client is told its limits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    None,
    /// Ocelot's alone.
    Ocelot,
    /// Ocelot's and those of the IETF draft.
    Both,
}

/// All limits of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub limits: Vec<Limit>,
    pub fields: Fields,
    /// Ocelot's messages and numbers, instead of problems.
    pub ocelot: bool,
}

/// The stages of a route: the limits that need no claim, and those that do.
pub fn stages(settings: &Settings, counters: &Arc<Counters>) -> Vec<RateLimit> {
    let rules = settings.limits.iter().zip(0u16..).map(|(limit, at)| Rule::new(limit, at, counters));
    let (late, early): (Vec<_>, Vec<_>) = rules.partition(|rule| rule.limit.parts.iter().any(Part::is_claim));
    let stage = |name, rules: Vec<Rule>, outermost| RateLimit {
        name,
        rules: rules.into(),
        outermost,
        fields: settings.fields,
        ocelot: settings.ocelot,
        counters: counters.clone(),
    };
    let outermost = early.is_empty();
    let stages = [stage(NAME, early, true), stage(NAME_BY_CLAIM, late, outermost)];
    stages.into_iter().filter(|stage| !stage.rules.is_empty()).collect()
}

/// Client ids.
type Ids = HashSet<Box<[u8]>>;

/// A limit ready to be asked.
#[derive(Debug)]
struct Rule {
    /// Its place among the limits of the route.
    at: u16,
    limit: Limit,
    keyer: Keyer,
    /// The header that names the client, where the limit is by client and some clients have none.
    spared: Option<(Box<str>, Ids)>,
    /// The name as a structured string.
    name: String,
    /// `"name";q=100;w=60`
    policy: String,
}

impl Rule {
    fn new(limit: &Limit, at: u16, counters: &Counters) -> Rule {
        let header = limit.parts.iter().find_map(|part| match part {
            Part::ClientId(header) if !limit.whitelist.is_empty() => Some(header.clone()),
            _ => None,
        });
        let name = fields::structured(&limit.name);
        let spared = || limit.whitelist.iter().map(|id| id.as_bytes().into()).collect();
        Rule {
            at,
            keyer: counters.keys.of(&limit.counter, &limit.parts),
            spared: header.map(|header| (header, spared())),
            policy: format!("{name};q={};w={}", limit.policy.0, limit.policy.1),
            name,
            limit: limit.clone(),
        }
    }

    fn spares(&self, x: &Exchange) -> bool {
        self.spared
            .as_ref()
            .is_some_and(|(header, ids)| client_id(x, header).is_some_and(|id| ids.contains(id)))
    }
}

/// Asks the limits, one after the other; a request passes when all let it.
#[derive(Debug)]
pub struct RateLimit {
    name: &'static str,
    rules: Box<[Rule]>,
    /// The first stage of this kind on the route: it speaks for all.
    outermost: bool,
    fields: Fields,
    ocelot: bool,
    counters: Arc<Counters>,
}

/// What was counted: by which rule, under which key, in which window.
type Counted<'r> = SmallVec<[(&'r Rule, Key, u64); 4]>;

impl Stage for RateLimit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let now = self.counters.at(x.now);
        let mut counted = Counted::new();
        for rule in &self.rules {
            if rule.spares(x) {
                continue;
            }
            let Some(key) = rule.keyer.key(x) else {
                return self.refused(x, &counted, self.unknown(rule));
            };
            let count = |cell| rule.limit.measure.count(cell, now);
            let (standing, began) = self.counters.count(key, now, !x.dry, count);
            if !standing.admitted {
                return self.refused(x, &counted, self.exceeded(rule, &standing, now));
            }
            counted.push((rule, key, began));
            x.quotas.push(Quota {
                limit: rule.at,
                of: rule.limit.measure.most(),
                left: standing.left,
                resets: standing.resets,
            });
        }
        Step::Next
    }

    fn outcome(&self, x: &mut Exchange, outcome: &mut Outcome) {
        if self.fields != Fields::None && !x.quotas.is_empty() {
            self.tell(x, outcome);
        }
    }

    fn describe(&self) -> String {
        let rules = self.rules.iter().map(|rule| {
            let by = if rule.limit.parts.is_empty() { "all".to_owned() } else { list(&rule.limit.parts) };
            format!("{} by {by}", rule.limit.rule)
        });
        rules.collect::<Vec<_>>().join(", ")
    }
}

impl RateLimit {
    /// What other limits counted is taken back: a request that one of them refuses costs nothing of the others.
    fn refused(&self, x: &mut Exchange, counted: &Counted, cause: Cause) -> Step {
        if !x.dry {
            for (rule, key, began) in counted {
                self.counters.change(*key, |cell| rule.limit.measure.uncount(cell, *began));
            }
        }
        x.quotas.clear();
        Step::Fail(cause)
    }

    fn unknown(&self, rule: &Rule) -> Cause {
        let cause = Cause::new(Why::LimitClient, rule.limit.unknown.clone());
        if !self.ocelot {
            return cause;
        }
        cause.with(|more| {
            more.text = Some(rule.limit.unknown.clone());
            if self.fields != Fields::None {
                more.fields.push(("Retry-After".into(), "-1".into()));
            }
        })
    }

    fn exceeded(&self, rule: &Rule, standing: &Standing, now: u64) -> Cause {
        let limit = &rule.limit;
        let wait = standing.retry.saturating_sub(now);
        Cause::new(Why::LimitExceeded, limit.message.clone()).with(|more| {
            more.status = Some(limit.status);
            more.text = self.ocelot.then(|| limit.message.clone());
            match self.fields {
                Fields::None => {}
                Fields::Ocelot => more.fields.push(("Retry-After".into(), fields::seconds_as_double(wait))),
                Fields::Both => {
                    more.fields.push(("Retry-After".into(), fields::whole_seconds(wait).to_string()));
                    more.fields.push(("RateLimit-Policy".into(), rule.policy.clone()));
                    more.fields.push(("RateLimit".into(), told::nothing_left(&rule.name, wait)));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
