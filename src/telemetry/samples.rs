//! Samples in the types of the `prometheus` crate.

use super::histogram::{BUCKET_BOUNDS, HistogramTotals};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric};

pub(super) fn histogram(totals: &HistogramTotals, labels: &[(&str, &str)]) -> Metric {
    let mut cumulative = 0;
    let buckets = totals.buckets.iter().zip(BUCKET_BOUNDS).map(|(n, bound)| {
        cumulative += n;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(totals.count());
    histogram.set_sample_sum(totals.sum_ns as f64 / 1e9);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

pub(super) fn counter(n: u64, labels: &[(&str, &str)]) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(n as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

pub(super) fn float_counter(n: f64, labels: &[(&str, &str)]) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(n);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

pub(super) fn gauge(n: u64, labels: &[(&str, &str)]) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(n as f64);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}
