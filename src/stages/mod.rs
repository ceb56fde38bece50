//! The table of stages: what a route may do with a request, in the one order in which it is done.
//!
//! The place of a key in the document never matters; the place in this table does.

pub mod ascii;
pub mod authentication;
pub mod authorization;
pub mod claims;
pub mod forwarded;
pub mod headers;
pub mod method;
pub mod request_id;
pub mod trace_context;
pub mod via;

use crate::pipeline::stage::BoxStage;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub name: &'static str,
    /// The setting that switches it on.
    pub setting: &'static str,
    /// Why it stands where it stands.
    pub why: &'static str,
}

/// The stages from the outside in.
pub const TABLE: &[Place] = &[
    Place {
        name: forwarded::NAME,
        setting: "ForwardedHeaders",
        why: "first: every later stage wants to know who asks, and through whom",
    },
    Place {
        name: request_id::NAME,
        setting: "RequestIdKey",
        why: "before anything may refuse: a refusal has an id too",
    },
    Place {
        name: trace_context::NAME,
        setting: "TraceContext",
        why: "as early as the request id, whose place it takes where there is none; {TraceId} is read from it",
    },
    Place {
        name: headers::NAME,
        setting: "UpstreamHeaderTransform, DownstreamHeaderTransform",
        why: "before anything reads headers: limits and authentication see what was set (Ocelot's step 9)",
    },
    Place {
        name: authentication::NAME,
        setting: "AuthenticationOptions",
        why: "before everything that wants to know who calls (Ocelot's step 14)",
    },
    Place {
        name: claims::ADD_CLAIMS,
        setting: "AddClaimsToRequest",
        why: "before authorization: what is added counts there (Ocelot's step 15)",
    },
    Place {
        name: authorization::NAME,
        setting: "AllowedScopes, RouteClaimsRequirement, RouteClaimsExpression",
        why: "once it is known who calls, before anything of the request is changed by it (Ocelot's step 17)",
    },
    Place {
        name: claims::ADD_HEADERS,
        setting: "AddHeadersToRequest",
        why: "behind the header transforms: nothing overwrites what is known of the caller (Ocelot's step 18)",
    },
    Place {
        name: claims::ADD_QUERIES,
        setting: "AddQueriesToRequest",
        why: "before the service's URL is built out of the query (Ocelot's step 20)",
    },
    Place {
        name: claims::CHANGE_PATH,
        setting: "ChangeDownstreamPathTemplate",
        why: "before the service's URL is built out of the path values (Ocelot's step 20)",
    },
    Place {
        name: ascii::NAME,
        setting: "Compatibility",
        why: "behind all that writes headers: Ocelot notices when it sends them",
    },
    Place {
        name: method::NAME,
        setting: "DownstreamHttpMethod",
        why: "after all that judges by the client's method",
    },
    Place { name: via::NAME, setting: "Via", why: "last: it writes down that the request passed here" },
];

/// What stages keep beyond the life of a plan, each under keys of its own.
#[derive(Debug, Default)]
pub struct Kept {
    pub identity: authentication::Kept,
}

/// Puts compiled stages into the order of the table.
pub fn in_order(mut stages: Vec<BoxStage>) -> Box<[BoxStage]> {
    stages.sort_by_key(|stage| TABLE.iter().position(|place| place.name == stage.name()));
    stages.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_in_the_order_of_the_table_whatever_the_order_they_are_given_in() {
        let stages: Vec<BoxStage> = vec![
            Box::new(via::Via),
            Box::new(method::Method::new("post")),
            Box::new(request_id::RequestId::new("X-Id")),
        ];
        let names: Vec<_> = in_order(stages).iter().map(|s| s.name()).collect();
        assert_eq!(names, [request_id::NAME, method::NAME, via::NAME]);
    }
}
