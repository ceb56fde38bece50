//! What a route says about who is let in, how often, and how many at one time: resolved, and as stages.

use crate::{
    pipeline::stage::BoxStage,
    stages::{
        Kept,
        address::Addresses,
        concurrency::{self, Concurrency},
        cors, rate_limit,
        size::RequestSize,
    },
};

/// The part of a route that admits requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    pub addresses: Option<Addresses>,
    pub cors: Option<cors::Settings>,
    pub size: Option<RequestSize>,
    pub rates: Option<rate_limit::Settings>,
    pub concurrency: Vec<concurrency::Settings>,
}

impl Admission {
    /// Adds the stages that do it; what they count lies in `kept` and outlives the plan.
    pub fn stages(&self, kept: &Kept, stages: &mut Vec<BoxStage>) {
        if let Some(cors) = &self.cors {
            let (cors, preflight) = cors::stages(cors);
            stages.extend([Box::new(cors) as BoxStage, Box::new(preflight)]);
        }
        if let Some(addresses) = &self.addresses {
            stages.push(Box::new(addresses.clone()));
        }
        if let Some(size) = &self.size {
            stages.push(Box::new(size.clone()));
        }
        for rates in self.rates.iter().flat_map(|rates| rate_limit::stages(rates, &kept.counters)) {
            stages.push(Box::new(rates));
        }
        for limit in &self.concurrency {
            stages.push(Box::new(Concurrency::new(limit, &kept.gates)));
        }
    }
}
