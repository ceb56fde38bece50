//! Which parts of a request each variable of the rule language reads.

use crate::waf::language::rule::{Collection, Target, TargetUse};
use crate::waf::request::parts::Kind;

/// The kinds of values of a variable; none for numbers and internal variables.
pub fn kinds(collection: Collection) -> &'static [Kind] {
    match collection {
        Collection::Args => &[Kind::QueryValue, Kind::BodyValue],
        Collection::ArgsGet => &[Kind::QueryValue],
        Collection::ArgsPost => &[Kind::BodyValue],
        Collection::ArgsNames => &[Kind::QueryName, Kind::BodyName],
        Collection::ArgsGetNames => &[Kind::QueryName],
        Collection::ArgsPostNames => &[Kind::BodyName],
        Collection::RequestCookies => &[Kind::CookieValue],
        Collection::RequestCookiesNames => &[Kind::CookieName],
        Collection::RequestHeaders => &[Kind::HeaderValue],
        Collection::RequestHeadersNames => &[Kind::HeaderName],
        Collection::RequestLine => &[Kind::Line],
        Collection::RequestMethod => &[Kind::Method],
        Collection::RequestProtocol => &[Kind::Protocol],
        Collection::RequestUri => &[Kind::Uri],
        Collection::RequestUriRaw => &[Kind::RawUri],
        Collection::RequestFilename | Collection::PathInfo => &[Kind::Path],
        Collection::RequestBasename => &[Kind::BaseName],
        Collection::RequestBody => &[Kind::Body],
        Collection::QueryString => &[Kind::QueryString],
        Collection::Files | Collection::MultipartFilename => &[Kind::FileName],
        Collection::FilesNames | Collection::MultipartName => &[Kind::FileField],
        Collection::MultipartPartHeaders => &[Kind::PartHeader],
        Collection::XmlText => &[Kind::XmlText],
        Collection::XmlAttributes => &[Kind::XmlAttribute],
        Collection::ResponseBody => &[Kind::ResponseBody],
        Collection::ResponseStatus => &[Kind::ResponseStatus],
        Collection::ResponseHeaders => &[Kind::ResponseHeaderValue],
        Collection::ResponseHeadersNames => &[Kind::ResponseHeaderName],
        Collection::ResponseProtocol => &[Kind::ResponseProtocol],
        _ => &[],
    }
}

/// Whether the variables of a link include a value; `name` is the name of the value.
pub fn is_target(targets: &[Target], kind: Kind, name: &[u8]) -> bool {
    let applies = |target: &&Target| kinds(target.collection).contains(&kind);
    let mut is_included = false;
    for target in targets.iter().filter(applies) {
        match target.usage {
            TargetUse::Include if !is_included => is_included = target.selector.is_selecting(name),
            TargetUse::Exclude if target.selector.is_selecting(name) => return false,
            _ => {}
        }
    }
    is_included
}
