//! The protobuf format of Prometheus (`io.prometheus.client.MetricFamily`, delimited), which carries native histograms.

use super::{
    counters::RouteMetrics,
    exemplar::{BucketExemplars, Exemplar},
    metrics::Metrics,
    native_histogram::{MIN_INDEX, SCHEMA},
};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use std::{sync::Arc, time::UNIX_EPOCH};

/// The content type of the format.
pub const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Widest histogram bucket that counts as zero: 2^-128, smaller than any duration.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

impl Metrics {
    /// All numbers in the protobuf format.
    pub(super) fn render_protobuf(&self) -> Vec<u8> {
        let (mut page, routes) = (Vec::with_capacity(16 * 1024), self.all_routes());
        for family in self.gather() {
            let message = self::family(&family, &routes);
            varint(&mut page, message.len() as u64);
            page.extend_from_slice(&message);
        }
        page
    }
}

fn family(family: &MetricFamily, routes: &[Arc<RouteMetrics>]) -> Vec<u8> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => 0,
        MetricType::HISTOGRAM => 4,
        _ => 1,
    };
    let mut message = Vec::new();
    bytes(&mut message, 1, family.name().as_bytes());
    bytes(&mut message, 2, family.help().as_bytes());
    number(&mut message, 3, kind);
    for metric in family.get_metric() {
        bytes(&mut message, 4, &self::metric(family, metric, routes));
    }
    message
}

fn metric(family: &MetricFamily, metric: &proto::Metric, routes: &[Arc<RouteMetrics>]) -> Vec<u8> {
    let mut message = Vec::new();
    for label in metric.get_label() {
        bytes(&mut message, 1, &self::label(label.name(), label.value()));
    }
    match family.get_field_type() {
        MetricType::COUNTER => bytes(&mut message, 3, &value(metric.get_counter().get_value())),
        MetricType::HISTOGRAM => {
            let native = native(family.name(), metric.get_label(), routes);
            bytes(&mut message, 7, &histogram(metric.get_histogram(), &native));
        }
        _ => bytes(&mut message, 2, &value(metric.get_gauge().get_value())),
    }
    message
}

/// The native buckets and the exemplars of a histogram.
#[derive(Default)]
struct Native {
    buckets: Vec<u64>,
    exemplars: BucketExemplars,
}

fn native(name: &str, labels: &[LabelPair], routes: &[Arc<RouteMetrics>]) -> Native {
    let route = labels.iter().find(|label| label.name() == "route").map_or("", |label| label.value());
    let Some(route) = routes.iter().find(|known| known.label() == route) else { return Native::default() };
    let [duration, gateway, backend] = route.native_totals();
    match name {
        "margay_request_duration_seconds" => Native { buckets: duration, exemplars: route.exemplars() },
        "margay_gateway_duration_seconds" => Native { buckets: gateway, ..Native::default() },
        _ => Native { buckets: backend, ..Native::default() },
    }
}

fn histogram(of: &proto::Histogram, native: &Native) -> Vec<u8> {
    let mut message = Vec::new();
    number(&mut message, 1, of.get_sample_count());
    double(&mut message, 2, of.get_sample_sum());
    for (bucket, exemplar) in of.get_bucket().iter().zip(native.exemplars) {
        let mut inner = Vec::new();
        number(&mut inner, 1, bucket.cumulative_count());
        double(&mut inner, 2, bucket.upper_bound());
        if let Some(exemplar) = exemplar {
            bytes(&mut inner, 3, &self::exemplar(&exemplar));
        }
        bytes(&mut message, 3, &inner);
    }
    if !native.buckets.is_empty() {
        write_native(&mut message, &native.buckets);
    }
    message
}

/// Spans of buckets that are not empty, and the differences between the counts of neighbors.
fn write_native(message: &mut Vec<u8>, buckets: &[u64]) {
    number(message, 5, zigzag(i64::from(SCHEMA)));
    double(message, 6, ZERO_THRESHOLD);
    let (mut spans, mut deltas) = (Vec::<(i64, u64)>::new(), Vec::new());
    let (mut previous, mut next) = (0_i64, 0_i64);
    for (at, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (index, count) = (i64::from(MIN_INDEX) + at as i64, *count as i64);
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            Some(_) => spans.push((index - next, 1)),
            None => spans.push((index, 1)),
        }
        varint(&mut deltas, zigzag(count - previous));
        (previous, next) = (count, index + 1);
    }
    for (offset, length) in spans {
        let mut span = Vec::new();
        number(&mut span, 1, zigzag(offset));
        number(&mut span, 2, length);
        bytes(message, 12, &span);
    }
    bytes(message, 13, &deltas);
}

fn exemplar(of: &Exemplar) -> Vec<u8> {
    let time = of.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut message, mut timestamp) = (Vec::new(), Vec::new());
    bytes(&mut message, 1, &label("trace_id", &of.trace_id.to_string()));
    double(&mut message, 2, of.duration.as_secs_f64());
    number(&mut timestamp, 1, time.as_secs());
    number(&mut timestamp, 2, u64::from(time.subsec_nanos()));
    bytes(&mut message, 3, &timestamp);
    message
}

fn label(name: &str, value: &str) -> Vec<u8> {
    let mut message = Vec::new();
    bytes(&mut message, 1, name.as_bytes());
    bytes(&mut message, 2, value.as_bytes());
    message
}

fn value(value: f64) -> Vec<u8> {
    let mut message = Vec::new();
    double(&mut message, 1, value);
    message
}

fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63) as u64
}

fn varint(message: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        message.push(n as u8 | 0x80);
        n >>= 7;
    }
    message.push(n as u8);
}

fn number(message: &mut Vec<u8>, field: u64, n: u64) {
    varint(message, field << 3);
    varint(message, n);
}

fn double(message: &mut Vec<u8>, field: u64, n: f64) {
    varint(message, field << 3 | 1);
    message.extend_from_slice(&n.to_le_bytes());
}

fn bytes(message: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, content.len() as u64);
    message.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_protobuf_has_them() {
        let mut message = Vec::new();
        number(&mut message, 1, 150);
        bytes(&mut message, 2, b"testing");
        double(&mut message, 3, 1.0);
        assert_eq!(message, b"\x08\x96\x01\x12\x07testing\x19\x00\x00\x00\x00\x00\x00\xf0\x3f");
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }

    #[test]
    fn native_buckets_are_spans_with_differences() {
        let mut buckets = vec![0; 225];
        (buckets[160], buckets[161], buckets[170]) = (3, 1, 2);
        let mut message = Vec::new();
        write_native(&mut message, &buckets);
        // Schema 3; spans (0, 2) and (8, 1); differences 3, -2, 1.
        assert_eq!(message[..2], [0x28, 6]);
        assert!(message.ends_with(b"\x62\x04\x08\x00\x10\x02\x62\x04\x08\x10\x10\x01\x6a\x03\x06\x03\x02"));
    }
}
