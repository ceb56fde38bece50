use super::reader::{BodyReader, BodySettings};
use crate::waf::request::head::RequestHead;
use crate::waf::request::parts::{Kind, Request};

const SETTINGS: BodySettings = BodySettings { inspect_limit: 1 << 16, is_guessing: true };

fn request(content_type: &str) -> Request {
    Request::new(&RequestHead {
        method: b"POST",
        target: b"/",
        protocol: b"HTTP/1.1",
        headers: &[(b"Content-Type", content_type.as_bytes())],
        remote_address: [127, 0, 0, 1].into(),
        id: b"1",
    })
}

/// The arguments of a body that arrives in pieces of `size` bytes, and the error.
fn read(content_type: &str, body: &[u8], size: usize) -> (Vec<String>, Option<&'static str>) {
    let mut request = request(content_type);
    let mut reader = BodyReader::new(&mut request, SETTINGS);
    body.chunks(size).for_each(|chunk| reader.push(chunk, &mut request));
    reader.finish(&mut request);
    let kinds = [Kind::BodyValue, Kind::FileName, Kind::XmlText, Kind::XmlAttribute];
    let values = request.values().iter().filter(|value| kinds.contains(&value.kind));
    let text = |value: &crate::waf::request::parts::Value| {
        format!("{}={}", request.part(value), String::from_utf8_lossy(request.bytes(value.value)))
    };
    (values.map(text).collect(), request.body_error)
}

fn check(content_type: &str, body: &str, expected: &[&str]) {
    for size in [1, 3, body.len().max(1)] {
        let (arguments, error) = read(content_type, body.as_bytes(), size);
        assert_eq!(
            (arguments.iter().map(String::as_str).collect::<Vec<_>>(), error),
            (expected.to_vec(), None),
            "{body}"
        );
    }
}

fn check_error(content_type: &str, body: &str, expected: &str) {
    for size in [1, body.len().max(1)] {
        assert_eq!(read(content_type, body.as_bytes(), size).1, Some(expected), "{body}");
    }
}

#[test]
fn json_members_become_arguments_with_their_paths() {
    let body = r#"{"a":[{"b":"x\u00e9"},2],"c":{"":true,"d.e":null}, "f":"\ud83d\ude00"}"#;
    let expected =
        ["json $.a[0].b=xé", "json $.a[1]=2", "json $.c[\"\"]=true", "json $.c[\"d.e\"]=", "json $.f=😀"];
    check("application/json", body, &expected);
    check("application/json", "", &[]);
    check("application/vnd.api+json", "\"top\"", &["json $=top"]);
}

#[test]
fn invalid_json_is_malformed() {
    for body in ["{", "{\"a\":1}x", "[1,]", "{\"a\" 1}", "01", "\"\u{1}\"", "nul", "[1}"] {
        assert!(read("application/json", body.as_bytes(), 1).1.is_some(), "{body}");
    }
    check_error("application/json", &"[".repeat(65), "JSON is nested too deeply");
}

#[test]
fn forms_are_decoded_once() {
    check(
        "application/x-www-form-urlencoded",
        "a=1+2&b%5b%5d=%2541&c",
        &["form a=1 2", "form b[]=%41", "form c="],
    );
}

const BOUNDARY: &str = "multipart/form-data; boundary=\"xYz\"";

#[test]
fn multipart_fields_and_files_are_parts() {
    let body = "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--xYz\r\nContent-Disposition: \
                form-data; name=\"f\"; filename=\"b.txt\"\r\nContent-Type: text/plain\r\n\r\n--xY\r\n--xYz--\r\n";
    check(BOUNDARY, body, &["form a=one", "file name f=b.txt"]);
}

#[test]
fn multipart_violations_are_malformed() {
    let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    for (body, expected) in [
        (format!("--xYz\r\n{part}--xYz\r\n"), "multipart without its last boundary"),
        (format!("junk\r\n--xYz\r\n{part}--xYz--"), "data before the first boundary"),
        (format!("--xYz\r\n{part}--xYz--\r\nmore"), "data after the last boundary"),
        (format!("--xYz\n{part}--xYz--"), "bare LF in a multipart body"),
        (format!("--xYz\r\n a\r\n{part}--xYz--"), "folded header of a part"),
        (
            "--xYz\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--xYz--".into(),
            "invalid disposition of a part",
        ),
    ] {
        check_error(BOUNDARY, &body, expected);
    }
    check_error("multipart/form-data", "", "multipart without a boundary");
}

#[test]
fn xml_text_and_attributes_are_values_and_entities_expand() {
    let body = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY e \"<scr\">]><a b='1'>x&lt;&e;<c xmlns='n'>&#65;</c><![CDATA[<z>]]></a>";
    check("application/xml", body, &["xml=x<<scrA<z>", "xml=1"]);
}

#[test]
fn xml_that_is_not_well_formed_is_malformed() {
    for body in ["<a><b></a>", "<a>", "<a/><b/>", "x", "<a>&nope;</a>", "<a b=1/>"] {
        assert!(read("text/xml", body.as_bytes(), 1).1.is_some(), "{body}");
    }
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \
                \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \
                \"&d;&d;&d;&d;&d;&d;&d;&d;\"><!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;\">]><a>&f;</a>";
    assert_eq!(read("text/xml", bomb.as_bytes(), 64).1, Some("XML entities expand too far"));
}

#[test]
fn the_content_decides_about_an_unknown_type() {
    check("application/x-unknown", "{\"a\":1}", &["json $.a=1"]);
    check("text/plain", " <a>t</a>", &["xml=t"]);
    check("text/plain", "q=1", &["form q=1"]);
    check("text/plain", "hello you", &["form body=hello you"]);
    check("image/png", "\u{1}PNG", &[]);
    check("application/x-ndjson", "{\"a\":1}\n{\"a\":2}\n", &["json $.a=1", "json $.a=2"]);
    check("application/x-unknown", "{broken", &[]);
}
