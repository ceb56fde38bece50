//! The archive of a release: from a file, or over https.

use crate::base::url::HttpUrl;
use crate::net::http_client::{Client, Request, RequestLimits};
use std::path::Path;
use std::time::Duration;

/// Limits of the download of an archive.
const LIMITS: RequestLimits = RequestLimits { timeout: Duration::from_secs(120), max_body: 64 << 20 };

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Reads an archive from a URL or a file.
///
/// # Errors
/// The file cannot be read, the URL is not an https URL, or the response is not 200.
pub fn read(source: &str) -> Result<Vec<u8>, String> {
    if !source.contains("://") {
        return std::fs::read(Path::new(source)).map_err(|error| format!("{source}: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(download(source))
}

async fn download(source: &str) -> Result<Vec<u8>, String> {
    let client = Client::default();
    let mut url = secure_url(source)?;
    for _ in 0..=MAX_REDIRECTS {
        let response = client.send(&Request::get(&url), LIMITS).await?;
        let location = response.header("location").filter(|_| (300..400).contains(&response.status()));
        let Some(location) = location else {
            return response.body_if_ok().map_err(|error| format!("{url}: {error}"));
        };
        url = match location.strip_prefix('/').filter(|path| !path.starts_with('/')) {
            Some(_) => HttpUrl { target: location.to_owned(), ..url },
            None => secure_url(location)?,
        };
    }
    Err(format!("{source}: more than {MAX_REDIRECTS} redirects"))
}

/// An https URL, or one of this machine.
fn secure_url(text: &str) -> Result<HttpUrl, String> {
    let url = HttpUrl::parse(text).map_err(|error| format!("{text}: {error}"))?;
    match url.tls || url.is_loopback() {
        true => Ok(url),
        false => Err(format!("{text}: expected an https URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secure_urls_are_read() {
        assert!(read("http://crs.example/a.tar.gz").unwrap_err().ends_with("expected an https URL"));
        assert!(read("ftp://crs.example/a.tar.gz").unwrap_err().contains("neither http nor https"));
        assert!(read("/nowhere/a.tar.gz").unwrap_err().starts_with("/nowhere/a.tar.gz: "));
    }
}
