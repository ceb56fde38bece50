//! What a route says about who is let in, how often, and how many at one time: resolved, and as stages.

use crate::{
    pipeline::stage::BoxStage,
    stages::{
        StageState,
        concurrency_limit::{self, Concurrency},
        cors,
        ip_filter::IpFilter,
        rate_limit,
        request_size::RequestSize,
    },
};

/// The part of a route that admits requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    pub addresses: Option<IpFilter>,
    pub cors: Option<cors::Settings>,
    pub request_size: Option<RequestSize>,
    pub rate_limit: Option<rate_limit::Settings>,
    pub concurrency: Vec<concurrency_limit::Settings>,
}

impl Admission {
    /// Adds the stages that do it; what they count lies in `kept` and outlives the plan.
    pub fn stages(&self, kept: &StageState, stages: &mut Vec<BoxStage>) {
        if let Some(cors) = &self.cors {
            let (cors, preflight) = cors::stages(cors);
            stages.extend([Box::new(cors) as BoxStage, Box::new(preflight)]);
        }
        if let Some(addresses) = &self.addresses {
            stages.push(Box::new(addresses.clone()));
        }
        if let Some(size) = &self.request_size {
            stages.push(Box::new(size.clone()));
        }
        for rates in self.rate_limit.iter().flat_map(|rates| rate_limit::stages(rates, &kept.rate_limits)) {
            stages.push(Box::new(rates));
        }
        for limit in &self.concurrency {
            stages.push(Box::new(Concurrency::new(limit, &kept.concurrency)));
        }
    }
}
