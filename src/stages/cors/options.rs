//! `CorsOptions` as the document has them.

use crate::{
    base::units::DurationText,
    config::{
        options::option_objects,
        values::{List, Setting},
    },
};

option_objects! {
    /// CORS (cross-origin resource sharing): which web origins may read the responses. The gateway responds to
    /// preflight requests itself, before authentication and limits; they are routed by the method they request.
    CorsOptions, GlobalCorsOptions {
        /// Whether CORS is enabled. Default: true once any option is set.
        enable_cors: Setting<bool>,
        /// Allowed origins, such as `https://app.example`, `https://*.example.com` for all subdomains, or `*` for all.
        /// Required.
        allowed_origins: List<String>,
        /// Allowed methods, `*` for all. Default: the methods of the route.
        allowed_methods: List<String>,
        /// Allowed request header fields in addition to the CORS-safelisted ones, `*` for all. Default: `[]`.
        allowed_headers: List<String>,
        /// Response header fields that scripts may read in addition to the CORS-safelisted ones. Default: `[]`.
        exposed_headers: List<String>,
        /// Whether cookies and `Authorization` may be sent; not with the origin `*`. Default: false.
        allow_credentials: Setting<bool>,
        /// How long browsers may cache the result of a preflight request. Default: not sent, which browsers treat as 5
        /// seconds.
        max_age: Setting<DurationText>,
    }
}
