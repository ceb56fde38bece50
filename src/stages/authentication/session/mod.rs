//! `OpenIdConnect`: browsers sign in at a provider, and the gateway keeps their tokens (backend for frontend).
//!
//! The browser has a cookie that only the gateway can read; the access token is attached to requests for backends. The
//! session is in the cookie itself, encrypted, or on the shared state, with a cookie that names it.
//!
//! - Elsewhere: oauth2-proxy, Duende BFF, ASP.NET's cookie and OpenID Connect handlers, Envoy's `oauth2` filter.
//! - Entry points: [`active::RouteSessions::serve_endpoint`] for the endpoints, [`active::RouteSessions::find`] for all other
//!   requests, [`active::RouteSessions::challenge`] for those without a session.
//! - Owns: opened cookies, refreshes in progress and their results, copies of sessions on the shared state.
//! - Outlives a reload: all of that, as long as a plan has the scheme with equal settings.

pub mod active;
#[cfg(test)]
mod attacks;
mod audience;
mod audience_cache;
mod callback;
pub mod cookies;
mod data;
pub mod endpoints;
pub mod id_token;
mod login;
mod pages;
mod provider;
mod refresh;
mod request;
pub mod return_url;
pub mod scheme;
pub mod seal;
pub mod settings;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
