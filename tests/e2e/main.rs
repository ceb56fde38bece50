//! End to end: the real binary, real sockets, real files.
//!
//! * [`support`] is the tool box: the gateway as a child process, services that record or misbehave, a plain client.
//! * [`cases`] runs the black-box cases in the words of Ocelot (`tests/cases/ocelot*.jsonl`).
//! * [`raw`] runs the byte streams of strangers and of broken services (`tests/cases/raw_*.jsonl`).
//! * [`engine`] says what the engine does on a socket, one sentence a test.

mod cases;
mod engine;
mod raw;
mod reasons;
mod support;
