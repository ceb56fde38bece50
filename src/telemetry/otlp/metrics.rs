//! Metrics as messages: the families of a scrape, with cumulative temporality.

use super::{
    config::OtlpConfig,
    resource::{resource, scope, text, unix_ns},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
};
use prometheus::proto::{self, MetricFamily, MetricType};
use std::time::SystemTime;

/// The times of all data points.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) now: SystemTime,
}

/// The request that contains these families.
pub(super) fn request(
    config: &OtlpConfig,
    families: &[MetricFamily],
    window: Window,
) -> ExportMetricsServiceRequest {
    let metrics = families.iter().map(|family| message(family, window)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        ResourceMetrics { resource: Some(resource(config)), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

/// The number of data points of a request.
pub(super) fn data_points(families: &[MetricFamily]) -> u64 {
    families.iter().map(|family| family.get_metric().len() as u64).sum()
}

fn message(family: &MetricFamily, window: Window) -> Metric {
    let samples = family.get_metric();
    let cumulative = AggregationTemporality::Cumulative as i32;
    let data = match family.get_field_type() {
        MetricType::COUNTER => {
            let number = |sample: &proto::Metric| number(sample, sample.get_counter().get_value(), window);
            Data::Sum(Sum {
                data_points: samples.iter().map(number).collect(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            })
        }
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: samples.iter().map(|sample| histogram(sample, window)).collect(),
            aggregation_temporality: cumulative,
        }),
        _ => {
            let number = |sample: &proto::Metric| number(sample, sample.get_gauge().get_value(), window);
            Data::Gauge(Gauge { data_points: samples.iter().map(number).collect() })
        }
    };
    let unit = ["seconds", "bytes"].into_iter().find(|unit| family.name().contains(unit));
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: match unit {
            Some("seconds") => "s",
            Some(_) => "By",
            None => "1",
        }
        .to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes(sample: &proto::Metric) -> Vec<KeyValue> {
    sample.get_label().iter().map(|label| text(label.name(), label.value())).collect()
}

fn number(sample: &proto::Metric, value: f64, window: Window) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: unix_ns(window.start),
        time_unix_nano: unix_ns(window.now),
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram(sample: &proto::Metric, window: Window) -> HistogramDataPoint {
    let of = sample.get_histogram();
    let (mut counts, mut below) = (Vec::new(), 0);
    for bucket in of.get_bucket() {
        counts.push(bucket.cumulative_count() - below);
        below = bucket.cumulative_count();
    }
    counts.push(of.get_sample_count() - below);
    HistogramDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: unix_ns(window.start),
        time_unix_nano: unix_ns(window.now),
        count: of.get_sample_count(),
        sum: Some(of.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: of.get_bucket().iter().map(|bucket| bucket.upper_bound()).collect(),
        ..HistogramDataPoint::default()
    }
}
