//! Discovery: registries say where the instances of a service are, each in a background task that delays no request.

use super::endpoint::Instance;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// A service as registries know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub name: String,
    /// Empty: that of the registry.
    pub namespace: String,
    /// The scheme that is spoken with it; registries that name ports look for this one.
    pub scheme: String,
}

/// Whom a provider tells where the instances are.
#[derive(Debug)]
pub struct Told(watch::Sender<Option<Arc<[Instance]>>>);

impl Told {
    /// These are all the instances that there are now.
    pub fn tell(&self, instances: Vec<Instance>) {
        let new: Arc<[Instance]> = instances.into();
        self.0.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&*new);
            if changed {
                *known = Some(new);
            }
            changed
        });
    }
}

/// One way of finding instances.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// For people and metrics; never a secret.
    fn label(&self) -> &str;

    /// Follows one service, telling every change, for as long as it can. It returns with what went wrong, in a sentence
    /// for the log; what was told last stays, and after a while it is asked to begin again.
    async fn follow(&self, service: &Service, told: &Told) -> String;
}
