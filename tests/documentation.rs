//! What is written down holds: the README's tour happens as written, the reference lists every setting.

#[path = "documentation/bff.rs"]
mod bff;
#[path = "documentation/readme.rs"]
mod readme;
#[path = "documentation/reference.rs"]
mod reference;
#[path = "documentation/words.rs"]
mod words;
