//! Tests of a configuration: requests, and what the gateway is expected to do with them. vector has them as
//! `tests` of its configuration, Envoy as the router check tool.
//!
//! [`compile()`] checks the section `Tests`; [`run()`] runs one test on the dry run behind `margay explain` and reports what
//! differs. Called by `plan::compile` and `control::dry_run`. Owns nothing that outlives the call.

mod compile;
mod run;

pub use compile::compile;
pub use run::{Difference, TestResult, run};

use crate::config::Span;
use std::net::IpAddr;

/// A checked test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTest {
    pub name: String,
    /// Where it is written.
    pub span: Span,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub from: IpAddr,
    /// `None`: the first listener.
    pub listener: Option<String>,
    pub expected: Expectation,
}

/// What a test expects; `None`: anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    pub route: Option<String>,
    pub status: Option<u16>,
    pub code: Option<String>,
    /// Headers of the response of the gateway itself.
    pub headers: Vec<ExpectedHeader>,
    pub cluster: Option<String>,
    pub backend_method: Option<String>,
    pub backend_path: Option<String>,
    pub backend_headers: Vec<ExpectedHeader>,
}

/// A header and its expected value; `None`: it is absent.
pub type ExpectedHeader = (String, Option<String>);
