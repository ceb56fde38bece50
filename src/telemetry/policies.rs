//! Counters of `emit-metric` statements: the names and labels are those of the documents.

use super::samples::float_counter;
use prometheus::proto::Metric;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Maximum number of label sets of one metric; further ones are counted together.
const MAX_SERIES: usize = 1000;
/// The value of all dimensions in the series of further label sets.
const OTHER: &str = "other";

/// The labels of a series.
type Labels = Vec<(Box<str>, Box<str>)>;

/// The counters by metric, then by labels.
#[derive(Debug, Default)]
pub struct PolicyMetrics {
    metrics: Mutex<HashMap<Box<str>, HashMap<Labels, f64>>>,
}

impl PolicyMetrics {
    /// Adds to a counter.
    pub fn add(&self, metric: &str, labels: Vec<(Box<str>, Box<str>)>, value: f64) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let series = metrics.entry(metric.into()).or_default();
        let is_full = series.len() >= MAX_SERIES && !series.contains_key(&labels);
        let labels = match is_full {
            true => labels.into_iter().map(|(name, _)| (name, OTHER.into())).collect(),
            false => labels,
        };
        *series.entry(labels).or_default() += value;
    }

    /// All series.
    pub(super) fn samples(&self) -> Vec<Metric> {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let series = metrics.iter().flat_map(|(metric, series)| series.iter().map(move |one| (metric, one)));
        series
            .map(|(metric, (labels, value))| {
                let own = labels.iter().map(|(name, value)| (&**name, &**value));
                float_counter(*value, &[("metric", &**metric)].into_iter().chain(own).collect::<Vec<_>>())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_beyond_the_bound_are_counted_together() {
        let metrics = PolicyMetrics::default();
        for n in 0..MAX_SERIES + 50 {
            metrics.add("calls", vec![("user".into(), n.to_string().into())], 0.5);
        }
        assert_eq!(metrics.samples().len(), MAX_SERIES + 1);
        let other: Labels = vec![("user".into(), OTHER.into())];
        assert_eq!(metrics.metrics.lock().unwrap()["calls"][&other], 25.0);
    }
}
