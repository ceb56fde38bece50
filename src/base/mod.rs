//! The lowest floor: values that every floor uses, without I/O except in [`atomic_file`] and [`data_directory`] (in Envoy:
//! `source/common/common` and `common/http/utility`). Byte classes, percent-encoding and quality values of HTTP, dates, durations and sizes, IP
//! ranges, hashes, backoff, WebSocket frames.
//!
//! Called by all floors and calls none. Nothing here holds state, except [`weak_map::WeakMap`], whose entries live as long
//! as a user of them, the counts of [`budget`] and [`stream_limit`], which their owners create, and [`clock`], which tests replace. Nothing here outlives a reload by itself.

pub mod accept;
pub mod atomic_file;
pub mod backoff;
pub mod budget;
pub mod bytes;
pub mod client_counts;
pub mod client_prefix;
pub mod clock;
pub mod compact_jws;
pub mod content_coding;
pub mod data_directory;
pub mod data_rate;
pub mod date;
pub mod escaped_separators;
pub mod failure_log;
pub mod from_text;
pub mod ip_set;
pub mod memory;
pub mod method;
pub mod weak_map;
pub mod path_params;
pub mod port_range;
pub mod percent;
pub mod secret;
pub mod hash;
pub mod expr;
pub mod json_path;
pub mod hex;
pub mod status_set;
pub mod stream_limit;
pub mod units;
pub mod url;
pub mod websocket;
