//! A registry of 100,000 services: one look-up of a name, and the check and compilation of the configuration with its file.
//! A look-up must take less than 1 us, check and compilation less than 2 s.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use margay::{
    backend::fabric::name::NameTrie,
    config::{Environment, InMemoryFiles, Loaded},
    plan::{compile, document::load_texts},
};
use std::{fmt::Write, hint::black_box, io, path::Path};

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICES: usize = 100_000;
const CONFIGURATION: &str = r#"{
  "ServiceFabric": { "Resolvers": { "local": { "Type": "Registry", "File": "services.json" } } },
  "Routes": [{
    "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
    "ServiceFabricOptions": { "Services": ["*"] }
  }]
}"#;

/// A hundred services in each application, with one partition and one instance.
fn registry() -> String {
    let mut text = String::from("{\"Applications\":[");
    for n in 0..SERVICES {
        let (application, service) = (n / 100, n % 100);
        let start = match (service, application) {
            (0, 0) => "{",
            (0, _) => "]},{",
            _ => ",",
        };
        text.push_str(start);
        if service == 0 {
            let _ = write!(text, r#""Name":"fabric:/App{application}","Services":["#);
        }
        let _ = write!(
            text,
            r#"{{"Name":"fabric:/App{application}/Service{service}","ServiceKind":"Stateless","Partitioning":{{"Kind":"Singleton"}},"Partitions":[{{"Instances":[{{"InstanceId":"1","Endpoints":{{"":"http://10.0.0.1:{}/"}}}}]}}]}}"#,
            1024 + n % 60_000
        );
    }
    text.push_str("]}]}");
    text
}

fn names(criterion: &mut Criterion) {
    let mut names = NameTrie::default();
    for n in 0..SERVICES {
        names.insert(&format!("App{}/Service{}", n / 100, n % 100), n);
    }
    for (name, path) in [
        ("a service", "/App777/Service42/api/values/6"),
        ("a service, with a longer path", "/App999/Service99/a/b/c/d/e/f/g/h"),
        ("no service", "/App777/Service421/api/values/6"),
    ] {
        criterion.bench_function(&format!("fabric/find among {SERVICES}: {name}"), |bencher| {
            bencher.iter(|| names.find(black_box(path.as_bytes()), |_| true).map(|found| *found.value));
        });
    }
}

fn load(registry: &str) -> Loaded {
    let read = |path: &Path, _| {
        let is_registry = path.ends_with("services.json");
        is_registry.then(|| registry.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let files = [("gateway.json", CONFIGURATION)];
    let environment = Environment { variable: &|_| None, read: &read };
    load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, environment)
}

fn compilation(criterion: &mut Criterion) {
    let text = registry();
    let sound = |mut loaded: Loaded| compile(&mut loaded).expect("a sound document");
    let mut group = criterion.benchmark_group("fabric");
    group.sample_size(10);
    group.bench_function(format!("check and compile {SERVICES} services"), |bencher| {
        bencher.iter_batched(|| load(&text), sound, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, names, compilation);
criterion_main!(benches);
