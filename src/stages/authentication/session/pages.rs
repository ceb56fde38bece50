//! Responses for browsers: redirects, and pages that explain why a sign-in failed.

use crate::pipeline::{error::GatewayError, response::Response};

/// A redirect with cookies, which is not stored.
pub fn redirect(location: &str, cookies: &[String]) -> Response {
    let mut response = Response::local(302, "", "");
    response.head.append(b"Location", location.as_bytes());
    add_private(&mut response, cookies);
    response
}

/// A JSON response, which is not stored.
pub fn json(status: u16, body: &serde_json::Value, cookies: &[String]) -> Response {
    let mut response = Response::local(status, "application/json", body.to_string());
    add_private(&mut response, cookies);
    response
}

/// An empty response, which is not stored.
pub fn empty(status: u16, cookies: &[String]) -> Response {
    let mut response = Response::local(status, "", "");
    add_private(&mut response, cookies);
    response
}

fn add_private(response: &mut Response, cookies: &[String]) {
    response.head.append(b"Cache-Control", b"no-store");
    response.head.append(b"Referrer-Policy", b"no-referrer");
    cookies.iter().for_each(|cookie| response.head.append(b"Set-Cookie", cookie.as_bytes()));
}

/// The error with cookies, and as a page if a browser loads one.
pub fn error(cause: GatewayError, is_page: bool, cookies: &[String]) -> GatewayError {
    let page = is_page.then(|| error_page(&cause));
    cause.with_details(|details| {
        details.headers.push(("Cache-Control".into(), "no-store".to_owned()));
        let cookies = cookies.iter().map(|cookie| ("Set-Cookie".into(), cookie.clone()));
        details.headers.extend(cookies);
        if let Some(page) = page {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'".to_owned();
            details.headers.push(("Content-Security-Policy".into(), policy));
            details.body = Some(("text/html; charset=utf-8".to_owned(), page.into()));
        }
    })
}

fn error_page(cause: &GatewayError) -> String {
    let (title, detail, code) = (cause.code.title(), escape(&cause.detail), cause.code.name());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em}}</style>\
         <h1>{title}</h1><p>{detail}.</p><p>Code: <code>{code}</code></p><p><a href=\"/\">Start page</a></p></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
