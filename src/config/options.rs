//! Option objects: groups of settings that routes have and that `GlobalConfiguration` has with `RouteKeys`, and how the
//! two become one (Ocelot 24.1 and later).
//!
//! A group of `GlobalConfiguration` applies to all routes or to those whose `Key` it lists; where it applies, the
//! route's values win property by property. `option_objects!` declares both forms of a group.

use super::map::SpannedMap;
use super::span::Spanned;
use super::values::{BoxedSetting, List, Setting};
use crate::base::{
    secret::Secret,
    units::{DurationText, SizeText},
};
use std::{borrow::Cow, collections::HashSet};

/// Whether a value counts as absent although it is set: inheritance ignores it.
pub trait IsBlank {
    fn is_blank(&self) -> bool {
        false
    }
}

macro_rules! never_blank {
    ($($kind:ty),*) => {$(impl IsBlank for $kind {})*};
}
never_blank!(bool, i32, i64, f64, DurationText, SizeText);

impl IsBlank for String {
    fn is_blank(&self) -> bool {
        self.trim().is_empty()
    }
}

impl IsBlank for Secret {
    fn is_blank(&self) -> bool {
        self.reveal().trim().is_empty()
    }
}

impl<T> IsBlank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

/// `own` unless it is absent or blank, else `other`.
pub fn or_inherit<T: IsBlank + Clone>(own: &Setting<T>, other: &Setting<T>) -> Setting<T> {
    match own {
        Some(Spanned { value, .. }) if !value.is_blank() => own.clone(),
        _ => other.clone().or_else(|| own.clone()),
    }
}

/// An option object as routes have it.
pub trait Options: Default + Clone {
    /// The form of the group under `GlobalConfiguration`.
    type Global: GlobalOptions<Options = Self>;

    /// Whether nothing is set in it: `{}` counts as absent.
    fn is_empty(&self) -> bool;

    /// Property by property: this value, or the one of `base` where this one is absent or blank.
    fn inherit_from(&self, base: &Self) -> Self;

    /// Whether the options disable their feature wherever they apply, whatever the other side sets.
    fn is_switched_off(&self) -> bool {
        false
    }
}

/// The form of [`Options`] under `GlobalConfiguration`.
pub trait GlobalOptions: Clone {
    type Options: Options;

    /// The options without `RouteKeys`.
    fn options(&self) -> Self::Options;

    /// The keys of the routes to which the group applies; absent or empty: all routes.
    fn route_keys(&self) -> &List<String>;
}

/// Declares option objects in both their forms, with the merge property by property. `off_by(SWITCH)` after the names:
/// `SWITCH: false` on either side disables the feature.
macro_rules! option_objects {
    ($($(#[$meta:meta])* $name:ident, $global:ident $(off_by($switch:ident))? {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $global {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// The keys of the routes that the options apply to; absent or empty: all routes.
            pub route_keys: $crate::config::values::List<String>,
        }

        impl $crate::config::options::Options for $name {
            type Global = $global;

            fn is_empty(&self) -> bool {
                true $(&& self.$field.is_none())*
            }

            fn inherit_from(&self, base: &Self) -> Self {
                $name { $($field: $crate::config::options::or_inherit(&self.$field, &base.$field),)* }
            }

            $(fn is_switched_off(&self) -> bool {
                self.$switch.as_ref().is_some_and(|on| !on.value)
            })?
        }

        impl $crate::config::options::GlobalOptions for $global {
            type Options = $name;

            fn options(&self) -> $name {
                $name { $($field: self.$field.clone(),)* }
            }

            fn route_keys(&self) -> &$crate::config::values::List<String> {
                &self.route_keys
            }
        }
    )*};
}
pub(crate) use option_objects;

/// Declares settings that several documents have, as a macro: a document adds them with `use NAME;` in their place.
macro_rules! shared_settings {
    ($d:tt $group:ident { $($settings:tt)* }) => {
        macro_rules! $group {
            (
                $d callback:ident { $d kind:ident $d attributes:tt $d name:ident [$d($d fields:tt)*] }
                $d($d rest:tt)*
            ) => {
                $d callback! { { $d kind $d attributes $d name [$d($d fields)* $($settings)*] } $d($d rest)* }
            };
        }
        pub(crate) use $group;
    };
}
pub(crate) use shared_settings;

/// The entries of the route, then those of `GlobalConfiguration` whose key the route does not have; keys are
/// case-sensitive. Used by both header transforms and by `Metadata`.
pub fn merge_maps<'a, T>(
    own: &'a Setting<SpannedMap<Option<Spanned<T>>>>,
    global: &'a Setting<SpannedMap<Option<Spanned<T>>>>,
) -> impl Iterator<Item = (&'a Spanned<String>, Option<&'a Spanned<T>>)> {
    let mine = own.iter().flat_map(|map| map.iter());
    let theirs = global.iter().flat_map(|map| map.iter());
    let hidden = move |key: &str| own.as_ref().is_some_and(|map| map.get(key).is_some());
    mine.chain(theirs.filter(move |(key, _)| !hidden(key))).map(|(key, value)| (key, value.as_ref()))
}

/// One group of `GlobalConfiguration` and the routes to which it applies.
#[derive(Clone, Debug)]
pub struct GlobalGroup<'d, T> {
    options: T,
    /// `None`: every route.
    route_keys: Option<HashSet<&'d str>>,
}

impl<'d, T: Options> GlobalGroup<'d, T> {
    /// The group, unless it is absent.
    pub fn new(document: &'d Setting<T::Global>) -> Option<Self> {
        let global = &document.as_ref()?.value;
        Some(GlobalGroup { options: global.options(), route_keys: route_keys(global.route_keys()) })
    }

    /// Whether the group applies to a route with this key. Keys are case-sensitive.
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

/// The options of a route: its own over those of the group; `None` if both are absent, or one of them disables the
/// feature. `{}` on the route is absent.
pub fn merge<'a, T: Options>(
    own: &'a BoxedSetting<T>,
    group: Option<&'a GlobalGroup<'_, T>>,
    key: Option<&str>,
) -> Option<Cow<'a, T>> {
    let group = group.filter(|group| group.applies_to(key)).map(|group| &group.options);
    let own = own.as_ref().map(|own| &*own.value);
    if own.is_some_and(Options::is_switched_off) || group.is_some_and(Options::is_switched_off) {
        return None;
    }
    match (own.filter(|own| !own.is_empty()), group) {
        (None, None) => None,
        (None, Some(group)) => Some(Cow::Borrowed(group)),
        (Some(own), None) => Some(Cow::Borrowed(own)),
        (Some(own), Some(group)) => Some(Cow::Owned(own.inherit_from(group))),
    }
}
