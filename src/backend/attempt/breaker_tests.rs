use super::*;

const OPEN_DURATION: Duration = Duration::from_secs(5);

fn consecutive(max: u32) -> BreakerConfig {
    BreakerConfig {
        trip: Trip::ConsecutiveFailures(max),
        open_duration: OPEN_DURATION,
        late_success_closes: false,
    }
}

fn ratio(min_requests: u32, ratio: f64) -> BreakerConfig {
    let window = Duration::from_secs(10);
    BreakerConfig {
        trip: Trip::FailureRatio { min_requests, ratio, window },
        open_duration: OPEN_DURATION,
        late_success_closes: false,
    }
}

/// One request that completes immediately.
fn one(
    breaker: &Breaker,
    settings: &BreakerConfig,
    failed: bool,
    now: Instant,
) -> Result<Transition, Duration> {
    breaker.admit(now).map(|admission| breaker.report(settings, admission, Some(failed), now))
}

#[test]
fn consecutive_failures_open_the_breaker_and_a_success_resets_them() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(2), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now), Err(OPEN_DURATION));
    assert!(breaker.is_open(now));
}

#[test]
fn after_the_open_duration_exactly_one_trial_request_is_admitted() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + OPEN_DURATION;
    assert!(!breaker.is_open(later));
    let trial = breaker.admit(later).expect("one trial is admitted");
    assert_eq!(breaker.admit(later).err(), Some(HALF_OPEN_RETRY_AFTER));
    assert_eq!(breaker.report(&settings, trial, Some(true), later), Transition::None);
    assert_eq!(one(&breaker, &settings, false, later), Err(OPEN_DURATION));
    let again = later + OPEN_DURATION;
    assert_eq!(one(&breaker, &settings, false, again), Ok(Transition::Closed));
    assert_eq!(one(&breaker, &settings, false, again), Ok(Transition::None));
}

#[test]
fn a_trial_without_a_result_admits_the_next_one() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + OPEN_DURATION;
    let trial = breaker.admit(later).expect("one trial is admitted");
    assert_eq!(breaker.report(&settings, trial, None, later), Transition::None);
    assert_eq!(one(&breaker, &settings, false, later), Ok(Transition::Closed));
    let admission = breaker.admit(later).expect("closed");
    drop(AdmissionGuard::new(&breaker, &settings, admission));
    assert!(!breaker.is_open(later));
}

#[test]
fn a_trial_that_takes_longer_than_the_open_duration_admits_one_more() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + OPEN_DURATION;
    let first = breaker.admit(later).expect("the first trial");
    let second = breaker.admit(later + OPEN_DURATION).expect("one more after another open duration");
    assert!(breaker.admit(later + OPEN_DURATION).is_err());
    assert_eq!(breaker.report(&settings, second, Some(false), later), Transition::Closed);
    assert_eq!(breaker.report(&settings, first, Some(true), later), Transition::None, "it is late");
}

#[test]
fn a_trial_whose_client_is_slow_yields_once_and_its_result_counts() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let later = now + OPEN_DURATION;
    let slow = breaker.admit(later).expect("the first trial");
    breaker.yield_trial(slow, later);
    let next = breaker.admit(later).expect("the next trial");
    breaker.yield_trial(slow, later);
    assert!(breaker.admit(later).is_err(), "it yields to one request");
    assert_eq!(breaker.report(&settings, slow, None, later), Transition::None);
    assert!(breaker.admit(later).is_err(), "another trial is in flight");
    assert_eq!(breaker.report(&settings, next, Some(true), later), Transition::None);
    assert_eq!(breaker.admit(later).err(), Some(OPEN_DURATION));
}

#[test]
fn a_late_success_closes_an_open_breaker_only_in_ocelot_mode() {
    for (late_success_closes, change) in [(false, Transition::None), (true, Transition::Closed)] {
        let settings = BreakerConfig { late_success_closes, ..consecutive(1) };
        let (breaker, now) = (Breaker::default(), Instant::now());
        let slow = breaker.admit(now).expect("closed");
        assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
        assert_eq!(breaker.report(&settings, slow, Some(false), now), change);
        assert_eq!(breaker.is_open(now), !late_success_closes);
    }
}

#[test]
fn a_late_failure_does_not_open_a_breaker_that_closed_since() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    let slow = breaker.admit(now).expect("closed");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now + OPEN_DURATION), Ok(Transition::Closed));
    assert_eq!(breaker.report(&settings, slow, Some(true), now + OPEN_DURATION), Transition::None);
    assert!(!breaker.is_open(now + OPEN_DURATION));
}

#[test]
fn a_failure_ratio_is_checked_on_failures_with_enough_requests() {
    let (breaker, settings, now) = (Breaker::default(), ratio(4, 0.5), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Transition::None), "a success does not open it");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    assert_eq!(one(&breaker, &settings, false, now + OPEN_DURATION), Ok(Transition::Closed));
    assert_eq!(
        one(&breaker, &settings, true, now + OPEN_DURATION),
        Ok(Transition::None),
        "the window was cleared"
    );
}

#[test]
fn old_failures_do_not_count_for_the_ratio() {
    let (breaker, settings, now) = (Breaker::default(), ratio(2, 1.0), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(11)), Ok(Transition::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(12)), Ok(Transition::Opened));
}

#[test]
fn many_threads_admit_one_trial_request() {
    let (breaker, settings, now) = (Breaker::default(), consecutive(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Transition::Opened));
    let admitted: usize = std::thread::scope(|scope| {
        let admit = || usize::from(breaker.admit(now + OPEN_DURATION).is_ok());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(admit)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(admitted, 1);
}
