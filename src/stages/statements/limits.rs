//! `rate-limit`, `rate-limit-by-key`, `quota`, `quota-by-key`.

use super::{
    quota::quota,
    rate::rate,
    schema::{Attribute, Kind, attribute, expression, text},
    spec::Spec,
};
use crate::stages::program::Scope;

const RETRY_HEADER: Attribute =
    text("retry-after-header-name", "The header with the seconds to wait. Default: `Retry-After`.");

const RETRY_VARIABLE: Attribute = text("retry-after-variable-name", "The variable with the seconds to wait.");

const REMAINING_HEADER: Attribute =
    text("remaining-calls-header-name", "The header with the calls that are left.");

const REMAINING_VARIABLE: Attribute =
    text("remaining-calls-variable-name", "The variable with the calls that are left.");

const TOTAL_HEADER: Attribute = text("total-calls-header-name", "The header with `calls`.");

const KEY: Attribute = expression("counter-key", "The key of the counter, at most 1 KiB.").required();

const CONDITION: Attribute =
    attribute("increment-condition", Kind::Bool, "Whether the call counts. Default: true.").dynamic();

const COUNT: Attribute =
    attribute("increment-count", Kind::Int(0, 1_000_000_000), "How much the call counts. Default: 1.")
        .dynamic();

pub(super) const fn calls(kind: Kind) -> Attribute {
    attribute("calls", kind, "The calls of a period.")
}

const ANY_CALLS: Kind = Kind::Int(1, 1_000_000_000_000);

const RATE_PERIOD: Attribute = attribute("renewal-period", Kind::Int(1, 300), "Seconds, 1 to 300.");

const NAME: Attribute = text("name", "The display name.");

const ID: Attribute = text("id", "The id, instead of `name`.");

const QUOTA_PERIOD: Attribute =
    attribute("renewal-period", Kind::Int(0, 2_000_000_000), "Seconds; 0: for ever.").required();

const BANDWIDTH: Attribute = attribute("bandwidth", ANY_CALLS, "KiB of a period.");

const RATE_OF_OPERATION: &[Attribute] = &[NAME, ID, calls(ANY_CALLS).required(), RATE_PERIOD.required()];

const QUOTA_OF_OPERATION: &[Attribute] = &[NAME, ID, calls(ANY_CALLS), BANDWIDTH, QUOTA_PERIOD];

const fn operations(attributes: &'static [Attribute]) -> Attribute {
    attribute(
        "operations",
        Kind::Objects(attributes),
        "Limits of operations, counted in addition to that of the API.",
    )
}

const RATE_OF_API: &[Attribute] =
    &[NAME, ID, calls(ANY_CALLS).required(), RATE_PERIOD.required(), operations(RATE_OF_OPERATION)];

const QUOTA_OF_API: &[Attribute] =
    &[NAME, ID, calls(ANY_CALLS), BANDWIDTH, QUOTA_PERIOD, operations(QUOTA_OF_OPERATION)];

const fn apis(attributes: &'static [Attribute]) -> Attribute {
    attribute("apis", Kind::Objects(attributes), "Limits of APIs, counted in addition to the whole.")
}

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "rate-limit",
        sections: "i",
        scopes: &[Scope::Product, Scope::Api, Scope::Operation],
        is_once: true,
        bare: None,
        attributes: &[
            calls(ANY_CALLS).required(),
            RATE_PERIOD.required(),
            RETRY_HEADER,
            RETRY_VARIABLE,
            REMAINING_HEADER,
            REMAINING_VARIABLE,
            TOTAL_HEADER,
            apis(RATE_OF_API),
        ],
        about: "Limits the calls of each subscription in a sliding window. Without a subscription it does nothing.",
        compile: |args, compiler| rate(args, compiler, false),
    },
    Spec {
        name: "rate-limit-by-key",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            calls(ANY_CALLS).dynamic().required(),
            RATE_PERIOD.dynamic().required(),
            KEY,
            CONDITION,
            COUNT,
            RETRY_HEADER,
            RETRY_VARIABLE,
            REMAINING_HEADER,
            REMAINING_VARIABLE,
            TOTAL_HEADER,
        ],
        about: "Limits the calls of each key in a sliding window.",
        compile: |args, compiler| rate(args, compiler, true),
    },
    Spec {
        name: "quota",
        sections: "i",
        scopes: &[Scope::Product],
        is_once: true,
        bare: None,
        attributes: &[calls(ANY_CALLS), BANDWIDTH, QUOTA_PERIOD, apis(QUOTA_OF_API)],
        about: "Limits the calls and the bandwidth of each subscription in a period.",
        compile: |args, compiler| quota(args, compiler, false),
    },
    Spec {
        name: "quota-by-key",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            calls(ANY_CALLS).dynamic(),
            BANDWIDTH.dynamic(),
            attribute("renewal-period", Kind::Int(0, 2_000_000_000), "Seconds, at least 300; 0: for ever.")
                .dynamic()
                .required(),
            KEY,
            CONDITION,
            COUNT,
            text("first-period-start", "The start of a period, in ISO 8601. Default: 0001-01-01T00:00:00Z."),
        ],
        about: "Limits the calls and the bandwidth of each key in a period.",
        compile: |args, compiler| quota(args, compiler, true),
    },
];
