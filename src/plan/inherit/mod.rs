//! What a route's options are once `GlobalConfiguration` is taken into account (Ocelot 24.1 and later).
//!
//! Pure functions of the document: a group of global options holds for all routes or for those whose `Key` it lists;
//! where it holds, the route's own values win property by property. Old names of a setting win over new ones after
//! that merge, so that an old name under `GlobalConfiguration` beats a new name on the route, as in Ocelot.

mod resolved;

pub use resolved::{Authentication, Balancing, HttpClient, Quality, RateLimit};

use crate::config::Map;
use crate::config::Spanned;
use crate::config::document::{
    Apart, GlobalOptions, List, Options, RateLimitOptions, SecurityOptions, Set, Wait,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

/// The `Timeout` of a route that has none, and none under `GlobalConfiguration`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);

/// One group of global options and the routes it is for.
#[derive(Clone, Debug)]
pub struct Group<'d, T> {
    options: T,
    /// None: every route.
    keys: Option<HashSet<&'d str>>,
}

impl<'d, T: Options> Group<'d, T> {
    /// The group that is written; none when it is absent.
    pub fn new<G: GlobalOptions<Of = T>>(written: &'d Set<G>) -> Option<Self> {
        let global = &written.as_ref()?.value;
        Some(Group { options: global.options(), keys: keys(global.route_keys()) })
    }

    /// Whether the group holds for a route with this key. Keys are compared with regard to case.
    pub fn covers(&self, key: Option<&str>) -> bool {
        match &self.keys {
            None => true,
            Some(keys) => key.is_some_and(|key| keys.contains(key)),
        }
    }
}

fn keys(list: &List<String>) -> Option<HashSet<&str>> {
    let list = list.as_ref().filter(|list| !list.is_empty())?;
    Some(list.iter().map(|key| key.as_str()).collect())
}

/// The options of a route: its own over the group's; none when neither says anything. `{}` on the route is absent.
pub fn merged<'a, T: Options>(
    own: &'a Apart<T>,
    group: Option<&'a Group<'_, T>>,
    key: Option<&str>,
) -> Option<Cow<'a, T>> {
    let own = own.as_ref().map(|own| &*own.value).filter(|own| !own.is_empty());
    match (own, group.filter(|group| group.covers(key))) {
        (None, None) => None,
        (None, Some(group)) => Some(Cow::Borrowed(&group.options)),
        (Some(own), None) => Some(Cow::Borrowed(own)),
        (Some(own), Some(group)) => Some(Cow::Owned(own.over(&group.options))),
    }
}

/// Rate limiting has a rule of its own: `EnableRateLimiting: false` on the route, or in a group that holds for it,
/// ends the matter.
pub fn rate_limit<'a>(
    own: &'a Apart<RateLimitOptions>,
    group: Option<&'a Group<'_, RateLimitOptions>>,
    key: Option<&str>,
) -> Option<RateLimit> {
    let off = |enabled: &Set<bool>| enabled.as_ref().is_some_and(|enabled| !enabled.value);
    let here = group.filter(|group| group.covers(key));
    if own.as_ref().is_some_and(|own| off(&own.enable_rate_limiting))
        || here.is_some_and(|group| off(&group.options.enable_rate_limiting))
    {
        return None;
    }
    merged(own, group, key).map(|options| RateLimit::of(&options))
}

/// The object that holds: the route's when either of its lists has an entry, else the whole global one.
pub fn security<'a>(
    own: &'a Apart<SecurityOptions>,
    global: &'a Apart<SecurityOptions>,
) -> Option<&'a SecurityOptions> {
    let filled = |list: &List<String>| list.as_ref().is_some_and(|list| !list.is_empty());
    match own {
        Some(own) if filled(&own.allowed) || filled(&own.blocked) => Some(&own.value),
        _ => global.as_ref().map(|global| &*global.value),
    }
}

/// The entries of the route, then those of `GlobalConfiguration` whose key the route does not have; keys are compared
/// with regard to case. Used by both header transforms and by `Metadata`.
pub fn union<'a, T>(
    own: &'a Set<Map<Option<Spanned<T>>>>,
    global: &'a Set<Map<Option<Spanned<T>>>>,
) -> impl Iterator<Item = (&'a Spanned<String>, Option<&'a Spanned<T>>)> {
    let mine = own.iter().flat_map(|map| map.iter());
    let theirs = global.iter().flat_map(|map| map.iter());
    let hidden = move |key: &str| own.as_ref().is_some_and(|map| map.get(key).is_some());
    mine.chain(theirs.filter(move |(key, _)| !hidden(key))).map(|(key, value)| (key, value.as_ref()))
}

/// The header of the request id: the route's unless empty, else the global one unless empty.
pub fn request_id_key<'a>(own: &'a Set<String>, global: &'a Set<String>) -> Option<&'a Spanned<String>> {
    let filled = |key: &&Spanned<String>| !key.is_empty();
    own.as_ref().filter(filled).or_else(|| global.as_ref().filter(filled))
}

/// The time a service has: the route's, else the global one, else 90 seconds; zero and less count as 90 seconds too.
pub fn timeout<'a>(own: &'a Set<Wait>, global: &'a Set<Wait>) -> (Duration, Option<&'a Spanned<Wait>>) {
    let written = own.as_ref().or(global.as_ref());
    let time = written.and_then(|wait| wait.positive());
    (time.unwrap_or(DEFAULT_TIMEOUT), written)
}

#[cfg(test)]
mod tests;
