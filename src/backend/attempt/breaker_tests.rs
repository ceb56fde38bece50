use super::*;

const PAUSE: Duration = Duration::from_secs(5);

fn in_a_row(most: u32) -> BreakerConfig {
    BreakerConfig { trip: Trip::ConsecutiveFailures(most), open_duration: PAUSE, late_success_closes: false }
}

fn ratio(least: u32, ratio: f64) -> BreakerConfig {
    let within = Duration::from_secs(10);
    BreakerConfig {
        trip: Trip::FailureRatio { min_requests: least, ratio, window: within },
        open_duration: PAUSE,
        late_success_closes: false,
    }
}

/// One request that ends at once.
fn one(
    breaker: &Breaker,
    settings: &BreakerConfig,
    failed: bool,
    now: Instant,
) -> Result<Transition, Duration> {
    breaker.admit(now).map(|ticket| breaker.report(settings, ticket, Some(failed), now))
}

#[test]
fn failures_in_a_row_open_the_circuit_and_a_success_between_them_does_not_count() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(2), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now), Err(PAUSE));
    assert!(breaker.is_open(now));
}

#[test]
fn after_the_pause_exactly_one_request_tries() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + PAUSE;
    assert!(!breaker.is_open(later));
    let probe = breaker.admit(later).expect("one may try");
    assert_eq!(breaker.admit(later).err(), Some(HALF_OPEN_RETRY_AFTER));
    assert_eq!(breaker.report(&settings, probe, Some(true), later), Transition::None);
    assert_eq!(one(&breaker, &settings, false, later), Err(PAUSE));
    let again = later + PAUSE;
    assert_eq!(one(&breaker, &settings, false, again), Ok(Transition::Closed));
    assert_eq!(one(&breaker, &settings, false, again), Ok(Transition::None));
}

#[test]
fn a_try_that_says_nothing_lets_the_next_one_try() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + PAUSE;
    let probe = breaker.admit(later).expect("one may try");
    assert_eq!(breaker.report(&settings, probe, None, later), Transition::None);
    assert_eq!(one(&breaker, &settings, false, later), Ok(Transition::Closed));
    let ticket = breaker.admit(later).expect("closed");
    drop(AdmissionGuard::new(&breaker, &settings, ticket));
    assert!(!breaker.is_open(later));
}

#[test]
fn a_late_success_closes_an_open_circuit_only_for_ocelot() {
    for (forgiving, change) in [(false, Transition::None), (true, Transition::Closed)] {
        let settings = BreakerConfig { late_success_closes: forgiving, ..in_a_row(1) };
        let (breaker, now) = (Breaker::default(), Instant::now());
        let slow = breaker.admit(now).expect("closed");
        assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
        assert_eq!(breaker.report(&settings, slow, Some(false), now), change);
        assert_eq!(breaker.is_open(now), !forgiving);
    }
}

#[test]
fn a_late_failure_does_not_open_a_circuit_that_was_closed_since() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    let slow = breaker.admit(now).expect("closed");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now + PAUSE), Ok(Transition::Closed));
    assert_eq!(breaker.report(&settings, slow, Some(true), now + PAUSE), Transition::None);
    assert!(!breaker.is_open(now + PAUSE));
}

#[test]
fn a_ratio_is_looked_at_when_something_fails_and_there_was_enough() {
    let (breaker, settings, now) = (Breaker::default(), ratio(4, 0.5), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Transition::None), "a success opens nothing");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now + PAUSE), Ok(Transition::Closed));
    assert_eq!(one(&breaker, &settings, true, now + PAUSE), Ok(Transition::None), "the window was cleared");
}

#[test]
fn failures_of_long_ago_are_no_part_of_a_ratio() {
    let (breaker, settings, now) = (Breaker::default(), ratio(2, 1.0), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(11)), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(12)), Ok(Transition::Opened));
}

#[test]
fn many_threads_at_once_send_one_probe() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let admitted: usize = std::thread::scope(|scope| {
        let ask = || usize::from(breaker.admit(now + PAUSE).is_ok());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(admitted, 1);
}
