//! The time from text to blueprint of a configuration with 1, 100 and 10,000 routes, and of it the checks and the
//! compilation alone. 10,000 routes must take less than 100 ms; 10,000 APIs with 10 operations each less than 2 s.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use margay::config::{Environment, InMemoryFiles, Loaded};
use margay::plan::compile;
use margay::plan::document::load_texts;
use std::fmt::Write;

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Typical routes: a key, their own prefix, two endpoints, a load balancer, metadata.
fn document(routes: usize) -> String {
    let mut text = String::from("{\n  \"Routes\": [");
    for n in 0..routes {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}
    {{
      "Key": "service-{n}",
      "UpstreamPathTemplate": "/api/v1/service-{n}/{{id}}/{{everything}}",
      "UpstreamHttpMethod": ["GET", "POST"],
      "DownstreamPathTemplate": "/{{id}}/{{everything}}",
      "DownstreamScheme": "http",
      "DownstreamHostAndPorts": [{{ "Host": "127.0.0.1", "Port": 9101 }}, {{ "Host": "127.0.0.1", "Port": 9102 }}],
      "LoadBalancerOptions": {{ "Type": "RoundRobin" }},
      "Metadata": {{ "owner": "team-{n}" }}
    }}"#
        );
    }
    text.push_str("\n  ],\n  \"GlobalConfiguration\": { \"RequestIdKey\": \"X-Request-Id\", \"Timeout\": \"30s\" }\n}\n");
    text
}

/// APIs with 10 operations each.
fn apis(count: usize) -> String {
    let mut text = String::from("{\n  \"Apis\": {");
    for n in 0..count {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma} "api-{n}": {{ "ServiceUrl": "http://127.0.0.1:9101/base", "Operations": {{"#
        );
        for operation in 0..10 {
            let comma = if operation == 0 { "" } else { "," };
            let _ = write!(
                text,
                r#"{comma} "op-{operation}": {{ "Method": "GET", "UrlTemplate": "/things-{operation}/{{id}}" }}"#
            );
        }
        text.push_str("} }");
    }
    text.push_str("\n  }\n}\n");
    text
}

fn load(text: &str) -> Loaded {
    let files = [("gateway.json", text)];
    load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process())
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.sample_size(20);
    for routes in [1, 100, 10_000] {
        let text = document(routes);
        let sound = |mut loaded: Loaded| compile(&mut loaded).expect("a sound document");
        group.bench_with_input(BenchmarkId::new("text to blueprint", routes), &text, |bencher, text| {
            bencher.iter(|| sound(load(text)));
        });
        group.bench_with_input(BenchmarkId::new("check and compile", routes), &text, |bencher, text| {
            bencher.iter_batched(|| load(text), sound, BatchSize::PerIteration);
        });
    }
    group.sample_size(10);
    for count in [1, 10_000] {
        let text = apis(count);
        let sound = |mut loaded: Loaded| compile(&mut loaded).expect("a sound document");
        group.bench_with_input(BenchmarkId::new("check and compile APIs", count), &text, |bencher, text| {
            bencher.iter_batched(|| load(text), sound, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
