//! What a route's options are once `GlobalConfiguration` is taken into account (Ocelot 24.1 and later).
//!
//! Pure functions of the document: a group of global options holds for all routes or for those whose `Key` it lists;
//! where it holds, the route's own values win property by property. Old names of a setting win over new ones after
//! that merge, so that an old name under `GlobalConfiguration` beats a new name on the route, as in Ocelot.

mod resolved;

pub use resolved::{Authentication, RateLimit, ResolvedHttpHandler, ResolvedLoadBalancer, ResolvedQos};

use crate::config::Spanned;
use crate::config::SpannedMap;
use crate::config::document::{
    BoxedSetting, DurationSetting, GlobalOptions, List, Options, RateLimitOptions, SecurityOptions, Setting,
};
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

/// The `Timeout` of a route that has none, and none under `GlobalConfiguration`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);

/// One group of global options and the routes it is for.
#[derive(Clone, Debug)]
pub struct GlobalGroup<'d, T> {
    options: T,
    /// None: every route.
    route_keys: Option<HashSet<&'d str>>,
}

impl<'d, T: Options> GlobalGroup<'d, T> {
    /// The group that is written; none when it is absent.
    pub fn new<G: GlobalOptions<Options = T>>(written: &'d Setting<G>) -> Option<Self> {
        let global = &written.as_ref()?.value;
        Some(GlobalGroup { options: global.options(), route_keys: route_keys(global.route_keys()) })
    }

    /// Whether the group holds for a route with this key. Keys are compared with regard to case.
    pub fn applies_to(&self, key: Option<&str>) -> bool {
        match &self.route_keys {
            None => true,
            Some(keys) => key.is_some_and(|key| keys.contains(key)),
        }
    }
}

fn route_keys(list: &List<String>) -> Option<HashSet<&str>> {
    let list = list.as_ref().filter(|list| !list.is_empty())?;
    Some(list.iter().map(|key| key.as_str()).collect())
}

/// The options of a route: its own over the group's; none when neither says anything. `{}` on the route is absent.
pub fn merge<'a, T: Options>(
    own: &'a BoxedSetting<T>,
    group: Option<&'a GlobalGroup<'_, T>>,
    key: Option<&str>,
) -> Option<Cow<'a, T>> {
    let own = own.as_ref().map(|own| &*own.value).filter(|own| !own.is_empty());
    match (own, group.filter(|group| group.applies_to(key))) {
        (None, None) => None,
        (None, Some(group)) => Some(Cow::Borrowed(&group.options)),
        (Some(own), None) => Some(Cow::Borrowed(own)),
        (Some(own), Some(group)) => Some(Cow::Owned(own.inherit_from(&group.options))),
    }
}

/// Rate limiting has a rule of its own: `EnableRateLimiting: false` on the route, or in a group that holds for it,
/// ends the matter.
pub fn rate_limit<'a>(
    own: &'a BoxedSetting<RateLimitOptions>,
    group: Option<&'a GlobalGroup<'_, RateLimitOptions>>,
    key: Option<&str>,
) -> Option<RateLimit> {
    let off = |enabled: &Setting<bool>| enabled.as_ref().is_some_and(|enabled| !enabled.value);
    let here = group.filter(|group| group.applies_to(key));
    if own.as_ref().is_some_and(|own| off(&own.enable_rate_limiting))
        || here.is_some_and(|group| off(&group.options.enable_rate_limiting))
    {
        return None;
    }
    merge(own, group, key).map(|options| RateLimit::resolve(&options))
}

/// The object that holds: the route's when either of its lists has an entry, else the whole global one.
pub fn security<'a>(
    own: &'a BoxedSetting<SecurityOptions>,
    global: &'a BoxedSetting<SecurityOptions>,
) -> Option<&'a SecurityOptions> {
    let filled = |list: &List<String>| list.as_ref().is_some_and(|list| !list.is_empty());
    match own {
        Some(own) if filled(&own.allowed) || filled(&own.blocked) => Some(&own.value),
        _ => global.as_ref().map(|global| &*global.value),
    }
}

/// The entries of the route, then those of `GlobalConfiguration` whose key the route does not have; keys are compared
/// with regard to case. Used by both header transforms and by `Metadata`.
pub fn merge_maps<'a, T>(
    own: &'a Setting<SpannedMap<Option<Spanned<T>>>>,
    global: &'a Setting<SpannedMap<Option<Spanned<T>>>>,
) -> impl Iterator<Item = (&'a Spanned<String>, Option<&'a Spanned<T>>)> {
    let mine = own.iter().flat_map(|map| map.iter());
    let theirs = global.iter().flat_map(|map| map.iter());
    let hidden = move |key: &str| own.as_ref().is_some_and(|map| map.get(key).is_some());
    mine.chain(theirs.filter(move |(key, _)| !hidden(key))).map(|(key, value)| (key, value.as_ref()))
}

/// The header of the request id: the route's unless empty, else the global one unless empty.
pub fn request_id_key<'a>(
    own: &'a Setting<String>,
    global: &'a Setting<String>,
) -> Option<&'a Spanned<String>> {
    let filled = |key: &&Spanned<String>| !key.is_empty();
    own.as_ref().filter(filled).or_else(|| global.as_ref().filter(filled))
}

/// The time a service has: the route's, else the global one, else 90 seconds; zero and less count as 90 seconds too.
pub fn timeout<'a>(
    own: &'a Setting<DurationSetting>,
    global: &'a Setting<DurationSetting>,
) -> (Duration, Option<&'a Spanned<DurationSetting>>) {
    let written = own.as_ref().or(global.as_ref());
    let time = written.and_then(|wait| wait.non_zero());
    (time.unwrap_or(DEFAULT_TIMEOUT), written)
}

#[cfg(test)]
mod tests;
