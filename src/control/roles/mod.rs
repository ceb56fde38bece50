//! The directory of roles: instances, their endpoints and ports, and who may reach what (Azure Cloud Services: the runtime API,
//! Consul: catalog and intentions). An internal service: a route with `"DownstreamService": "Roles"` has it as its target.
//!
//! [`router`] has the pages; [`visibility`] decides what a caller sees, [`view`] forms the JSON, which the administration pages
//! share, and `registration` changes instances. What outlives plans is in `plan::roles::RoleState`.

mod caller;
mod error;
mod events;
mod pages;
mod registration;
pub mod view;
pub mod visibility;
mod watch;

pub use pages::router;
pub use watch::follow_registrations;
