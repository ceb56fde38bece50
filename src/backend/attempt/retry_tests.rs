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
        backoff: (Duration::from_millis(100), Duration::from_secs(1)),
        honour_retry_after: true,
        max_replay_bytes: 0,
        budget: None,
    }
}

fn retry(settings: RetryConfig) -> Retry {
    Retry::new(settings, Arc::default())
}

fn answer(status: u16, name: &str, value: &str) -> RouteResult {
    let mut answer = Response::local(status, "", "");
    answer.head.append(name.as_bytes(), value.as_bytes());
    Ok(answer)
}

#[test]
fn a_budget_allows_some_and_beyond_them_a_part_of_the_requests() {
    let (budget, now) = (Budget::default(), Instant::now());
    let allowed = BudgetConfig { min_retries: 2, retry_ratio: 0.5 };
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    (0..4).for_each(|_| budget.deposit(now));
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    let later = now + BUDGET_WINDOW;
    assert_eq!([(); 3].map(|()| budget.withdraw(later, allowed)), [true, true, false]);
}

#[test]
fn only_what_is_listed_is_a_reason() {
    let retry = retry(settings());
    let of = |why: ErrorCode| retry.retry_reason(&Err(GatewayError::new(why, "x")));
    assert_eq!(of(ErrorCode::BackendConnect), Some(Event::RetriedConnect));
    assert_eq!(of(ErrorCode::BackendReset), Some(Event::RetriedReset));
    assert_eq!(of(ErrorCode::BackendTimeout), None);
    assert_eq!(of(ErrorCode::ClientClosed), None);
    assert_eq!(of(ErrorCode::BackendCircuitOpen), None);
    assert_eq!(retry.retry_reason(&answer(503, "X", "y")), Some(Event::RetriedStatus));
    assert_eq!(retry.retry_reason(&answer(500, "X", "y")), None);
    assert_eq!(retry.retry_reason(&answer(200, "grpc-status", "14")), Some(Event::RetriedGrpc));
    assert_eq!(retry.retry_reason(&answer(200, "grpc-status", "0")), None);
}

#[test]
fn only_idempotent_methods_unless_others_are_named() {
    let usual = retry(settings());
    assert!(
        usual.is_retryable_method(b"GET")
            && usual.is_retryable_method(b"PUT")
            && !usual.is_retryable_method(b"POST")
            && !usual.is_retryable_method(b"PATCH")
    );
    let own = retry(RetryConfig { methods: Some(vec!["POST".into()]), ..settings() });
    assert!(own.is_retryable_method(b"POST") && !own.is_retryable_method(b"GET"));
}

#[test]
fn pauses_double_to_a_bound_and_are_anything_below_it() {
    let retry = retry(settings());
    for (made, most) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
        let pauses: Vec<_> = (0..200).map(|_| retry.backoff_delay(made)).collect();
        let (most, quarter) = (Duration::from_millis(most), Duration::from_millis(most / 4));
        assert!(pauses.iter().all(|pause| *pause <= most), "{made}");
        assert!(pauses.iter().any(|p| *p < quarter) && pauses.iter().any(|p| *p > most - quarter), "{made}");
    }
}

#[test]
fn a_service_may_say_in_seconds_or_with_a_date_when_to_come_again() {
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
    assert_eq!(retry.server_retry_after(&answer(503, "Retry-After", "2")), Some(Duration::from_secs(2)));
    let deaf = Retry::new(RetryConfig { honour_retry_after: false, ..settings() }, Arc::default());
    assert_eq!(deaf.server_retry_after(&answer(503, "Retry-After", "2")), None);
}
