use super::*;
use std::cell::RefCell;
use std::collections::HashMap;

/// A watch of 60 seconds with a manual clock.
struct Scene {
    now: Instant,
    judge: Judge,
    counters: RefCell<HashMap<String, Vec<Sample>>>,
}

/// 100 requests in 2 ms, none failed.
fn healthy() -> Sample {
    Sample::of(100, 0, 0.002)
}

fn route(name: &str, is_changed: bool, endpoint: &str, before: Sample) -> WatchedRoute {
    let endpoints = BTreeSet::from([endpoint.to_owned()]);
    let name = name.to_owned();
    WatchedRoute { name, is_changed, endpoints, before, start: before, after: Sample::default() }
}

impl Scene {
    fn new(routes: Vec<WatchedRoute>) -> Scene {
        let now = Instant::now();
        let counters = routes.iter().map(|route| (route.name.clone(), vec![route.start])).collect();
        Scene {
            now,
            judge: Judge::new(now, Duration::from_secs(60), routes),
            counters: RefCell::new(counters),
        }
    }

    /// The changed route `a` and the unchanged route `b`, of one backend.
    fn with_control() -> Scene {
        Scene::new(vec![route("a", true, "one", healthy()), route("b", false, "one", healthy())])
    }

    fn requests(&self, route: &str, sample: Sample) {
        self.counters.borrow_mut().get_mut(route).unwrap().push(sample);
    }

    /// The verdict after this many seconds.
    fn after(&mut self, seconds: u64) -> Verdict {
        self.now += Duration::from_secs(seconds);
        let counters = self.counters.borrow();
        self.judge.observe(self.now, |name| counters.get(name).map(|all| all.iter().copied().sum()))
    }
}

fn is_rolled_back(verdict: &Verdict, reason: &str) -> bool {
    matches!(verdict, Verdict::RollBack(finding) if finding.reason().name() == reason)
}

#[test]
fn a_route_that_answers_500_is_rolled_back_before_the_window_ends() {
    let mut scene = Scene::with_control();
    scene.requests("b", Sample::of(10, 0, 0.002));
    scene.requests("a", Sample::of(19, 19, 0.002));
    assert_eq!(scene.after(1), Verdict::Watching, "too few requests");
    scene.requests("a", Sample::of(1, 1, 0.002));
    let verdict = scene.after(1);
    assert!(is_rolled_back(&verdict, "errors"), "{verdict:?}");
    let Verdict::RollBack(finding) = verdict else { panic!() };
    assert_eq!(finding.to_string(), "route a: 5xx ratio 0.0 % -> 100.0 % of 20 requests");
}

#[test]
fn a_tenfold_latency_is_rolled_back() {
    for (before, after) in [(0.0009, 0.009), (0.0026, 0.026), (0.02, 0.2), (0.3, 3.0)] {
        let mut scene = Scene::new(vec![route("a", true, "one", Sample::of(100, 0, before))]);
        scene.requests("a", Sample::of(30, 0, after));
        let verdict = scene.after(1);
        assert!(is_rolled_back(&verdict, "latency"), "{before}: {verdict:?}");
    }
}

#[test]
fn a_slow_tail_is_rolled_back_and_some_slow_requests_are_chance() {
    let mut scene = Scene::new(vec![route("a", true, "one", healthy())]);
    scene.requests("a", Sample::of(996, 0, 0.002));
    scene.requests("a", Sample::of(4, 0, 1.0));
    assert_eq!(scene.after(1), Verdict::Watching);
    scene.requests("a", Sample::of(40, 0, 1.0));
    assert!(is_rolled_back(&scene.after(1), "latency"));
}

#[test]
fn a_harmless_change_is_kept() {
    let mut scene = Scene::with_control();
    scene.requests("a", Sample::of(500, 2, 0.002));
    scene.requests("b", healthy());
    assert_eq!(scene.after(59), Verdict::Watching);
    assert_eq!(scene.after(1), Verdict::Kept { requests: 500 });
}

#[test]
fn a_change_with_one_request_a_second_is_not_judged() {
    let mut scene = Scene::with_control();
    for _ in 0..59 {
        scene.requests("a", Sample::of(1, 0, 0.002));
        assert_eq!(scene.after(1), Verdict::Watching);
    }
    scene.requests("a", Sample::of(1, 0, 0.002));
    assert_eq!(scene.after(1), Verdict::NotJudged { requests: 60 });
}

#[test]
fn a_change_without_changed_routes_is_not_judged() {
    let mut scene = Scene::new(vec![route("b", false, "one", healthy())]);
    scene.requests("b", Sample::of(500, 500, 0.002));
    assert_eq!(scene.after(60), Verdict::NotJudged { requests: 0 });
}

#[test]
fn a_backend_that_fails_on_all_routes_alike_is_no_reason() {
    let mut scene = Scene::with_control();
    scene.requests("a", Sample::of(200, 200, 0.002));
    scene.requests("b", Sample::of(20, 19, 0.002));
    assert_eq!(scene.after(1), Verdict::Watching);
    assert_eq!(scene.after(59), Verdict::Kept { requests: 200 });
}

#[test]
fn a_backend_that_is_slow_on_all_routes_alike_is_no_reason() {
    let mut scene = Scene::with_control();
    scene.requests("a", Sample::of(200, 0, 0.2));
    scene.requests("b", Sample::of(20, 0, 0.2));
    assert_eq!(scene.after(1), Verdict::Watching);
}

#[test]
fn routes_of_other_backends_do_not_excuse_a_route_with_companions() {
    let mut routes = vec![route("a", true, "one", healthy()), route("b", false, "one", healthy())];
    routes.push(route("c", false, "two", healthy()));
    let mut scene = Scene::new(routes);
    scene.requests("a", Sample::of(50, 50, 0.002));
    scene.requests("b", Sample::of(50, 0, 0.002));
    scene.requests("c", Sample::of(50, 50, 0.002));
    assert!(is_rolled_back(&scene.after(1), "errors"));
}

#[test]
fn a_finding_waits_a_few_seconds_for_the_other_routes() {
    let mut scene = Scene::with_control();
    scene.requests("a", Sample::of(50, 50, 0.002));
    assert_eq!(scene.after(1), Verdict::Watching, "b may fail too");
    assert_eq!(scene.after(4), Verdict::Watching);
    assert!(is_rolled_back(&scene.after(1), "errors"));
}

#[test]
fn errors_that_were_there_before_are_within_the_band() {
    let before = Sample::of(1000, 300, 0.002);
    let mut scene = Scene::new(vec![route("a", true, "one", before)]);
    scene.requests("a", Sample::of(100, 40, 0.002));
    assert_eq!(scene.after(1), Verdict::Watching);
    scene.requests("a", Sample::of(100, 90, 0.002));
    assert!(is_rolled_back(&scene.after(1), "errors"));
}

#[test]
fn a_route_without_requests_before_is_judged_by_its_errors_only() {
    let mut scene = Scene::new(vec![route("a", true, "one", Sample::default())]);
    scene.requests("a", Sample::of(100, 0, 5.0));
    assert_eq!(scene.after(1), Verdict::Watching);
    scene.requests("a", Sample::of(20, 20, 0.002));
    assert!(is_rolled_back(&scene.after(1), "errors"));
}
