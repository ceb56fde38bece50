//! The store of API management under `kill -9`: counts with `Batched`, subscriptions that were answered, a damaged file and a
//! backup. `SOAK=1` kills 50 and 20 times.

use super::api_management::{KEY, call, setup};
use crate::support::client::{Client, Request};
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::Origin;
use crate::support::{announce, becomes_true};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn kills(few: usize, many: usize) -> usize {
    if std::env::var_os("SOAK").is_some() { many } else { few }
}

/// The count of the key `k`.
fn counted(gateway: &Gateway) -> u64 {
    let page = gateway.admin("/management/quotas/k").json();
    page["value"][0]["value"]["callsCount"].as_u64().unwrap_or(0)
}

/// When the calls of a round were answered; it ends with `kill -9`.
fn answers_until_killed(gateway: &mut Gateway, setup: &Setup) -> (Vec<Instant>, Instant) {
    let address = gateway.address;
    let answers = Mutex::new(Vec::new());
    let mut killed = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while client.ask(&call()).is_ok_and(|response| response.status == 200) {
                    answers.lock().expect("the answers").push(Instant::now());
                }
            });
        }
        std::thread::sleep(Duration::from_millis(400));
        killed = Instant::now();
        gateway.restart(setup, "kill").expect("it starts again");
    });
    (answers.into_inner().expect("the answers"), killed)
}

#[test]
fn a_batched_quota_loses_the_calls_of_100_ms_at_most_by_kill_9() {
    let origin = Origin::hello();
    let limit = json!({ "quota-by-key": { "calls": 100_000_000, "renewal-period": 0, "counter-key": "k" } });
    let document = json!({ "inbound": ["base", limit] });
    let setup = setup(&origin, "Batched", "policies/apis/orders.json", &document);
    let mut gateway = Gateway::start(&setup);
    let (mut lost, mut calls) = (0, 0);
    for _ in 0..kills(2, 50) {
        let before = counted(&gateway);
        let (answers, killed) = answers_until_killed(&mut gateway, &setup);
        let stored = counted(&gateway) - before;
        let late = answers.iter().filter(|at| **at + Duration::from_millis(100) > killed).count() as u64;
        let (answered, missing) = (answers.len() as u64, (answers.len() as u64).saturating_sub(stored));
        assert!(
            answered > 0 && missing <= late,
            "{answered} answered, {stored} stored, {late} in the last 100 ms"
        );
        (lost, calls) = (lost.max(missing), calls + answered);
    }
    announce(&format!("Batched: at most {lost} calls lost by a kill, {calls} calls in all"));
}

/// A request of the management.
fn manage(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let request = Request::new(method, &format!("/management/{path}"))
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let mut client = Client::try_connect(gateway.admin).ok()?;
    let response = client.ask(&request).ok()?;
    Some((response.status, serde_json::from_str(&response.text()).unwrap_or_default()))
}

#[test]
fn subscriptions_that_were_answered_survive_kills_with_both_keys() {
    let origin = Origin::hello();
    let setup = setup(&origin, "Batched", "policies/apis/orders.json", &json!({ "inbound": ["base"] }));
    let mut gateway = Gateway::start(&setup);
    let (rounds, each) = (kills(2, 20), 56);
    let mut made: Vec<(String, Value)> = Vec::new();
    for round in 0..rounds {
        let under_way = AtomicUsize::new(0);
        let answered = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..each {
                    let id = format!("s{round}x{n}");
                    let body = json!({ "properties": { "scope": "/products/gold", "displayName": id } });
                    let path = format!("subscriptions/{id}");
                    let Some((201, _)) = manage(&gateway, "PUT", &path, &body) else { return };
                    answered.lock().expect("the answers").push(id);
                    under_way.fetch_add(1, Ordering::SeqCst);
                }
            });
            // The kill falls into the changes.
            let is_late = || under_way.load(Ordering::SeqCst) >= each - 5;
            assert!(becomes_true(Duration::from_secs(60), is_late), "subscriptions are made");
            gateway.process.signal("KILL");
        });
        gateway.restart(&setup, "kill").expect("it starts again");
        for id in answered.into_inner().expect("the answers") {
            let keys = manage(&gateway, "POST", &format!("subscriptions/{id}/listSecrets"), &json!({}));
            made.push((id, keys.expect("an answer").1));
        }
    }
    for (id, keys) in &made {
        for name in ["primaryKey", "secondaryKey"] {
            let key = keys[name].as_str().unwrap_or_else(|| panic!("{id}: {name}"));
            assert_eq!(gateway.ask(&Request::get("/orders/1").header(KEY.0, key)).status, 200, "{id}");
        }
    }
    announce(&format!("{} subscriptions are there after {rounds} kills", made.len()));
    assert!(made.len() >= rounds * (each - 5));
}

/// Runs `margay store`.
fn store(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary());
    let output = command.args(["store", "--config"]).arg(gateway.config()).args(arguments).output();
    let output = output.expect("margay");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Makes a backup while requests are counted; the number of their responses.
fn back_up_under_load(gateway: &Gateway, backup: &Path) -> usize {
    let address = gateway.address;
    std::thread::scope(|scope| {
        let load = scope.spawn(move || {
            let mut client = Client::connect(address);
            let began = Instant::now();
            (0..)
                .take_while(|_| client.must(&call()).status == 200 && began.elapsed().as_millis() < 400)
                .count()
        });
        std::thread::sleep(Duration::from_millis(200));
        let (is_done, report) = store(gateway, &["backup", backup.to_str().expect("UTF-8")]);
        assert!(is_done, "{report}");
        load.join().expect("the load")
    })
}

#[test]
fn a_damaged_store_is_refused_and_a_backup_taken_under_load_is_restored() {
    let origin = Origin::hello();
    let limit = json!({ "quota-by-key": { "calls": 100_000_000, "renewal-period": 0, "counter-key": "k" } });
    let document = json!({ "inbound": ["base", limit] });
    let setup = setup(&origin, "Strict", "policies/apis/orders.json", &document);
    let mut gateway = Gateway::start(&setup);
    let made = manage(
        &gateway,
        "PUT",
        "subscriptions/kept",
        &json!({ "properties": { "scope": "/products/gold" } }),
    );
    assert_eq!(made.expect("an answer").0, 201);
    let keys = manage(&gateway, "POST", "subscriptions/kept/listSecrets", &json!({})).expect("an answer").1;
    let folder = gateway.config().parent().expect("a directory").to_owned();
    let backup = folder.join("backup.db");
    let answered = back_up_under_load(&gateway, &backup);
    assert!(answered > 0);
    gateway.process.signal("KILL");
    gateway.process.ends_within(Duration::from_secs(20)).expect("the gateway ends");
    let database = folder.join("data/margay.db");
    for beside in ["data/margay.db-wal", "data/margay.db-shm"] {
        let _ = std::fs::remove_file(folder.join(beside));
    }
    std::fs::write(&database, vec![b'x'; 8192]).expect("damage");
    let ended = gateway.restart(&setup, "kill").expect_err("a damaged store");
    assert!(ended.stderr.contains("margay store restore"), "{}", ended.stderr);
    let (is_done, report) = store(&gateway, &["restore", backup.to_str().expect("UTF-8")]);
    assert!(is_done, "{report}");
    gateway.restart(&setup, "kill").expect("it starts with the backup");
    let key = keys["primaryKey"].as_str().expect("a key");
    assert_eq!(gateway.ask(&Request::get("/orders/1").header(KEY.0, key)).status, 200);
    assert!(counted(&gateway) > 0);
}
