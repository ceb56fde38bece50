//! The documentation is true: the tour of the README produces the output shown, the reference lists every setting.

#[path = "documentation/administration.rs"]
mod administration;
#[path = "documentation/api_management.rs"]
mod api_management;
#[path = "documentation/bff.rs"]
mod bff;
#[path = "documentation/readme.rs"]
mod readme;
#[path = "documentation/reference.rs"]
mod reference;
#[path = "documentation/roles.rs"]
mod roles;
#[path = "documentation/service_fabric.rs"]
mod service_fabric;
#[path = "documentation/words.rs"]
mod words;
