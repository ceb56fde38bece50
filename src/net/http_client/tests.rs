//! Tests of the client against a small server.

use super::*;
use crate::{
    base::url::HttpUrl,
    net::tls::{client::ClientTls, trust::TrustAnchors},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_millis(500), max_body: 64 };

/// Sends a request to a server that responds with these bytes, and then closes or stays silent.
async fn response_to_get(bytes: &'static [u8], close: bool) -> Result<Vec<u8>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/keys?a=b", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 1024];
        let n = stream.read(&mut received).await.unwrap();
        assert!(received[..n].starts_with(b"GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:"));
        stream.write_all(bytes).await.unwrap();
        if !close {
            std::future::pending::<()>().await;
        }
    });
    let response = get(&url, &TrustAnchors::System, LIMITS).await;
    server.abort();
    response
}

#[tokio::test]
async fn every_framing_returns_the_whole_body() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"[..],
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ] {
        assert_eq!(response_to_get(bytes, true).await.as_deref(), Ok(&b"{}"[..]));
    }
}

#[tokio::test]
async fn redirects_errors_and_invalid_responses_are_errors() {
    for (bytes, expected) in [
        (
            &b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"[..],
            "the response status is 302",
        ),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "the response status is 500"),
        (b"hello\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "ended early"),
    ] {
        let error = response_to_get(bytes, true).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let silent = response_to_get(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", false).await.unwrap_err();
    assert!(silent.contains("no complete response"), "{silent}");
    let long = response_to_get(
        b"HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789",
        true,
    );
    assert!(long.await.unwrap_err().contains("larger than 64"));
}

/// A TLS server with a self-signed certificate for `localhost`: its task, port and certificate.
async fn tls_server() -> (tokio::task::JoinHandle<()>, u16, TrustAnchors) {
    use tokio_rustls::{
        TlsAcceptor, rustls::ServerConfig, rustls::crypto::ring, rustls::pki_types::PrivateKeyDer,
    };
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.key_pair.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
            let _ = stream.shutdown().await;
        }
    });
    (server, port, TrustAnchors::Custom(own.cert.pem().into_bytes().into()))
}

#[tokio::test]
async fn https_requires_a_trusted_certificate() {
    let (server, port, trust) = tls_server().await;
    let url = |host: &str| HttpUrl::parse(&format!("https://{host}:{port}/")).unwrap();
    let long_limits = RequestLimits { timeout: Duration::from_secs(10), ..LIMITS };
    assert_eq!(get(&url("localhost"), &trust, long_limits).await.as_deref(), Ok(&b"{}"[..]));
    assert!(
        get(&url("127.0.0.1"), &trust, long_limits).await.is_err(),
        "the certificate is for another name"
    );
    assert!(
        get(&url("localhost"), &TrustAnchors::System, long_limits).await.is_err(),
        "the certificate authority is not trusted"
    );
    let client =
        Client::with_tls(ClientTls { trust, name: Some("localhost".into()), ..ClientTls::default() });
    let response = client.send(&Request::get(&url("127.0.0.1")), long_limits).await;
    assert_eq!(
        response.and_then(Response::body_if_ok).as_deref(),
        Ok(&b"{}"[..]),
        "the configured server name is verified"
    );
    server.abort();
}

/// A server that responds to one request with these parts, and the request it received.
async fn server(parts: &'static [&'static str]) -> (HttpUrl, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/v1/kv/a", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 4096];
        let n = stream.read(&mut received).await.unwrap();
        for part in parts {
            stream.write_all(part.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        String::from_utf8_lossy(&received[..n]).into_owned()
    });
    (url, server)
}

#[tokio::test]
async fn a_request_contains_its_method_fields_and_body() {
    let (url, server) =
        server(&["HTTP/1.1 404 Not Found\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\nno"]).await;
    let request =
        Request::new("PUT", &url).header("X-Consul-Token", "t").header("accept", "text/plain").body(b"{}");
    let response = Client::default().send(&request, LIMITS).await.unwrap();
    assert_eq!(
        (response.status(), response.header("x-consul-index"), &response.body[..]),
        (404, Some("7"), &b"no"[..])
    );
    assert_eq!(response.body_if_ok(), Err("the response status is 404".to_owned()));
    let received = server.await.unwrap();
    assert!(received.starts_with("PUT /v1/kv/a HTTP/1.1\r\nHost: 127.0.0.1:"), "{received}");
    assert!(
        received.contains("\r\nX-Consul-Token: t\r\naccept: text/plain\r\nContent-Length: 2\r\n"),
        "{received}"
    );
    assert!(
        received.ends_with("\r\nConnection: close\r\n\r\n{}") && !received.contains("Accept: app"),
        "{received}"
    );
}

#[tokio::test]
async fn an_invalid_header_is_never_sent() {
    let url = HttpUrl::parse("http://127.0.0.1:9/").unwrap();
    for (name, value) in [("X-Token", "hidden\r\nX: y"), ("X Token", "hidden")] {
        let error =
            Client::default().send(&Request::get(&url).header(name, value), LIMITS).await.unwrap_err();
        assert!(error.contains("cannot be sent") && !error.contains("hidden"), "{error}");
    }
}

#[tokio::test]
async fn lines_are_returned_one_by_one_however_they_arrive() {
    let (url, server) = server(&[
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "4\r\none\n\r\n2\r\ntw\r\n",
        "8\r\no\r\n\nlast\r\n0\r\n\r\n",
    ])
    .await;
    let mut lines = Client::default().lines(&Request::get(&url), LIMITS).await.unwrap();
    assert_eq!(lines.status(), 200);
    for line in ["one", "two", "", "last"] {
        assert_eq!(lines.next_line(LIMITS.timeout).await, Ok(Some(line.as_bytes().to_vec())));
    }
    assert_eq!(lines.next_line(LIMITS.timeout).await, Ok(None));
    server.await.unwrap();
}

#[tokio::test]
async fn line_length_and_idle_time_are_limited() {
    const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";
    let (url, long) = server(&["HTTP/1.1 200 OK\r\n\r\n", LONG, "\n"]).await;
    let mut lines = Client::default().lines(&Request::get(&url), LIMITS).await.unwrap();
    assert!(lines.next_line(LIMITS.timeout).await.unwrap_err().contains("longer than 64"));
    long.await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhal").await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut lines = Client::default().lines(&Request::get(&url), LIMITS).await.unwrap();
    assert!(
        lines.next_line(Duration::from_millis(30)).await.unwrap_err().contains("nothing received for 30ms")
    );
    silent.abort();
}
