use super::*;
use crate::pipeline::cause::Cause;

fn settings() -> Settings {
    Settings {
        attempts: 3,
        on_connect: true,
        on_reset: true,
        on_timeout: false,
        statuses: vec![503],
        grpc: vec![14],
        methods: None,
        each: None,
        backoff: (Duration::from_millis(100), Duration::from_secs(1)),
        honour_retry_after: true,
        kept: 0,
        budget: None,
    }
}

fn retry(settings: Settings) -> Retry {
    Retry::new(settings, Arc::default())
}

fn answer(status: u16, name: &str, value: &str) -> Outcome {
    let mut answer = Answer::reply(status, "", "");
    answer.head.append(name.as_bytes(), value.as_bytes());
    Ok(answer)
}

#[test]
fn a_budget_allows_some_and_beyond_them_a_part_of_the_requests() {
    let (budget, now) = (Budget::default(), Instant::now());
    let allowed = Allowance { least: 2, ratio: 0.5 };
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    (0..4).for_each(|_| budget.deposit(now));
    assert_eq!([(); 3].map(|()| budget.withdraw(now, allowed)), [true, true, false]);
    let later = now + BUDGET_TIME;
    assert_eq!([(); 3].map(|()| budget.withdraw(later, allowed)), [true, true, false]);
}

#[test]
fn only_what_is_listed_is_a_reason() {
    let retry = retry(settings());
    let of = |why: Why| retry.reason(&Err(Cause::new(why, "x")));
    assert_eq!(of(Why::BackendConnect), Some(Event::RetriedConnect));
    assert_eq!(of(Why::BackendReset), Some(Event::RetriedReset));
    assert_eq!(of(Why::BackendTimeout), None);
    assert_eq!(of(Why::ClientGone), None);
    assert_eq!(of(Why::BackendBreaker), None);
    assert_eq!(retry.reason(&answer(503, "X", "y")), Some(Event::RetriedStatus));
    assert_eq!(retry.reason(&answer(500, "X", "y")), None);
    assert_eq!(retry.reason(&answer(200, "grpc-status", "14")), Some(Event::RetriedGrpc));
    assert_eq!(retry.reason(&answer(200, "grpc-status", "0")), None);
}

#[test]
fn only_idempotent_methods_unless_others_are_named() {
    let usual = retry(settings());
    assert!(usual.takes(b"GET") && usual.takes(b"PUT") && !usual.takes(b"POST") && !usual.takes(b"PATCH"));
    let own = retry(Settings { methods: Some(vec!["POST".into()]), ..settings() });
    assert!(own.takes(b"POST") && !own.takes(b"GET"));
}

#[test]
fn pauses_double_to_a_bound_and_are_anything_below_it() {
    let retry = retry(settings());
    for (made, most) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
        let pauses: Vec<_> = (0..200).map(|_| retry.pause(made)).collect();
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
    assert_eq!(retry.asked_for(&answer(503, "Retry-After", "2")), Some(Duration::from_secs(2)));
    let deaf = Retry::new(Settings { honour_retry_after: false, ..settings() }, Arc::default());
    assert_eq!(deaf.asked_for(&answer(503, "Retry-After", "2")), None);
}
