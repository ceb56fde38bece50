//! Policy documents on sockets: random sets of documents against the recursive definition of effective sections, reloads
//! that change a document under load, `explain` of a long document. `RELOADS` is the number of changes.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{announce, becomes_true};
use serde_json::{Map, Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// APIs with their own documents.
const APIS: usize = 200;
const FRAGMENTS: usize = 12;

/// An item of a section as it is written.
#[derive(Clone, Debug)]
enum Item {
    Base,
    Mark(u32),
    Fragment(usize),
}

/// A section as it is written; `None`: it is absent.
type Written = Option<Vec<Item>>;

/// The documents of a chain, the narrowest first: inbound and outbound.
type Chain = Vec<[Written; 2]>;

fn marks(random: &mut fastrand::Rng, fragments: std::ops::Range<usize>) -> Vec<Item> {
    let one = |random: &mut fastrand::Rng| match random.u8(0..4) {
        0 if !fragments.is_empty() => Item::Fragment(random.usize(fragments.clone())),
        _ => Item::Mark(random.u32(1..1_000_000)),
    };
    (0..random.usize(0..4)).map(|_| one(random)).collect()
}

/// A section: absent, empty, with `base` anywhere or without.
fn written(random: &mut fastrand::Rng) -> Written {
    if random.u8(0..3) == 0 {
        return None;
    }
    let mut items = marks(random, 0..FRAGMENTS);
    if random.u8(0..4) > 0 {
        items.insert(random.usize(0..=items.len()), Item::Base);
    }
    Some(items)
}

/// The definition of the specification.
fn effective(chain: &[&Written], fragments: &[Vec<Item>]) -> Vec<u32> {
    let Some((first, rest)) = chain.split_first() else { return Vec::new() };
    let Some(items) = first else { return effective(rest, fragments) };
    fn flat(items: &[Item], base: &dyn Fn() -> Vec<u32>, fragments: &[Vec<Item>]) -> Vec<u32> {
        let one = |item: &Item| match item {
            Item::Base => base(),
            Item::Mark(mark) => vec![*mark],
            Item::Fragment(id) => flat(&fragments[*id], base, fragments),
        };
        items.iter().flat_map(one).collect()
    }
    flat(items, &|| effective(rest, fragments), fragments)
}

fn statements(items: &[Item]) -> Value {
    let one = |item: &Item| match item {
        Item::Base => json!("base"),
        Item::Mark(mark) => {
            json!({ "set-header": { "name": "X-Trail", "exists-action": "append", "value": mark.to_string() } })
        }
        Item::Fragment(id) => json!({ "include-fragment": format!("f{id}") }),
    };
    items.iter().map(one).collect()
}

fn document([inbound, outbound]: &[Written; 2]) -> Value {
    let mut document = Map::from_iter([("backend".to_owned(), json!(["base"]))]);
    for (name, section) in [("inbound", inbound), ("outbound", outbound)] {
        if let Some(items) = section {
            document.insert(name.to_owned(), statements(items));
        }
    }
    Value::Object(document)
}

/// The names of the documents of an API, the narrowest first.
fn names(api: usize) -> [String; 7] {
    [
        format!("policies/apis/a{api}/read.json"),
        format!("policies/apis/a{api}.json"),
        format!("policies/n{api}strong.json"),
        format!("policies/n{api}weak.json"),
        format!("policies/products/p{api}.json"),
        format!("policies/workspaces/w{api}.json"),
        "policies/global.json".to_owned(),
    ]
}

/// The entities of the APIs.
fn entities(port: u16) -> Value {
    let api = |n: usize| {
        json!({
            "ServiceUrl": format!("http://127.0.0.1:{port}"), "Workspace": format!("w{n}"),
            "Policies": [format!("n{n}weak"), format!("n{n}strong")],
            "Operations": { "read": { "Method": "GET", "UrlTemplate": "/*" } }
        })
    };
    let apis: Map<String, Value> = (0..APIS).map(|n| (format!("a{n}"), api(n))).collect();
    let product = |n: usize| json!({ "Apis": [format!("a{n}")], "SubscriptionRequired": false });
    let products: Map<String, Value> = (0..APIS).map(|n| (format!("p{n}"), product(n))).collect();
    json!({ "Apis": apis, "Products": products })
}

/// The trail that a message carries.
fn trail(text: Option<&str>) -> Vec<u32> {
    text.into_iter().flat_map(|text| text.split(',')).filter_map(|mark| mark.trim().parse().ok()).collect()
}

/// The trail in an effective section.
fn shown(section: &Value) -> Vec<u32> {
    let value = |entry: &Value| entry["statement"]["set-header"]["value"].as_str()?.parse().ok();
    section.as_array().expect("a section").iter().filter_map(value).collect()
}

#[test]
fn random_documents_equal_the_recursive_definition_by_traffic_and_by_effective_policy() {
    let mut random = fastrand::Rng::with_seed(11);
    let fragments: Vec<Vec<Item>> =
        (0..FRAGMENTS).map(|n| marks(&mut random, (n + 1).min(FRAGMENTS)..FRAGMENTS)).collect();
    let global = [Some(vec![Item::Mark(7), Item::Base]), Some(vec![Item::Mark(8)])];
    let chains: Vec<Chain> = (0..APIS)
        .map(|_| {
            (0..6).map(|_| [written(&mut random), written(&mut random)]).chain([global.clone()]).collect()
        })
        .collect();
    let origin = Origin::with(|seen| {
        StubResponse::new(200, "hello").header("X-In", seen.header("X-Trail").unwrap_or_default())
    });
    let mut setup = Setup::json(&entities(origin.port()));
    for (id, items) in fragments.iter().enumerate() {
        let text = json!({ "statements": statements(items) }).to_string();
        setup = setup.file(&format!("policies/fragments/f{id}.json"), &text);
    }
    for (api, chain) in chains.iter().enumerate() {
        for (name, written) in names(api).iter().zip(chain) {
            setup = setup.file(name, &document(written).to_string());
        }
    }
    let gateway = Gateway::start(&setup);
    let mut client = gateway.connect();
    for (api, chain) in chains.iter().enumerate() {
        let expected =
            |at: usize| effective(&chain.iter().map(|written| &written[at]).collect::<Vec<_>>(), &fragments);
        let response = client.must(&Request::get(&format!("/a{api}/x")));
        assert_eq!(response.status, 200);
        let found = (trail(response.header("X-In")), trail(response.header("X-Trail")));
        assert_eq!(found, (expected(0), expected(1)), "{chain:?}");
        let page = format!("/management/effectivePolicy?api=a{api}&operation=read&product=p{api}");
        let page = gateway.admin(&page).json();
        assert_eq!(
            (shown(&page["inbound"]), shown(&page["outbound"])),
            (expected(0), expected(1)),
            "{chain:?}"
        );
    }
}

/// A document of which every section says its version.
fn version(n: u64) -> String {
    json!({
        "inbound": ["base", { "set-variable": { "name": "v", "value": n } }],
        "outbound": ["base",
            { "set-header": { "name": "X-Inbound", "value": "@(context.Variables['v'])" } },
            { "set-header": { "name": "X-Outbound", "value": n.to_string() } }]
    })
    .to_string()
}

/// The number of applied reloads.
fn applied(gateway: &Gateway) -> u64 {
    let name = "margay_config_reloads_total{outcome=\"applied\"} ";
    let text = gateway.admin("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn reloads_under_load_that_change_a_document_cost_no_request_and_mix_no_plans() {
    let rounds: u64 = std::env::var("RELOADS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let origin = Origin::hello();
    let gateway = json!({ "Apis": { "orders": {
        "ServiceUrl": format!("http://127.0.0.1:{}", origin.port()), "SubscriptionRequired": false,
        "Operations": { "read": { "Method": "GET", "UrlTemplate": "/*" } }
    } } });
    let file = "policies/apis/orders.json";
    let gateway = Gateway::start(&Setup::json(&gateway).file(file, &version(0)).threads(2));
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = || {
        while !stop.load(Ordering::SeqCst) {
            let mut client = gateway.connect();
            for _ in 0..50 {
                let response = client.must(&Request::get("/orders/1"));
                let (inbound, outbound) = (response.header("X-Inbound"), response.header("X-Outbound"));
                assert!(response.status == 200 && inbound.is_some() && inbound == outbound, "{response:?}");
                asked.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        let mut noticed = true;
        for round in 1..=rounds {
            gateway.write_file(file, &version(round));
            noticed &= becomes_true(WAIT_TIMEOUT, || applied(&gateway) >= round);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(noticed && clients.into_iter().all(|client| client.join().is_ok()));
    });
    let last = gateway.get("/orders/1");
    assert_eq!(last.header("X-Inbound"), Some(rounds.to_string().as_str()));
    announce(&format!("documents: {rounds} reloads, {} requests, none failed", asked.load(Ordering::SeqCst)));
}

#[test]
fn two_hundred_statements_are_explained_in_a_moment() {
    let folder = tempfile::tempdir().expect("a directory");
    let gateway = json!({ "Apis": { "orders": {
        "ServiceUrl": "http://127.0.0.1:9", "SubscriptionRequired": false,
        "Operations": { "read": { "Method": "GET", "UrlTemplate": "/*" } }
    } } });
    let statement = |n: usize| match n % 4 {
        0 => {
            json!({ "set-variable": { "name": format!("v{n}"), "value": "@(context.Request.Method + 'x')" } })
        }
        _ => json!({ "set-header": { "name": format!("X-{n}"), "value": "1" } }),
    };
    let document = json!({ "inbound": (0..200).map(statement).collect::<Value>() });
    let setup = Setup::json(&gateway).file("policies/apis/orders.json", &document.to_string());
    setup.write_to(folder.path());
    let once = || {
        let began = Instant::now();
        let mut command = Command::new(binary());
        let output = command.args(["explain", "--json", "GET", "/orders/1", "--config"]).arg(folder.path());
        let output = output.output().expect("margay");
        let took = began.elapsed();
        let page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(page["program"]["inbound"].as_array().map(Vec::len), Some(200));
        took
    };
    let best = (0..5).map(|_| once()).min().expect("a run");
    announce(&format!("explain of 200 statements: {best:?}, the start of the program included"));
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
    assert!(best < limit, "{best:?}");
}
