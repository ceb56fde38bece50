//! Which fields of clients are removed.

use super::super::trailer_filter::filter_trailers;
use super::*;
use crate::telemetry::Metrics;

fn rules() -> ClientFieldRules {
    ClientFieldRules::new(
        ["X-User-Id"].into_iter(),
        ["x-real-ip"].into_iter(),
        Metrics::new(1).removals().clone(),
    )
}

fn head(names: &[&str]) -> Head {
    let mut head = Head::request(b"GET", b"/");
    names.iter().for_each(|name| head.append(name.as_bytes(), b"1"));
    head
}

/// The names that are left.
fn kept(rules: &ClientFieldRules, names: &[&str]) -> Vec<String> {
    let mut head = head(names);
    rules.apply(&mut head, 0, |_| false).unwrap();
    head.fields().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn fields_of_proxies_and_of_the_gateway_are_removed_unless_allowed() {
    let rules = rules();
    let names =
        ["X-Forwarded-Port", "x-original-url", "Proxy", "Client-Cert", "Accept", "X-User-Id", "X-REAL-IP"];
    assert_eq!(kept(&rules, &names), ["Accept", "X-User-Id", "X-REAL-IP"]);
    assert_eq!([Removed::ProxyField, Removed::ReservedField].map(|r| rules.metrics.total(r)), [3, 1]);
}

#[test]
fn fields_of_a_trusted_proxy_are_kept_but_never_those_of_the_gateway() {
    let mut head = head(&["X-Forwarded-For", "X-Forwarded-Host", "Client-Cert"]);
    rules().apply(&mut head, 0, |known| known == KnownHeader::XForwardedFor).unwrap();
    assert_eq!(head.fields().map(|f| f.1).collect::<Vec<_>>(), [b"X-Forwarded-For"]);
}

#[test]
fn underscores_cannot_forge_a_name() {
    let rules = rules();
    let names =
        ["X_User_Id", "x-forwarded_for", "Client_Cert", "Content_Length", "X_Api_Key", "X-Api-Key", "A_b"];
    assert_eq!(kept(&rules, &names), ["X-Api-Key", "A_b"]);
    assert_eq!(rules.metrics.total(Removed::UnderscoreField), 5);
}

#[test]
fn underscores_may_be_dropped_rejected_or_allowed_by_name() {
    let mut rules = ClientFieldRules { underscores: UnderscoresInHeaders::Drop, ..rules() };
    assert_eq!(kept(&rules, &["A_b", "A-c"]), ["A-c"]);
    rules.underscores = UnderscoresInHeaders::Reject;
    let error = rules.apply(&mut head(&["A_b"]), 0, |_| false).unwrap_err();
    assert_eq!(error.code, ErrorCode::RequestFieldName);
    let allowed = ClientFieldRules::new([].into_iter(), ["A_b"].into_iter(), rules.metrics.clone());
    rules = ClientFieldRules { underscores: UnderscoresInHeaders::Reject, ..allowed };
    assert_eq!(kept(&rules, &["a_b"]), ["a_b"]);
}

#[test]
fn ocelot_forwards_the_fields_of_proxies_as_they_are() {
    let rules = ClientFieldRules { is_proxy_transparent: true, ..rules() };
    let names = ["X-Forwarded-For", "X_Forwarded_For", "X_User_Id", "Client-Cert"];
    assert_eq!(kept(&rules, &names), ["X-Forwarded-For"], "{names:?}");
    assert_eq!(kept(&rules, &["X_Forwarded_Port"]), ["X_Forwarded_Port"]);
}

#[test]
fn trailers_are_forwarded_only_if_announced_or_of_grpc() {
    let rules = rules();
    let filter = |announced: &str, kind: &str, framing| {
        let mut head = head(&[]);
        head.append(b"Trailer", announced.as_bytes());
        head.append(b"Content-Type", kind.as_bytes());
        rules.trailer_filter(&head, framing)
    };
    assert!(filter("", "text/plain", Framing::Chunked).is_none());
    assert!(filter("x-sum", "application/grpc", Framing::None).is_none());
    let left = |filter: Option<Box<TrailerFilter>>| {
        let mut trailers = head(&["X-Sum", "X-User-Id", "x_user_id", "X-Real-Ip", "X-Other"]);
        filter_trailers(filter.as_deref(), &mut trailers);
        trailers.fields().map(|f| String::from_utf8_lossy(f.1).into_owned()).collect::<Vec<_>>()
    };
    let announced = "X-Sum, X-User-Id, x_user_id, X-Real-Ip";
    assert_eq!(left(filter(announced, "text/plain", Framing::Chunked)), ["X-Sum"]);
    assert_eq!(left(filter("", "application/grpc", Framing::Chunked)), ["X-Sum", "X-Other"]);
}
