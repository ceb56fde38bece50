//! The firewall on a socket: which policy applies, custom rules behind authentication, verified bots, statuses of rules.

use super::waf::{ATTACK, echo, inspected, log_lines, prevention, request};
use super::{document, over};
use crate::support::client::{Request, once};
use crate::support::dns::{NameServer, Record};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::{becomes_true, ports};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_policy_of_a_listener_applies_to_routes_and_apis() {
    let origin = Origin::hello();
    let (inspected, other) = (ports::free_address(), ports::free_address());
    let rest = json!({
        "Listeners": [
            { "Name": "public", "Address": inspected.to_string(), "Waf": "Prevention" },
            { "Name": "internal", "Address": other.to_string() }
        ],
        "Apis": { "orders": {
            "ServiceUrl": format!("http://127.0.0.1:{}", origin.port()),
            "SubscriptionRequired": false,
            "Operations": { "read": { "Method": "GET", "UrlTemplate": "/*" } }
        } },
        "WafEngine": { "Rules": "built-in", "Log": "off" }
    });
    let document = document(origin.port(), &json!({ "UpstreamPathTemplate": "/plain/{everything}" }), &rest);
    let _gateway = Gateway::start(&Setup::json(&document).own_listeners());
    for path in ["/orders/1", "/plain/1"] {
        let attack = request("GET", &format!("{path}?id={ATTACK}"));
        let status = |address, request: &Request| once(address, request).expect("a response").status;
        assert_eq!(status(inspected, &request("GET", path)), 200, "{path}");
        assert_eq!((status(inspected, &attack), status(other, &attack)), (403, 200), "{path}");
    }
}

fn token(sub: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "sub": sub, "aud": "api", "exp": now + 600 });
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token");
    format!("Bearer {token}")
}

#[test]
fn a_rule_that_counts_by_claim_runs_behind_authentication() {
    let origin = echo();
    let rule = json!({
        "Name": "each user", "Priority": 1, "Action": "Block",
        "Conditions": [{ "Variables": ["RequestMethod"], "Operator": "Any" }],
        "RateLimit": { "Limit": 2, "Period": "1h", "PartitionBy": ["Claim:sub"] }
    });
    let rest = json!({
        "AuthenticationSchemes": { "S": { "Type": "JwtBearer", "SigningKey": KEY, "Audience": "api" } },
        "GlobalConfiguration": { "Waf": "p" },
        "WafPolicies": { "p": { "Mode": "Prevention", "CustomRules": [rule] } },
        "WafEngine": { "Rules": "built-in", "Log": "off" }
    });
    let route = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] } });
    let gateway = Gateway::with(&document(origin.port(), &route, &rest));
    let ask = |token: &str| gateway.ask(&request("GET", "/").header("Authorization", token));
    for _ in 0..5 {
        assert_eq!(ask("Bearer a.b.c").status, 401, "clients without identity are not counted");
    }
    let statuses = |sub: &str| (0..3).map(|_| ask(&token(sub)).status).collect::<Vec<_>>();
    assert_eq!((statuses("ann"), statuses("bob")), (vec![200, 200, 429], vec![200, 200, 429]));
    let limited = ask(&token("ann"));
    assert!(limited.header("retry-after").is_some() && limited.text().contains("waf.rate"));
}

#[test]
fn a_client_that_claims_to_be_a_known_bot_is_verified_by_its_name() {
    let (server, origin) = (NameServer::start(), echo());
    let names = |address: &str, name: &str| {
        let reversed: Vec<&str> = address.rsplit('.').collect();
        let pointer = vec![Record::Pointer(name.to_owned())];
        server.records(&format!("{}.in-addr.arpa", reversed.join(".")), 60, pointer);
    };
    names("203.0.113.7", "crawl-7.finder.example");
    server.addresses("crawl-7.finder.example", 60, &["203.0.113.7"]);
    // A name that anyone may write, which does not lead back; and a name of another domain.
    names("203.0.113.8", "crawl-8.finder.example");
    server.addresses("crawl-8.finder.example", 60, &["203.0.113.7"]);
    names("203.0.113.9", "host.notfinder.example");
    server.addresses("host.notfinder.example", 60, &["203.0.113.9"]);
    let bots = json!({ "VerifiedBots": [{ "Agent": "FinderBot", "Domains": ["finder.example"] }] });
    let rest = json!({
        "GlobalConfiguration": { "Waf": "p" },
        "WafPolicies": { "p": { "Mode": "Prevention", "Bots": bots } },
        "WafEngine": { "Rules": "built-in", "Log": "off" },
        "Dns": { "Servers": [server.address()], "Timeout": "500ms" },
        "ForwardedHeaders": { "Headers": ["X-Forwarded-For"], "TrustedProxies": ["127.0.0.1"] }
    });
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &rest));
    let ask = |address: &str, agent: &str| {
        let request = Request::get("/").header("User-Agent", agent).header("Accept", "*/*");
        gateway.ask(&request.header("Host", "shop.example").header("X-Forwarded-For", address))
    };
    let agent = "Mozilla/5.0 (compatible; finderbot/2.1)";
    for address in ["203.0.113.7", "203.0.113.8", "203.0.113.9"] {
        assert_eq!(ask(address, agent).status, 200, "{address} passes until its name is known");
    }
    for address in ["203.0.113.8", "203.0.113.9"] {
        assert!(becomes_true(WAIT_TIMEOUT, || ask(address, agent).status == 403), "{address}");
        let blocked = ask(address, agent);
        assert!(blocked.text().contains("waf.bot"), "{}", blocked.text());
        assert_eq!(ask(address, "Mozilla/5.0").status, 200, "{address} without the claim");
    }
    assert_eq!(ask("203.0.113.7", agent).status, 200);
}

#[test]
fn a_rule_decides_the_status_of_the_response() {
    let origin = echo();
    let rules = r#"SecRule ARGS:q "@streq stop" "id:1001,phase:2,deny,status:406,msg:'stop'""#;
    let custom = json!({
        "Name": "hidden", "Priority": 1, "Action": "Block", "Status": 404,
        "Conditions": [{ "Variables": ["RequestPath"], "Operator": "BeginsWith", "Values": ["/hidden"] }]
    });
    let policy = over(
        prevention(),
        &json!({ "RuleFiles": ["own.conf"], "CustomRules": [custom], "Reply": { "Status": 451, "Body": "no" } }),
    );
    let rest = json!({
        "GlobalConfiguration": { "Waf": "p" },
        "WafPolicies": { "p": policy },
        "WafEngine": { "Rules": "built-in", "Log": "off" }
    });
    let setup = Setup::json(&document(origin.port(), &json!({}), &rest)).file("own.conf", rules);
    let gateway = Gateway::start(&setup);
    let ask = |target: &str| gateway.ask(&request("GET", target));
    for (target, status) in [("/?q=stop", 406), ("/hidden/1", 404), (&*format!("/?q={ATTACK}"), 451)] {
        let response = ask(target);
        assert_eq!((response.status, response.text().as_str()), (status, "no"), "{target}");
    }
    assert_eq!(ask("/?q=go").status, 200);
}

#[test]
fn a_rule_file_that_appears_later_is_read() {
    let origin = echo();
    let with = |settings: &Value| {
        let rest = json!({
            "GlobalConfiguration": { "Waf": "p" },
            "WafPolicies": { "p": over(prevention(), settings) },
            "WafEngine": { "Rules": "built-in", "Log": "off" }
        });
        document(origin.port(), &json!({}), &rest).to_string()
    };
    let gateway = Gateway::start(&Setup::text(with(&json!({}))));
    gateway.write(&with(&json!({ "RuleFiles": ["late.conf"] })));
    let is_reported = || gateway.process.stderr().contains("late.conf");
    assert!(becomes_true(WAIT_TIMEOUT, is_reported), "{}", gateway.process.stderr());
    assert_eq!(gateway.ask(&request("GET", "/?q=stop")).status, 200);
    gateway.write_file("late.conf", r#"SecRule ARGS:q "@streq stop" "id:1001,phase:2,deny,status:406""#);
    let is_read = || gateway.ask(&request("GET", "/?q=stop")).status == 406;
    assert!(becomes_true(Duration::from_secs(10), is_read), "{}", gateway.process.stderr());
}

/// A custom rule that logs requests with this header field, and one of the same version that reads the body.
fn version(mark: &str) -> Value {
    let rule = |name: &str, priority: u32, variable: &str| {
        json!({
            "Name": format!("{name} {mark}"), "Priority": priority, "Action": "Log",
            "Conditions": [{ "Variables": [variable], "Operator": "Any" }]
        })
    };
    let rules = [rule("early", 1, "RequestMethod"), rule("late", 2, "PostArgs:q")];
    json!({ "Mode": "Prevention", "CustomRules": rules, "DetectionParanoiaLevel": mark.len() % 4 + 1 })
}

/// The versions in the lines of a log; both rules of a line have the same.
fn versions_of(lines: &[String]) -> BTreeSet<String> {
    let mut versions = BTreeSet::new();
    for line in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let matches = line["matches"].as_array().expect("matches");
        let rules = matches.iter().filter_map(|found| found["rule"].as_str());
        let marks: Vec<&str> = rules.filter_map(|rule| Some(rule.split_once(' ')?.1)).collect();
        assert!(marks.len() == 2 && marks[0] == marks[1], "{line}");
        versions.insert(marks[0].to_owned());
    }
    versions
}

#[test]
fn changes_of_policies_under_load_cost_no_request_and_mix_nothing() {
    let origin = echo();
    let text = |mark: &str| {
        let rest = json!({
            "GlobalConfiguration": { "Waf": "p" },
            "WafPolicies": { "p": version(mark) },
            "WafEngine": { "Rules": "built-in", "Log": "waf.log" }
        });
        document(origin.port(), &json!({}), &rest).to_string()
    };
    let rounds: usize = std::env::var("RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(20);
    let gateway = Gateway::start(&Setup::text(text("0")).threads(2));
    let form = request("POST", "/form").header("Content-Type", "application/x-www-form-urlencoded");
    let form = form.body("q=hello");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let reloads = || {
        let metrics = gateway.admin("/metrics").text();
        let name = "margay_config_reloads_total{outcome=\"applied\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0_usize)
    };
    std::thread::scope(|scope| {
        let _guard = crate::support::StopGuard(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    let mut client = gateway.connect();
                    (0..20).for_each(|_| assert_eq!(client.must(&form).status, 200));
                }
            });
        }
        for round in 1..=rounds {
            gateway.write(&text(&"x".repeat(round % 7 + 1)));
            assert!(becomes_true(WAIT_TIMEOUT, || reloads() >= round), "change {round} was not noticed");
        }
    });
    let versions = versions_of(&log_lines(&gateway));
    assert!(versions.len() >= 3, "{versions:?}");
}

#[test]
fn secrets_appear_in_no_log_metric_or_response() {
    let origin = echo();
    let scrubbed = json!([{ "Variable": "RequestArgValues", "Operator": "Equals", "Selector": "iban" }]);
    let secret = "' OR 'hunter2'='hunter2";
    let escaped = "x%27%20OR%201=1--%20hunter2";
    for mode in ["Detection", "Prevention"] {
        let gateway = inspected(origin.port(), &json!({ "Mode": mode, "LogScrubbing": scrubbed }));
        let form = "application/x-www-form-urlencoded";
        let multipart =
            format!("--b\r\nContent-Disposition: form-data; name=\"apiKey\"\r\n\r\n{secret}\r\n--b--\r\n");
        let json = json!({ "user": { "Password": secret, "cards": [{ "cvv": secret }] } }).to_string();
        let mut requests = vec![
            request("POST", "/f").header("Content-Type", form).body(format!("iban={escaped}&pwd={escaped}")),
            request("POST", "/m").header("Content-Type", "multipart/form-data; boundary=b").body(multipart),
            request("POST", "/j").header("Content-Type", "application/json").body(json),
        ];
        for name in ["Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key-Token"] {
            requests.push(request("GET", "/h").header(name, &format!("session={secret}")));
        }
        for request in &requests {
            let response = gateway.ask(request);
            let is_told = response.status != 200 && response.text().contains("hunter2");
            assert!(!is_told, "{}", response.text());
        }
        // Fields of the head with credentials are not inspected by every rule.
        let is_logged = || {
            let lines = log_lines(&gateway).join("\n");
            ["/f", "/m", "/j"].iter().all(|path| lines.contains(&format!("\"{path}\"")))
        };
        assert!(becomes_true(WAIT_TIMEOUT, is_logged), "{:?}", log_lines(&gateway));
        let texts = [
            log_lines(&gateway).join("\n"),
            gateway.process.stdout(),
            gateway.process.stderr(),
            gateway.admin("/metrics").text(),
        ];
        for text in texts {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
