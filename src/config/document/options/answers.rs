//! The options about answers on their way to the client: who may read them, and how they are compressed.

use super::{GlobalOptions, Options, or_inherit};
use crate::base::units::{DurationText, SizeText};
use crate::config::document::values::{List, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
    /// Which web pages may read the answers. Preflights are answered by the gateway, before authentication and limits,
    /// and routed by the method they ask for.
    CorsOptions, GlobalCorsOptions {
        /// Whether it is on. Default: true once any option is set.
        enable_cors: Setting<bool>,
        /// Origins such as `https://app.example`, `https://*.example.com` for every host below, or `*` for all. Required.
        allowed_origins: List<String>,
        /// Methods that pages may use, `*` for all. Default: the methods of the route.
        allowed_methods: List<String>,
        /// Header fields that pages may send beside the usual ones, `*` for all. Default: `[]`.
        allowed_headers: List<String>,
        /// Fields of the answer that pages may read beside the usual ones. Default: `[]`.
        exposed_headers: List<String>,
        /// Whether pages may send cookies and `Authorization`; not together with the origin `*`. Default: false.
        allow_credentials: Setting<bool>,
        /// How long browsers keep what a preflight said. Default: not said, which means 5 seconds to them.
        max_age: Setting<DurationText>,
    }

    /// Which answers are compressed, and how, for clients that take it. What the service compressed itself stays as it is.
    CompressionOptions, GlobalCompressionOptions {
        /// Whether it is on. Default: true once any option is set.
        enable_compression: Setting<bool>,
        /// Any of `zstd`, `br` and `gzip`, each once. A client gets the one that it likes best; among equals the first here.
        /// Default: `["zstd", "br", "gzip"]`. Source: RFC 9110, 12.5.3.
        encodings: List<String>,
        /// Shorter answers stay as they are, if their length is known beforehand. 0B to 1GiB. Default: `1KiB`.
        min_size: Setting<SizeText>,
        /// Media types that are compressed: `text/html`, `text/*`, `application/*+json` or `*/*`. Pictures, films, archives
        /// and gRPC never are. Default: texts, JSON, XML, JavaScript, WebAssembly, SVG and uncompressed fonts.
        content_types: List<String>,
        /// How hard encoders try: `Fastest`, `Balanced` or `Smallest`. Default: `Balanced`.
        level: Setting<String>,
        /// The level of zstd instead. 1 to 9. Default: by `Level` 1, 3 or 9.
        zstd_level: Setting<i32>,
        /// The level of br instead. 1 to 6. Default: by `Level` 2, 4 or 6.
        brotli_level: Setting<i32>,
        /// The level of gzip instead. 1 to 9. Default: by `Level` 1, 5 or 9.
        gzip_level: Setting<i32>,
    }
}
