//! `Tests[]`: requests, and what the gateway is expected to do with them.

use crate::config::values::{BoxedSetting, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// A test of the configuration: a request, and what is expected of the gateway. It is a dry run as that of `margay explain`,
/// without a backend. `margay test` and `margay check --tests` run the tests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TestDocument {
    /// The name in reports. Default: the request.
    pub name: Setting<String>,
    /// The method, and the URL as the client would send it or just a path: `GET /orders/7`. Required.
    pub request: Setting<String>,
    /// The headers of the request: name → value. Default: `{}`.
    pub headers: StringList,
    /// The IP address of the client. Default: `127.0.0.1`.
    pub from: Setting<String>,
    /// The name of the listener that receives the request. Default: the first.
    pub listener: Setting<String>,
    /// What is expected; at least one setting. Required.
    pub expect: BoxedSetting<ExpectDocument>,
}

/// What a test expects: the route, and either a response of the gateway itself or a request to the backend.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExpectDocument {
    /// The name of the route that matches: its `Key`, otherwise its `UpstreamPathTemplate`. Default: any.
    pub route: Setting<String>,
    /// The status of the response of the gateway itself; a request to a backend has none. 100 to 599. Default: any.
    pub status: Setting<i32>,
    /// The error code of the response of the gateway itself, such as `route.not_found`. Default: any.
    pub code: Setting<String>,
    /// Headers of the response of the gateway itself: name → value; `null`: the header is absent. Default: `{}`.
    pub headers: StringList,
    /// The name of the cluster to which the request is sent. Default: any.
    pub cluster: Setting<String>,
    /// The request to the backend. Default: any.
    #[serde(rename = "Downstream")]
    pub backend: BoxedSetting<ExpectedRequestDocument>,
}

/// The request that a backend is expected to receive.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExpectedRequestDocument {
    /// The method. Default: any.
    pub method: Setting<String>,
    /// The path, with the query. Default: any.
    pub path: Setting<String>,
    /// Headers: name → value; `null`: the header is absent. Default: `{}`.
    pub headers: StringList,
}
