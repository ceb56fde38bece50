//! The route table: one lookup with its path parameters and the backend URL, among 1, 100 and 10,000 routes, and in
//! worst-case tables.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use margay::plan::routing::{
    HeaderTemplates, PathParams, Query, RouteSpec, RouteTable, RoutingRules, Target, Template, UrlTemplate,
};

const RULES: RoutingRules = RoutingRules { ocelot_host_matching: false, ocelot_value_extraction: false };

fn spec(index: usize, template: &str, host: Option<String>) -> RouteSpec {
    RouteSpec {
        index,
        template: Template::compile(template, false, &RULES).expect("a good template"),
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        host,
        headers: HeaderTemplates::default(),
        listeners: Vec::new(),
        priority: 1,
    }
}

fn table(
    routes: usize,
    template: impl Fn(usize) -> String,
    host: impl Fn(usize) -> Option<String>,
) -> RouteTable {
    RouteTable::new((0..routes).map(|i| spec(i, &template(i), host(i))).collect(), RULES)
}

/// Normalizes the target, matches it, and takes the path parameters.
fn look_up(table: &RouteTable, url: &str, host: &str, values: &mut PathParams) -> Option<usize> {
    let target = Target::normalize(url.as_bytes(), false).ok()?;
    let query = Query { method: b"GET", host: host.as_bytes(), target: &target, headers: &(), listener: "" };
    table.find(&query, values)
}

fn bench_table(c: &mut Criterion, name: &str, table: &RouteTable, url: &str, host: &str) {
    let mut values = PathParams::new();
    assert!(look_up(table, url, host, &mut values).is_some(), "{name}");
    c.bench_function(name, |b| b.iter(|| look_up(table, black_box(url), black_box(host), &mut values)));
}

fn size(c: &mut Criterion) {
    for routes in [1, 100, 10_000] {
        let last = routes - 1;
        let plain = table(routes, |i| format!("/service-{i}/items/{{id}}"), |_| None);
        bench_table(
            c,
            &format!("find/{routes}"),
            &plain,
            &format!("/service-{last}/items/42"),
            "a.example:8080",
        );
        let first = table(routes, |i| format!("/{{tenant}}/items-{i}/{{id}}"), |_| None);
        bench_table(
            c,
            &format!("find-wildcard-first/{routes}"),
            &first,
            &format!("/acme/items-{last}/42"),
            "a",
        );
        let hosts = table(routes, |_| "/items/{id}".to_owned(), |i| Some(format!("h{i}.example")));
        bench_table(c, &format!("find-hosts/{routes}"), &hosts, "/items/42", &format!("h{last}.example:80"));
        let inside = table(routes, |i| format!("/items/pre-{i}-{{id}}/x"), |_| None);
        bench_table(
            c,
            &format!("find-inside-segment/{routes}"),
            &inside,
            &format!("/items/pre-{last}-42/x"),
            "a",
        );
        let query = table(routes, |i| format!("/items-{i}?kind={{kind}}"), |_| None);
        bench_table(c, &format!("find-query/{routes}"), &query, &format!("/items-{last}?kind=red"), "a");
    }
}

/// A path that no route matches, and all paths of a large table in turn.
fn others(c: &mut Criterion) {
    let plain = table(10_000, |i| format!("/service-{i}/items/{{id}}"), |_| None);
    let mut values = PathParams::new();
    c.bench_function("miss/10000", |b| {
        b.iter(|| look_up(&plain, black_box("/service-x/items/42"), "a", &mut values));
    });
    let urls: Vec<String> = (0..10_000).map(|i| format!("/service-{}/items/42", i * 7919 % 10_000)).collect();
    let mut at = 0;
    c.bench_function("find-in-turn/10000", |b| {
        b.iter(|| {
            at = (at + 1) % urls.len();
            look_up(&plain, &urls[at], "a", &mut values)
        });
    });
    c.bench_function("build-table/10000", |b| {
        b.iter(|| table(10_000, |i| format!("/service-{i}/items/{{id}}"), |_| None).len());
    });
    c.bench_function("shadowed/10000", |b| b.iter(|| plain.unreachable_routes().len()));
}

fn urls(c: &mut Criterion) {
    for (name, from, to, url) in [
        ("url/plain", "/a/b", "/c/d", "/a/b"),
        ("url/values", "/a/{x}/b/{y}", "/c/{y}/d/{x}", "/a/1/b/2/3"),
        ("url/query-copied", "/a/b", "/c/d", "/a/b?page=1&sort=name"),
        ("url/query-rebuilt", "/a/{x}", "/c/{x}", "/a/1?page=1&sort=name"),
        ("url/query-rewritten", "/a/{x}", "/c/{x}", "/a/1?q=a+b&q=c"),
        ("url/query-merged", "/a/{x}", "/c?x={x}", "/a/1?page=1"),
    ] {
        let template = Template::compile(from, false, &RULES).expect("a good template");
        let target = Target::normalize(url.as_bytes(), false).expect("a good target");
        let mut values = PathParams::new();
        template.extract(&target, &mut values);
        let to = UrlTemplate::compile(to, template.names(), &RULES);
        let mut out = Vec::with_capacity(256);
        c.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                to.build(black_box(&values), &target, &mut out)
            });
        });
    }
}

criterion_group!(benches, size, others, urls);
criterion_main!(benches);
