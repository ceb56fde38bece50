//! The gateway's own requests: one GET over HTTP/1.1, with or without TLS, bounded in time and size.
//!
//! For keys, discovery and probes, always in the background: a connection serves one request and is closed. Redirects
//! are not followed: what an operator configured is what is asked.

use super::h1::{
    decode::{Decoder, Found},
    parse::{self, HeadLimits},
};
use crate::{base::url::HttpUrl, pipeline::head::Head};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// The largest head of an answer.
const HEAD: HeadLimits = HeadLimits { line: 8 << 10, fields: 32 << 10, count: 100 };

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the look-up of the name to the last byte.
    pub time: Duration,
    /// Bytes of the body.
    pub size: usize,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those of these authorities only: PEM text.
    Only(Arc<[u8]>),
}

/// The body of a 200 answer; everything else is an error that says what happened.
pub async fn get(url: &HttpUrl, trust: &Trust, bounds: Bounds) -> Result<Vec<u8>, String> {
    match tokio::time::timeout(bounds.time, ask(url, trust, bounds.size)).await {
        Ok(answer) => answer.map_err(|error| format!("{url}: {error}")),
        Err(_) => Err(format!("{url}: no complete answer within {:?}", bounds.time)),
    }
}

async fn ask(url: &HttpUrl, trust: &Trust, most: usize) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    if !url.tls {
        return talk(stream, url, most).await;
    }
    let name =
        ServerName::try_from(url.host.clone()).map_err(|_| odd("the host is no name of a certificate"))?;
    let connector = TlsConnector::from(Arc::new(client_config(trust)?));
    talk(connector.connect(name, stream).await?, url, most).await
}

fn client_config(trust: &Trust) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots(trust)?).with_no_client_auth())
}

fn roots(trust: &Trust) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs()?);
        }
        Trust::Only(pem) => {
            for certificate in certificates(pem).map_err(odd)? {
                store.add(certificate).map_err(io::Error::other)?;
            }
        }
    }
    Ok(store)
}

/// The certificates of a PEM text; an error when there is none, or one that cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("it holds no certificate"),
        Err(_) => Err("it is not PEM"),
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &HttpUrl,
    most: usize,
) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: margay\r\nAccept: application/json, */*;q=0.5\r\nConnection: close\r\n\r\n",
        url.target,
        url.authority()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut read = Vec::with_capacity(8 << 10);
    let decoder = head(&mut stream, &mut read).await?;
    body(&mut stream, read, decoder, most).await
}

/// Reads up to the end of the final head; what follows it stays in `read`.
async fn head(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> io::Result<Decoder> {
    loop {
        let mut scanned = 0;
        let end = loop {
            if let Some(end) = parse::head_end(read, &mut scanned) {
                break end;
            }
            if read.len() > HEAD.fields {
                return Err(odd("the head of the answer is too long"));
            }
            more(stream, read).await?;
        };
        let mut head = Head::default();
        let framing =
            parse::response(&read[..end], &mut head, &HEAD, false).map_err(|cause| odd(&cause.detail))?;
        read.drain(..end);
        match head.status {
            100..=199 => {}
            200 => return Ok(Decoder::new(framing, (HEAD.fields, HEAD.count))),
            status => return Err(odd(&format!("the answer is {status}"))),
        }
    }
}

async fn body(
    stream: &mut (impl AsyncRead + Unpin),
    mut read: Vec<u8>,
    mut decoder: Decoder,
    most: usize,
) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    let mut used = 0;
    loop {
        match decoder.look(&read[used..]).map_err(odd)? {
            Found::End => return Ok(whole),
            Found::Skip(n) => used += n,
            Found::Data(n) => {
                whole.extend_from_slice(&read[used..used + n]);
                decoder.used(n);
                used += n;
            }
            Found::More => {
                read.drain(..used);
                used = 0;
                match more(stream, &mut read).await {
                    Ok(()) => {}
                    Err(_) if decoder.ends_with_close() => return Ok(whole),
                    Err(error) => return Err(error),
                }
            }
        }
        if whole.len() > most {
            return Err(odd(&format!("the answer is longer than {most} bytes")));
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended early")),
        _ => Ok(()),
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const BOUNDS: Bounds = Bounds { time: Duration::from_millis(500), size: 64 };

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
        let answer = get(&url, &Trust::System, BOUNDS).await;
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
        use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, rustls::pki_types::PrivateKeyDer};
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
        let patient = Bounds { time: Duration::from_secs(10), ..BOUNDS };
        let only = Trust::Only(own.cert.pem().into_bytes().into());
        assert_eq!(get(&url("localhost"), &only, patient).await.as_deref(), Ok(&b"{}"[..]));
        assert!(
            get(&url("127.0.0.1"), &only, patient).await.is_err(),
            "the name is not that of the certificate"
        );
        assert!(get(&url("localhost"), &Trust::System, patient).await.is_err(), "nobody else vouches for it");
        server.abort();
    }

    #[test]
    fn a_text_without_certificates_is_no_authority() {
        assert!(certificates(b"nonsense").is_err());
    }
}
