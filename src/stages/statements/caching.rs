//! Caches: responses, and values that programs keep.

use super::{
    compiler::done,
    response_cache::{CLIENT_CACHING, CacheStore, TYPES, check_type, lookup},
    schema::{Attribute, Kind, attribute, expression, text},
    spec::Spec,
    value_cache::{CacheValue, LookupValue, MAX_SECONDS, RemoveValue, StoreValue},
};

const TYPE: Attribute = attribute(
    "caching-type",
    Kind::Choice(&TYPES),
    "`internal`, `external` or `prefer-external`. Default: `prefer-external`.",
);

const KEY: Attribute = expression("key", "The key.").required();

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "cache-lookup",
        sections: "i",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[
            attribute("vary-by-developer", Kind::Bool, "Whether the cached response depends on the user.")
                .dynamic()
                .required(),
            attribute(
                "vary-by-developer-groups",
                Kind::Bool,
                "Whether the cached response depends on the groups of the user.",
            )
            .dynamic()
            .required(),
            TYPE,
            attribute(
                "downstream-caching-type",
                Kind::Choice(&CLIENT_CACHING),
                "What clients may keep. Default: `none`.",
            )
            .dynamic(),
            attribute(
                "must-revalidate",
                Kind::Bool,
                "Whether clients ask again after the time. Default: true.",
            )
            .dynamic(),
            attribute(
                "allow-private-response-caching",
                Kind::Bool,
                "Whether requests with `Authorization` use the cache. Default: false.",
            )
            .dynamic(),
            attribute("vary-by-header", Kind::Texts, "Headers that belong to the key."),
            attribute(
                "vary-by-query-parameter",
                Kind::Texts,
                "The parameters that belong to the key, also with `;` between them. Default: the whole query.",
            ),
        ],
        about: "Looks up a response in the cache.",
        compile: lookup,
    },
    Spec {
        name: "cache-store",
        sections: "o",
        scopes: &[],
        is_once: true,
        bare: None,
        attributes: &[
            attribute("duration", Kind::Number(0.0, MAX_SECONDS), "Seconds.").dynamic().required(),
            attribute(
                "cache-response",
                Kind::Bool,
                "Whether the response is kept. Default: with status 200.",
            )
            .dynamic(),
        ],
        about: "Keeps the response for `cache-lookup`.",
        compile: |args, _| {
            done(CacheStore {
                duration: args.required("duration"),
                condition: args.template("cache-response"),
            })
        },
    },
    Spec {
        name: "cache-lookup-value",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            KEY,
            text("variable-name", "The variable with the value.").required(),
            expression("default-value", "The value if there is none. Default: the variable stays unset."),
            TYPE,
        ],
        about: "Reads a kept value.",
        compile: |args, compiler| {
            check_type(args, compiler)?;
            done(LookupValue {
                key: args.required("key"),
                variable: args.text("variable-name").unwrap_or_default(),
                default: args.template("default-value"),
            })
        },
    },
    Spec {
        name: "cache-store-value",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            KEY,
            attribute("value", Kind::Any, "The value; it keeps its type.").dynamic().required(),
            attribute("duration", Kind::Number(0.0, MAX_SECONDS), "Seconds.").dynamic().required(),
            TYPE,
        ],
        about: "Keeps a value.",
        compile: |args, compiler| {
            check_type(args, compiler)?;
            done(StoreValue {
                key: args.required("key"),
                value: args.required("value"),
                duration: args.required("duration"),
            })
        },
    },
    Spec {
        name: "cache-remove-value",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[KEY, TYPE],
        about: "Removes a kept value.",
        compile: |args, compiler| {
            check_type(args, compiler)?;
            done(RemoveValue(args.required("key")))
        },
    },
    Spec {
        name: "cache-value",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            KEY,
            text("variable-name", "The variable with the value.").required(),
            attribute("expires-after", Kind::Number(0.0, MAX_SECONDS), "Seconds. Default: 28800.").dynamic(),
            attribute(
                "refresh-after",
                Kind::Number(0.0, MAX_SECONDS),
                "Seconds after which one request runs `do` again. Default: `expires-after`.",
            )
            .dynamic(),
            expression("default-value", "The value if `do` sets none."),
            attribute("do", Kind::Statements, "Statements that set the variable.").required(),
            TYPE,
        ],
        about: "Reads a kept value; one request at a time makes it.",
        compile: |args, compiler| {
            check_type(args, compiler)?;
            done(CacheValue {
                key: args.required("key"),
                variable: args.text("variable-name").unwrap_or_default(),
                expires: args.template("expires-after"),
                refresh: args.template("refresh-after"),
                default: args.template("default-value"),
                body: args.block("do"),
            })
        },
    },
];
