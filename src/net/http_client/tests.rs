//! A server of a few lines against the client.

use super::*;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const BOUNDS: RequestLimits = RequestLimits { timeout: Duration::from_millis(500), max_body: 64 };

/// Asks a server that answers with these bytes and closes, or stays silent.
async fn answered(bytes: &'static [u8], close: bool) -> Result<Vec<u8>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/keys?a=b", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 1024];
        let n = stream.read(&mut asked).await.unwrap();
        assert!(asked[..n].starts_with(b"GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:"));
        stream.write_all(bytes).await.unwrap();
        if !close {
            std::future::pending::<()>().await;
        }
    });
    let answer = get(&url, &TrustAnchors::System, BOUNDS).await;
    server.abort();
    answer
}

#[tokio::test]
async fn every_framing_gives_the_whole_body() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"[..],
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ] {
        assert_eq!(answered(bytes, true).await.as_deref(), Ok(&b"{}"[..]));
    }
}

#[tokio::test]
async fn redirects_errors_and_what_is_no_http_are_errors() {
    for (bytes, says) in [
        (
            &b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"[..],
            "the answer is 302",
        ),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "the answer is 500"),
        (b"hello\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "ended early"),
    ] {
        let said = answered(bytes, true).await.unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let silent = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", false).await.unwrap_err();
    assert!(silent.contains("no complete answer"), "{silent}");
    let long = answered(
        b"HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789",
        true,
    );
    assert!(long.await.unwrap_err().contains("longer than 64"));
}

#[tokio::test]
async fn https_is_asked_only_of_those_whose_authority_is_believed() {
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
    let url = |host: &str| HttpUrl::parse(&format!("https://{host}:{port}/")).unwrap();
    let patient = RequestLimits { timeout: Duration::from_secs(10), ..BOUNDS };
    let only = TrustAnchors::Custom(own.cert.pem().into_bytes().into());
    assert_eq!(get(&url("localhost"), &only, patient).await.as_deref(), Ok(&b"{}"[..]));
    assert!(get(&url("127.0.0.1"), &only, patient).await.is_err(), "the name is not that of the certificate");
    assert!(
        get(&url("localhost"), &TrustAnchors::System, patient).await.is_err(),
        "nobody else vouches for it"
    );
    let named =
        Client::with_tls(ClientTls { trust: only, name: Some("localhost".into()), ..ClientTls::default() });
    let answer = named.send(&Request::get(&url("127.0.0.1")), patient).await;
    assert_eq!(
        answer.and_then(Response::body_if_ok).as_deref(),
        Ok(&b"{}"[..]),
        "it is asked by another name"
    );
    server.abort();
}

/// A server that answers one request with these parts, and what it was asked.
async fn server(parts: &'static [&'static str]) -> (HttpUrl, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/v1/kv/a", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let n = stream.read(&mut asked).await.unwrap();
        for part in parts {
            stream.write_all(part.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        String::from_utf8_lossy(&asked[..n]).into_owned()
    });
    (url, server)
}

#[tokio::test]
async fn a_request_carries_its_method_its_fields_and_its_body() {
    let (url, server) =
        server(&["HTTP/1.1 404 Not Found\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\nno"]).await;
    let request =
        Request::new("PUT", &url).header("X-Consul-Token", "t").header("accept", "text/plain").body(b"{}");
    let reply = Client::default().send(&request, BOUNDS).await.unwrap();
    assert_eq!(
        (reply.status(), reply.header("x-consul-index"), &reply.body[..]),
        (404, Some("7"), &b"no"[..])
    );
    assert_eq!(reply.body_if_ok(), Err("the answer is 404".to_owned()));
    let asked = server.await.unwrap();
    assert!(asked.starts_with("PUT /v1/kv/a HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
    assert!(
        asked.contains("\r\nX-Consul-Token: t\r\naccept: text/plain\r\nContent-Length: 2\r\n"),
        "{asked}"
    );
    assert!(asked.ends_with("\r\nConnection: close\r\n\r\n{}") && !asked.contains("Accept: app"), "{asked}");
}

#[tokio::test]
async fn a_field_that_would_break_the_request_is_never_sent() {
    let url = HttpUrl::parse("http://127.0.0.1:9/").unwrap();
    for (name, value) in [("X-Token", "hidden\r\nX: y"), ("X Token", "hidden")] {
        let error =
            Client::default().send(&Request::get(&url).header(name, value), BOUNDS).await.unwrap_err();
        assert!(error.contains("cannot be sent") && !error.contains("hidden"), "{error}");
    }
}

#[tokio::test]
async fn lines_come_one_by_one_however_they_arrive() {
    let (url, server) = server(&[
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "4\r\none\n\r\n2\r\ntw\r\n",
        "8\r\no\r\n\nlast\r\n0\r\n\r\n",
    ])
    .await;
    let mut lines = Client::default().lines(&Request::get(&url), BOUNDS).await.unwrap();
    assert_eq!(lines.status(), 200);
    for line in ["one", "two", "", "last"] {
        assert_eq!(lines.next_line(BOUNDS.timeout).await, Ok(Some(line.as_bytes().to_vec())));
    }
    assert_eq!(lines.next_line(BOUNDS.timeout).await, Ok(None));
    server.await.unwrap();
}

#[tokio::test]
async fn a_line_has_a_longest_length_and_silence_an_end() {
    const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";
    let (url, long) = server(&["HTTP/1.1 200 OK\r\n\r\n", LONG, "\n"]).await;
    let mut lines = Client::default().lines(&Request::get(&url), BOUNDS).await.unwrap();
    assert!(lines.next_line(BOUNDS.timeout).await.unwrap_err().contains("longer than 64"));
    long.await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhal").await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut lines = Client::default().lines(&Request::get(&url), BOUNDS).await.unwrap();
    assert!(lines.next_line(Duration::from_millis(30)).await.unwrap_err().contains("nothing came for 30ms"));
    silent.abort();
}
