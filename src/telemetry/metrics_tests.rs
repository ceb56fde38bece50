use super::super::counters::RequestEnd;
use super::*;
use std::time::Duration;

#[test]
fn equal_labels_share_a_handle_until_it_is_retired() {
    let metrics = Metrics::new(1);
    let first = metrics.route("orders");
    assert!(Arc::ptr_eq(&first, &metrics.route("orders")));
    metrics.remove_absent(&HashSet::from(["catalog"]));
    assert!(!Arc::ptr_eq(&first, &metrics.route("orders")));
}

#[test]
fn a_scrape_contains_requests_by_class_latency_and_in_flight() {
    let metrics = Metrics::new(2);
    let route = metrics.route("orders");
    route.begin(0);
    route.begin(1);
    let backend = Some(Duration::from_millis(1));
    let gateway = Duration::from_micros(3);
    let duration = Duration::from_millis(2);
    route.end(1, &RequestEnd { status: 200, duration, gateway, backend, ..RequestEnd::default() });
    let text = metrics.render();
    for line in [
        "margay_requests_total{status_class=\"2xx\",route=\"orders\"} 1",
        "margay_requests_total{status_class=\"5xx\",route=\"orders\"} 0",
        "margay_requests_in_flight{route=\"orders\"} 1",
        "margay_request_duration_seconds_bucket{route=\"orders\",le=\"0.001\"} 0",
        "margay_request_duration_seconds_bucket{route=\"orders\",le=\"0.0025\"} 1",
        "margay_request_duration_seconds_bucket{route=\"orders\",le=\"+Inf\"} 1",
        "margay_request_duration_seconds_sum{route=\"orders\"} 0.002",
        "margay_request_duration_seconds_count{route=\"orders\"} 1",
        "margay_gateway_duration_seconds_bucket{route=\"orders\",le=\"0.0005\"} 1",
        "margay_backend_duration_seconds_sum{route=\"orders\"} 0.001",
        "margay_response_bytes_total{route=\"orders\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
}

#[test]
fn a_scrape_contains_the_process_reloads_errors_and_the_plan() {
    let metrics = Metrics::new(1);
    metrics.accepted(0);
    metrics.accepted(0);
    metrics.closed(0);
    metrics.record_error("route.not_found");
    metrics.record_error("route.not_found");
    metrics.record_error("request.malformed");
    metrics.reload(Reload::Rejected);
    metrics.plan("5f3a");
    let text = metrics.render();
    for line in [
        "margay_connections{state=\"open\"} 1",
        "margay_connections_accepted_total 2",
        "margay_errors_total{code=\"route.not_found\"} 2",
        "margay_errors_total{code=\"request.malformed\"} 1",
        "margay_config_reloads_total{outcome=\"rejected\"} 1",
        "margay_config_reloads_total{outcome=\"applied\"} 0",
        "margay_config_info{id=\"5f3a\"} 1",
        "margay_access_log_dropped_total 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
    assert!(text.contains("margay_build_info{version=\""));
}

#[test]
fn an_idle_route_has_no_series_unless_zeros_are_emitted() {
    let metrics = Metrics::new(1);
    for at in 0..10_000 {
        let label = format!("route-{at}");
        metrics.route(&label);
        metrics.cluster(&label);
        metrics.attempts(&label);
    }
    assert!(metrics.render().len() < 1_000_000);
    assert!(!metrics.render().contains("route-"));
    metrics.configure(true, false);
    let text = metrics.render();
    assert!(text.contains("margay_requests_total{status_class=\"2xx\",route=\"route-7\"} 0"));
    assert!(text.contains("margay_retries_total{reason=\"reset\",route=\"route-7\"} 0"));
}

#[test]
fn a_label_with_quotes_and_line_breaks_stays_one_line() {
    let metrics = Metrics::new(1);
    metrics.route("a\"b\nc\\d").begin(0);
    assert!(metrics.render().contains("route=\"a\\\"b\\nc\\\\d\""));
}
