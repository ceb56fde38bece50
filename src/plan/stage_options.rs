//! The options of stages in the documents, generated from the table of stages: the groups of `GlobalConfiguration`,
//! their checks, their inheritance by routes, and the compilers they are passed to.

use super::document::{AggregateDocument, DynamicRouteDocument, GlobalDocument, RouteDocument, Setting};
use crate::{
    config::{
        Diagnostics, codes,
        options::{GlobalGroup, GlobalOptions},
        suggest,
        values::items,
    },
    stages::{
        StageConfigs,
        feature::{self, CompileContext, Feature, GatewayFacts, Origin},
        table::with_stages,
    },
};
use std::collections::HashSet;

/// Emits the body if the documents of a line include this one.
macro_rules! if_carried {
    (aggregate [aggregate $dynamic:tt $cluster:tt] $($body:tt)*) => { $($body)* };
    (dynamic [$aggregate:tt dynamic $cluster:tt] $($body:tt)*) => { $($body)* };
    (cluster [$aggregate:tt $dynamic:tt cluster] $($body:tt)*) => { $($body)* };
    ($kind:ident [$($documents:tt)*] $($body:tt)*) => {};
}

pub(super) use if_carried;

macro_rules! stage_options {
    ({} $(
        $setting:literal $stage:tt $(=> {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident $documents:tt
        })?;
    )*) => {
        /// The groups of `GlobalConfiguration`.
        pub struct StageGroups<'d> {
            $($($(#[cfg($($cfg)*)])? pub $field: Option<GlobalGroup<'d, crate::stages::$field::$options>>,)?)*
        }

        impl<'d> StageGroups<'d> {
            /// Prepares the global groups once for all routes.
            pub fn new(global: &'d GlobalDocument) -> Self {
                StageGroups { $($($(#[cfg($($cfg)*)])? $field: GlobalGroup::new(&global.$field),)?)* }
            }

            /// Compiles the options of a route.
            pub fn compile(
                &self,
                route: &RouteDocument,
                global: &GlobalDocument,
                context: &mut CompileContext,
            ) -> StageConfigs {
                let key = route.key.as_ref().map(|key| key.as_str());
                StageConfigs {
                    $($($(#[cfg($($cfg)*)])? $field: {
                        let group = (self.$field.as_ref(), &global.$field);
                        feature::compile(&route.$field, group, key, context)
                    },)?)*
                    ..StageConfigs::default()
                }
            }
        }

        /// Checks the groups of `GlobalConfiguration`; `keys` are those of all routes.
        pub fn check_global(
            global: &GlobalDocument,
            keys: &HashSet<&str>,
            gateway: &GatewayFacts,
            diagnostics: &mut Diagnostics,
        ) {
            $($($(#[cfg($($cfg)*)])? check_group(&global.$field, keys, gateway, diagnostics);)?)*
        }

        /// The options that an aggregate sets, on a route.
        pub fn copy_from_aggregate(from: &AggregateDocument, to: &mut RouteDocument) {
            $($(if_carried! { aggregate $documents to.$field = from.$field.clone(); })?)*
        }

        /// The options that a dynamic route sets, on a route.
        pub fn copy_from_dynamic(from: &DynamicRouteDocument, to: &mut RouteDocument) {
            $($(if_carried! { dynamic $documents to.$field = from.$field.clone(); })?)*
        }
    };
}

with_stages! { stage_options {} }

fn check_group<G: GlobalOptions<Options: Feature>>(
    group: &Setting<G>,
    keys: &HashSet<&str>,
    gateway: &GatewayFacts,
    diagnostics: &mut Diagnostics,
) {
    if let Some(group) = group {
        group.options().check(group.span, Origin::GlobalConfiguration, gateway, diagnostics);
    }
    check_route_keys(group, keys, diagnostics);
}

/// Warns of `RouteKeys` that no route has.
pub fn check_route_keys<G: GlobalOptions>(
    group: &Setting<G>,
    keys: &HashSet<&str>,
    diagnostics: &mut Diagnostics,
) {
    let Some(group) = group else { return };
    for key in items(group.route_keys()).iter().filter(|key| !keys.contains(key.as_str())) {
        let message = format!("no route has the Key \"{}\"", key.value);
        let diagnostic = diagnostics.warning(codes::UNKNOWN_ROUTE_KEY, key.span, message);
        if let Some(similar) = suggest::closest_match(key, keys.iter().copied()) {
            diagnostic.help(format!("did you mean \"{similar}\"?"));
        }
    }
}
