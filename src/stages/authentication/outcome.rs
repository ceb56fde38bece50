//! The result of an authentication scheme.

use crate::pipeline::{error::GatewayError, identity::Identity};
use std::{future::Future, pin::Pin, sync::Arc};

/// The result of a scheme for a request.
pub enum AuthOutcome {
    /// The request has no credentials of this scheme.
    NoCredentials,
    Authenticated(Arc<Identity>),
    Rejected(GatewayError),
    /// The result is not available without waiting.
    Pending(Pin<Box<dyn Future<Output = Result<Arc<Identity>, GatewayError>> + Send>>),
}
