use super::*;
use crate::pipeline::error::GatewayError;

fn settings() -> RetryConfig {
    RetryConfig {
        max_attempts: 3,
        on_connect: true,
        on_reset: true,
        on_timeout: false,
        statuses: vec![503],
        grpc_codes: vec![14],
        methods: None,
        per_try_timeout: None,
        base_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        honor_retry_after: true,
        max_replay_bytes: 0,
        budget: None,
    }
}

fn retry(settings: RetryConfig) -> Retry {
    Retry::new(settings, Arc::default())
}

fn response(status: u16, name: &str, value: &str) -> RouteResult {
    let mut response = Response::local(status, "", "");
    response.head.append(name.as_bytes(), value.as_bytes());
    Ok(response)
}

#[test]
fn a_budget_allows_a_minimum_and_a_share_of_the_requests() {
    let (budget, now) = (Budget::default(), Instant::now());
    let allowed = BudgetConfig { min_retries: 2, retry_ratio: 0.5 };
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    (0..4).for_each(|_| budget.deposit(now));
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    let later = now + BUDGET_WINDOW;
    assert_eq!([(); 3].map(|()| budget.withdraw(later, allowed)), [true, true, false]);
}

#[test]
fn only_configured_failures_are_retried() {
    let retry = retry(settings());
    let of = |code: ErrorCode| retry.retry_reason(&Err(GatewayError::new(code, "x")));
    assert_eq!(of(ErrorCode::BackendConnect), Some(Event::RetriedConnect));
    assert_eq!(of(ErrorCode::BackendReset), Some(Event::RetriedReset));
    assert_eq!(of(ErrorCode::BackendTimeout), None);
    assert_eq!(of(ErrorCode::ClientClosed), None);
    assert_eq!(of(ErrorCode::BackendCircuitOpen), None);
    assert_eq!(retry.retry_reason(&response(503, "X", "y")), Some(Event::RetriedStatus));
    assert_eq!(retry.retry_reason(&response(500, "X", "y")), None);
    assert_eq!(retry.retry_reason(&response(200, "grpc-status", "14")), Some(Event::RetriedGrpc));
    assert_eq!(retry.retry_reason(&response(200, "grpc-status", "0")), None);
}

#[test]
fn idempotent_methods_are_retried_unless_others_are_configured() {
    let default = retry(settings());
    assert!(
        default.is_retryable_method(b"GET")
            && default.is_retryable_method(b"PUT")
            && !default.is_retryable_method(b"POST")
            && !default.is_retryable_method(b"PATCH")
    );
    let own = retry(RetryConfig { methods: Some(vec!["POST".into()]), ..settings() });
    assert!(own.is_retryable_method(b"POST") && !own.is_retryable_method(b"GET"));
}

#[test]
fn backoff_doubles_up_to_the_maximum_with_full_jitter() {
    let retry = retry(settings());
    for (made, max) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
        let delays: Vec<_> = (0..200).map(|_| retry.backoff_delay(made)).collect();
        let (max, quarter) = (Duration::from_millis(max), Duration::from_millis(max / 4));
        assert!(delays.iter().all(|delay| *delay <= max), "{made}");
        assert!(delays.iter().any(|p| *p < quarter) && delays.iter().any(|p| *p > max - quarter), "{made}");
    }
}

#[test]
fn retry_after_is_in_seconds_or_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    assert_eq!(retry_after(b"7", now), Some(Duration::from_secs(7)));
    let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
    assert_eq!(retry_after(date.as_bytes(), now), Some(Duration::from_secs(90)));
    assert_eq!(
        retry_after(httpdate::fmt_http_date(now - Duration::from_secs(9)).as_bytes(), now),
        Some(Duration::ZERO)
    );
    assert_eq!(retry_after(b"soon", now), None);
    let retry = retry(settings());
    assert_eq!(retry.server_retry_after(&response(503, "Retry-After", "2")), Some(Duration::from_secs(2)));
    let ignoring = Retry::new(RetryConfig { honor_retry_after: false, ..settings() }, Arc::default());
    assert_eq!(ignoring.server_retry_after(&response(503, "Retry-After", "2")), None);
}
