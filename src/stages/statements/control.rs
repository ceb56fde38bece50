//! Control flow: `retry`, `wait`, `return-response`, `mock-response`, `limit-concurrency`.

use super::{
    compiler::done,
    loops::{LimitConcurrency, MODES, retry, wait},
    return_response::{MockResponse, return_response},
    schema::{Kind, attribute, expression, text},
    spec::Spec,
};

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "retry",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute("condition", Kind::Bool, "Whether `do` runs again.").dynamic().required(),
            attribute("count", Kind::Int(1, 50), "How often it runs again at most, 1 to 50.")
                .dynamic()
                .required(),
            attribute("interval", Kind::Number(0.0, 86_400.0), "Seconds between two runs.")
                .dynamic()
                .required(),
            attribute("max-interval", Kind::Number(0.0, 86_400.0), "The longest pause in seconds.").dynamic(),
            attribute("delta", Kind::Number(0.0, 86_400.0), "Seconds by which the pause grows.").dynamic(),
            attribute(
                "first-fast-retry",
                Kind::Bool,
                "Whether the first retry follows at once. Default: false.",
            )
            .dynamic(),
            attribute("do", Kind::Statements, "The statements.").required(),
        ],
        about: "Runs statements again while a condition holds.",
        compile: retry,
    },
    Spec {
        name: "wait",
        sections: "ibo",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute(
                "for",
                Kind::Choice(&MODES),
                "`all` statements, or `any` one that ends well. Default: `all`.",
            )
            .dynamic(),
            attribute(
                "do",
                Kind::Statements,
                "`send-request`, `cache-lookup-value` and `choose`; they run concurrently.",
            )
            .required(),
        ],
        about: "Runs statements concurrently.",
        compile: wait,
    },
    Spec {
        name: "return-response",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            text(
                "response-variable-name",
                "The variable with the response to start from. Default: an empty 200.",
            ),
            attribute("set-status", Kind::Inner("set-status"), "The status."),
            attribute("set-header", Kind::InnerList("set-header"), "Headers."),
            attribute("set-body", Kind::Inner("set-body"), "The body."),
        ],
        about: "Ends the program with a response.",
        compile: return_response,
    },
    Spec {
        name: "mock-response",
        sections: "ioe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute("status-code", Kind::Int(200, 599), "The status of the example. Default: 200."),
            text("content-type", "The media type of the example."),
            attribute("index", Kind::Int(0, 10_000), "The number of the example, from 0."),
        ],
        about: "Ends the program with an example of the operation.",
        compile: |args, _| {
            done(MockResponse {
                status: args.number("status-code").unwrap_or(200.0) as u16,
                media_type: args.text("content-type").map(|text| text.to_string()),
                index: args.number("index").unwrap_or(0.0) as usize,
            })
        },
    },
    Spec {
        name: "limit-concurrency",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("key", "The key of the limit.").required(),
            attribute("max-count", Kind::Int(1, 1_000_000), "The calls that may be under way.").required(),
            attribute("do", Kind::Statements, "The statements.").required(),
        ],
        about: "Limits how many requests run statements concurrently.",
        compile: |args, _| {
            done(LimitConcurrency {
                key: args.required("key"),
                max: args.number("max-count").unwrap_or(1.0) as u64,
                body: args.block("do"),
            })
        },
    },
];
