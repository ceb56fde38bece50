//! `CompressionOptions` as the document has them.

use crate::{
    base::units::SizeText,
    config::{
        options::option_objects,
        values::{List, Setting},
    },
};

option_objects! {
    /// Response compression for clients that accept it. Responses that the backend compressed are passed through.
    CompressionOptions, GlobalCompressionOptions {
        /// Whether compression is enabled. Default: true once any option is set.
        enable_compression: Setting<bool>,
        /// The content codings: any of `zstd`, `br` and `gzip`, each once. The coding that the client prefers is used;
        /// among equals the first in this list. Default: `["zstd", "br", "gzip"]`. Source: RFC 9110, 12.5.3.
        encodings: List<String>,
        /// Minimum size of a compressed response, if its length is known in advance. 0B to 1GiB. Default: `1KiB`.
        min_size: Setting<SizeText>,
        /// Media types that are compressed: `text/html`, `text/*`, `application/*+json` or `*/*`. Images, video,
        /// archives and gRPC are never compressed. Default: text, JSON, XML, JavaScript, WebAssembly, SVG and
        /// uncompressed fonts.
        content_types: List<String>,
        /// The compression level: `Fastest`, `Balanced` or `Smallest`. Default: `Balanced`.
        level: Setting<String>,
        /// The zstd level, instead of `Level`. 1 to 9. Default: by `Level` 1, 3 or 9.
        zstd_level: Setting<i32>,
        /// The Brotli level, instead of `Level`. 1 to 6. Default: by `Level` 2, 4 or 6.
        brotli_level: Setting<i32>,
        /// The gzip level, instead of `Level`. 1 to 9. Default: by `Level` 1, 5 or 9.
        gzip_level: Setting<i32>,
    }
}
