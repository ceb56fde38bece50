//! `Waf`, `WafPolicies` and `WafEngine` as the document has them.

use crate::base::units::{DurationText, SizeText};
use crate::config::options::shared_settings;
use crate::config::values::{List, Setting};
use crate::config::{Spanned, SpannedMap};
use schemars::JsonSchema;
use serde::Deserialize;

shared_settings! { $ waf_settings {
    /// The web application firewall: `"Prevention"` blocks attacks, `"Detection"` logs them, `"Off"` inspects nothing, any
    /// other name is one of `WafPolicies`. The most specific document wins: route, listener, `GlobalConfiguration`.
    /// Default: no inspection.
    pub waf: Setting<String>,
} }

/// A policy of the web application firewall: what is inspected, and what happens with what is found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafPolicyDocument {
    /// `Detection`: matches are logged; `Prevention`: requests are blocked. Default: `Detection`.
    pub mode: Setting<String>,
    /// Rules up to this paranoia level count. 1 to 4. Default: 1.
    pub paranoia_level: Setting<i64>,
    /// Rules up to this level run and are logged; those above `ParanoiaLevel` do not count. `ParanoiaLevel` to 4.
    /// Default: `ParanoiaLevel`.
    pub detection_paranoia_level: Setting<i64>,
    /// The anomaly score that blocks a request: critical matches add 5, errors 4, warnings 3, notices 2. 1 to 10000.
    /// Default: 5.
    pub inbound_threshold: Setting<i64>,
    /// The anomaly score that blocks a response, if `ResponseBody` is inspected. 1 to 10000. Default: 4.
    pub outbound_threshold: Setting<i64>,
    /// Which managed rules run, and what they do.
    pub managed_rules: Setting<WafManagedRulesDocument>,
    /// Built-in exclusions: `GraphQL`, `OData`. Default: `[]`.
    pub presets: List<String>,
    /// Parts of requests that managed rules do not inspect. At most 10000. Default: `[]`.
    pub exclusions: List<WafExclusionDocument>,
    /// Rules of this policy, evaluated before bots and managed rules. At most 1000. Default: `[]`.
    pub custom_rules: List<WafCustomRuleDocument>,
    /// Clients that are bots. Default: none.
    pub bots: Setting<WafBotsDocument>,
    /// How request bodies are inspected.
    pub request_body: Setting<WafRequestBodyDocument>,
    /// How responses are inspected. Default: not at all.
    pub response_body: Setting<WafResponseBodyDocument>,
    /// What happens to a request if the engine fails: `Refuse` or `Pass`. Default: `Refuse`.
    pub on_error: Setting<String>,
    /// The methods that requests may have. Default: `GET HEAD POST OPTIONS PUT PATCH DELETE`.
    pub allowed_methods: List<String>,
    /// The media types that requests may have. Default: forms, JSON, XML and common types of APIs, images and documents.
    pub allowed_content_types: List<String>,
    /// The charsets that requests may have. Default: `utf-8`, `iso-8859-1`, `iso-8859-15`, `windows-1252`.
    pub allowed_charsets: List<String>,
    /// File extensions that requests may not have, such as `.bak`. Default: the list of the managed rules.
    pub restricted_extensions: List<String>,
    /// Header fields that requests may not have. Default: `content-encoding proxy lock-token content-range if
    /// x-http-method-override x-http-method x-method-override x-middleware-subrequest`.
    pub restricted_headers: List<String>,
    /// Whether arguments and paths must be valid UTF-8. Default: that of the managed rules.
    pub validate_utf8: Setting<bool>,
    /// The response to a blocked request. Default: 403 with a problem body.
    pub reply: Setting<WafReplyDocument>,
    /// Further parts of requests that the log contains as `***`. Default: `[]`.
    pub log_scrubbing: List<WafScrubbingDocument>,
    /// Files with rules in the language of ModSecurity, read after the managed rules. Default: `[]`.
    pub rule_files: List<String>,
    /// Directories of plugins of the OWASP Core Rule Set: `*-config.conf`, `*-before.conf`, `*-after.conf`. Default: `[]`.
    pub plugins: List<String>,
}

/// Which managed rules run, and what they do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafManagedRulesDocument {
    /// Whether managed rules run. Custom rules, bots and limits do not depend on it. Default: true.
    pub enabled: Setting<bool>,
    /// Group, the first three digits of rule ids, → what its rules do. Default: `{}`.
    pub groups: Setting<SpannedMap<Spanned<WafRuleOverrideDocument>>>,
    /// Rule id → what the rule does. Default: `{}`.
    pub rules: Setting<SpannedMap<Spanned<WafRuleOverrideDocument>>>,
}

/// What a managed rule, or a group of them, does.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafRuleOverrideDocument {
    /// Whether it runs. Default: true.
    pub enabled: Setting<bool>,
    /// `Score`: as the rule defines; `Log`: logged, without score; `Block`: blocks on its own. Default: `Score`.
    pub action: Setting<String>,
}

/// A part of requests that managed rules do not inspect.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafExclusionDocument {
    /// `RequestArgValues`, `RequestArgKeys`, `RequestHeaderValues`, `RequestHeaderKeys`, `RequestCookieValues`,
    /// `RequestCookieKeys`, `RequestFileNames`, `RequestXml`, `RequestBody` or `RequestPath`. Required.
    pub variable: Setting<String>,
    /// How the name is compared: `Equals`, `StartsWith`, `EndsWith`, `Contains`, or `EqualsAny` for every name. Default:
    /// `Equals`.
    pub operator: Setting<String>,
    /// The name of the part; `$.items[*].text` is a JSON member. Required, except for `RequestXml`, `RequestBody`,
    /// `RequestPath` and `EqualsAny`.
    pub selector: Setting<String>,
    /// The paths of the requests, percent-decoded; `*` matches any characters. Default: all paths.
    pub path: Setting<String>,
    /// The ids of the rules. Default: all managed rules.
    pub rules: List<i64>,
    /// The groups of the rules. Default: all managed rules.
    pub groups: List<String>,
}

/// A rule of a policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafCustomRuleDocument {
    /// The name in logs and metrics, unique, at most 128 characters. Required.
    pub name: Setting<String>,
    /// The position among the rules, unique; lower ones are evaluated first. 1 to 10000. Required.
    pub priority: Setting<i64>,
    /// Whether the rule is evaluated. Default: true.
    pub enabled: Setting<bool>,
    /// `Allow` ends the inspection of the request, `Block` rejects it, `Log` logs it. Required.
    pub action: Setting<String>,
    /// The conditions, all of which must hold. At least one. Required.
    pub conditions: List<WafConditionDocument>,
    /// The status of the response to a blocked request. 200 to 599. Default: that of `Reply`; 429 with `RateLimit`.
    pub status: Setting<i64>,
    /// How many matching requests are allowed; the rule applies to those above it. Not with `Allow`. Default: none.
    pub rate_limit: Setting<WafRateLimitDocument>,
}

/// A condition of a custom rule.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafConditionDocument {
    /// Any of `RemoteAddr`, `RequestMethod`, `RequestUri`, `RequestPath`, `QueryString`, `RequestBody`,
    /// `RequestHeaders:NAME`, `RequestCookies:NAME`, `PostArgs:NAME`. Required.
    pub variables: List<String>,
    /// `IPMatch`, `GeoMatch`, `Equal`, `Contains`, `BeginsWith`, `EndsWith`, `Regex`, `LessThan`, `GreaterThan`,
    /// `LessThanOrEqual`, `GreaterThanOrEqual` or `Any`. Required.
    pub operator: Setting<String>,
    /// The values, of which one must match. Required, except for `Any`.
    pub values: List<String>,
    /// Whether the result is inverted. Default: false.
    pub not: Setting<bool>,
    /// Applied to the variable, in order: `Lowercase`, `Uppercase`, `Trim`, `UrlDecode`, `UrlEncode`, `RemoveNulls`,
    /// `HtmlEntityDecode`. Default: `[]`.
    pub transforms: List<String>,
}

/// How many requests that match a custom rule are allowed, in a fixed window.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafRateLimitDocument {
    /// Requests allowed in one period. 1 or more. Required.
    pub limit: Setting<i64>,
    /// The period: a number with unit `ms`, `s`, `m`, `h` or `d`. Required.
    pub period: Setting<String>,
    /// What has a separate counter: any of `ClientId`, `IP`, `Claim:TYPE`, `Header:NAME`, `Route` and `Country`; `[]` is
    /// one counter for all. Default: `["IP"]`.
    pub partition_by: List<String>,
}

/// Clients that are bots.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafBotsDocument {
    /// `Block` or `Log`. Default: `Block`.
    pub action: Setting<String>,
    /// User agents of bots, in any case: a part of the value, or with `*` a pattern of the whole value. Default: `[]`.
    pub bad_agents: List<String>,
    /// A file with one user agent a line. Default: none.
    pub bad_agents_file: Setting<String>,
    /// Addresses and networks of bots. Default: `[]`.
    pub bad_addresses: List<String>,
    /// A file with one address or network a line. Default: none.
    pub bad_addresses_file: Setting<String>,
    /// Whether a request without `User-Agent` is one of a bot. Default: false.
    pub block_empty_agent: Setting<bool>,
    /// Bots whose addresses are verified by reverse DNS. Default: `[]`.
    pub verified_bots: List<WafVerifiedBotDocument>,
}

/// A bot that is welcome, if its address has a name of one of the domains.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafVerifiedBotDocument {
    /// A part of the user agent, in any case. Required.
    pub agent: Setting<String>,
    /// The domains of its host names. At least one. Required.
    pub domains: List<String>,
}

/// How request bodies are inspected.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafRequestBodyDocument {
    /// Whether bodies are inspected. Default: true.
    pub inspect: Setting<bool>,
    /// The bytes of a parsed body that are inspected; contents of files do not count. 1KiB to 16MiB. Default: `128KiB`.
    pub inspect_limit: Setting<SizeText>,
    /// What happens with longer bodies: `Refuse` responds 413, `InspectBeginning` leaves the rest uninspected. In
    /// `Detection` always `InspectBeginning`. Default: `Refuse`.
    pub oversize: Setting<String>,
    /// The size of all files of a multipart body together; beyond it 413. Default: `100MiB`.
    pub max_file_upload_size: Setting<SizeText>,
    /// Maximum number of arguments; more are a critical match. Default: none.
    pub max_arguments: Setting<i64>,
    /// Maximum length of the value of an argument; longer is a critical match. Default: none.
    pub max_argument_length: Setting<i64>,
    /// Maximum length of the name of an argument; longer is a critical match. Default: none.
    pub max_argument_name_length: Setting<i64>,
    /// Maximum length of all names and values together; longer is a critical match. Default: none.
    pub max_arguments_total_length: Setting<i64>,
    /// Maximum size of a multipart body with files; larger is a critical match. Default: none.
    pub max_file_size: Setting<SizeText>,
    /// Maximum size of all files of a body together; larger is a critical match. Default: none.
    pub max_files_total_size: Setting<SizeText>,
}

/// How responses are inspected: the head and the beginning of the body are held back until the response rules have run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafResponseBodyDocument {
    /// Whether responses are inspected. Default: false.
    pub inspect: Setting<bool>,
    /// The bytes at the beginning of a body that are inspected. 1KiB to 16MiB. Default: `512KiB`.
    pub inspect_limit: Setting<SizeText>,
    /// The media types whose bodies are inspected. Default: `text/html`, `text/plain`, `text/xml`, `application/json`.
    pub content_types: List<String>,
}

/// The response to a blocked request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafReplyDocument {
    /// The status. 200 to 599. Default: 403.
    pub status: Setting<i64>,
    /// Header fields of the response. Default: `{}`.
    pub headers: Setting<SpannedMap<Spanned<String>>>,
    /// The body. Default: a problem body.
    pub body: Setting<String>,
}

/// A part of requests that the log contains as `***`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafScrubbingDocument {
    /// A variable as in `Exclusions`, or `RemoteAddr`. Required.
    pub variable: Setting<String>,
    /// As in `Exclusions`. Default: `Equals`.
    pub operator: Setting<String>,
    /// As in `Exclusions`; not with `RemoteAddr`.
    pub selector: Setting<String>,
}

/// The engine of the web application firewall, which all policies share.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct WafEngineDocument {
    /// The directory of the OWASP Core Rule Set, or `built-in` for the rules of the binary. Default: `MARGAY_WAF_RULES`, else `share/margay/crs` next to the
    /// directory of the binary, else `/usr/share/margay/crs` or `/usr/share/modsecurity-crs`, else the built-in rules.
    pub rules: Setting<String>,
    /// A MaxMind DB file with the countries of addresses. Default: none.
    pub country_file: Setting<String>,
    /// The threads for long evaluations. 1 to 256. Default: the number of cores.
    pub threads: Setting<i64>,
    /// The evaluations that may wait for a thread. 1 to 100000. Default: 256.
    pub queue_limit: Setting<i64>,
    /// How long an evaluation may wait for a thread. 1ms to 1m. Default: `250ms`.
    pub queue_timeout: Setting<DurationText>,
    /// What happens if the queue is full or too slow: `Refuse` responds 503, `Pass` forwards uninspected. Default:
    /// `Refuse`.
    pub on_overload: Setting<String>,
    /// Where matches are logged: `"stdout"`, a file, or `"off"`. Default: `"stdout"`.
    pub log: Setting<String>,
}
