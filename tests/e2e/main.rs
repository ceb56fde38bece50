//! End to end: the real binary, real sockets, real files.
//!
//! * [`support`]: the gateway as a child process, backends that record or misbehave, a plain client.
//! * [`cases`] runs the black-box cases recorded from Ocelot (`tests/cases/ocelot*.jsonl`).
//! * [`raw`] runs the byte streams of hostile clients and of broken backends (`tests/cases/raw_*.jsonl`).
//! * [`endpoints`] runs the cases of TCP and UDP endpoints and of roles (`tests/cases/endpoints.jsonl`).
//! * [`cli`] runs the commands on files and against a gateway.
//! * [`engine`] tests the engine on a socket, one sentence a test.

mod cases;
mod cli;
mod endpoints;
mod engine;
mod raw;
mod reasons;
mod support;
