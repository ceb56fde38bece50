use super::*;

const PAUSE: Duration = Duration::from_secs(5);

fn in_a_row(most: u32) -> Settings {
    Settings { trip: Trip::InARow(most), pause: PAUSE, forgiving: false }
}

fn ratio(least: u32, ratio: f64) -> Settings {
    let within = Duration::from_secs(10);
    Settings { trip: Trip::Ratio { least, ratio, within }, pause: PAUSE, forgiving: false }
}

/// One request that ends at once.
fn one(breaker: &Breaker, settings: &Settings, failed: bool, now: Instant) -> Result<Change, Duration> {
    breaker.admit(now).map(|ticket| breaker.report(settings, ticket, Some(failed), now))
}

#[test]
fn failures_in_a_row_open_the_circuit_and_a_success_between_them_does_not_count() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(2), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    assert_eq!(one(&breaker, &settings, false, now), Err(PAUSE));
    assert!(breaker.is_shut(now));
}

#[test]
fn after_the_pause_exactly_one_request_tries() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    let later = now + PAUSE;
    assert!(!breaker.is_shut(later));
    let probe = breaker.admit(later).expect("one may try");
    assert_eq!(breaker.admit(later).err(), Some(MOMENT));
    assert_eq!(breaker.report(&settings, probe, Some(true), later), Change::None);
    assert_eq!(one(&breaker, &settings, false, later), Err(PAUSE));
    let again = later + PAUSE;
    assert_eq!(one(&breaker, &settings, false, again), Ok(Change::Closed));
    assert_eq!(one(&breaker, &settings, false, again), Ok(Change::None));
}

#[test]
fn a_try_that_says_nothing_lets_the_next_one_try() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    let later = now + PAUSE;
    let probe = breaker.admit(later).expect("one may try");
    assert_eq!(breaker.report(&settings, probe, None, later), Change::None);
    assert_eq!(one(&breaker, &settings, false, later), Ok(Change::Closed));
    let ticket = breaker.admit(later).expect("closed");
    drop(Pass::new(&breaker, &settings, ticket));
    assert!(!breaker.is_shut(later));
}

#[test]
fn a_late_success_closes_an_open_circuit_only_for_ocelot() {
    for (forgiving, change) in [(false, Change::None), (true, Change::Closed)] {
        let settings = Settings { forgiving, ..in_a_row(1) };
        let (breaker, now) = (Breaker::default(), Instant::now());
        let slow = breaker.admit(now).expect("closed");
        assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
        assert_eq!(breaker.report(&settings, slow, Some(false), now), change);
        assert_eq!(breaker.is_shut(now), !forgiving);
    }
}

#[test]
fn a_late_failure_does_not_open_a_circuit_that_was_closed_since() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    let slow = breaker.admit(now).expect("closed");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    assert_eq!(one(&breaker, &settings, false, now + PAUSE), Ok(Change::Closed));
    assert_eq!(breaker.report(&settings, slow, Some(true), now + PAUSE), Change::None);
    assert!(!breaker.is_shut(now + PAUSE));
}

#[test]
fn a_ratio_is_looked_at_when_something_fails_and_there_was_enough() {
    let (breaker, settings, now) = (Breaker::default(), ratio(4, 0.5), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, false, now), Ok(Change::None), "a success opens nothing");
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    assert_eq!(one(&breaker, &settings, false, now + PAUSE), Ok(Change::Closed));
    assert_eq!(one(&breaker, &settings, true, now + PAUSE), Ok(Change::None), "the window was cleared");
}

#[test]
fn failures_of_long_ago_are_no_part_of_a_ratio() {
    let (breaker, settings, now) = (Breaker::default(), ratio(2, 1.0), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(11)), Ok(Change::None));
    assert_eq!(one(&breaker, &settings, true, now + Duration::from_secs(12)), Ok(Change::Opened));
}

#[test]
fn many_threads_at_once_send_one_probe() {
    let (breaker, settings, now) = (Breaker::default(), in_a_row(1), Instant::now());
    assert_eq!(one(&breaker, &settings, true, now), Ok(Change::Opened));
    let admitted: usize = std::thread::scope(|scope| {
        let ask = || usize::from(breaker.admit(now + PAUSE).is_ok());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(admitted, 1);
}
