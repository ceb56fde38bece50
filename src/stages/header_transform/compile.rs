//! `UpstreamHeaderTransform` and `DownstreamHeaderTransform` → edits of header fields.

use super::options::{HeaderEditDocument, HeaderEditMap, HeaderForm};
use super::{Action, HeaderEdit, HeaderValueTemplate, OcelotFirstItem, Segment};
use crate::base::bytes::is_token;
use crate::config::options::merge_maps;
use crate::config::values::Setting;
use crate::config::{Diagnostics, OcelotBehavior, OcelotTolerated, Span, Spanned, codes, suggest};

/// Headers of the body: Ocelot manages them separately.
const CONTENT_FIELDS: [&str; 11] = [
    "Allow",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "Content-Type",
    "Expires",
    "Last-Modified",
];

/// Headers of the body: Ocelot manages them separately.
const FRAMING_FIELDS: [&str; 9] = [
    "Connection",
    "Content-Length",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
];

/// The placeholders that are not values of the route.
const PLACEHOLDERS: [&str; 5] =
    ["BaseUrl", "RemoteIpAddress", "UpstreamHost", "TraceId", "DownstreamBaseUrl"];

/// The message whose headers are transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformSide {
    Request,
    Response,
}

/// Compiles header transforms; invalid entries are reported and omitted.
pub struct HeaderTransformCompiler<'r, 'o> {
    pub side: TransformSide,
    pub ocelot: bool,
    pub base_url: &'r str,
    /// The names of the route's values.
    pub names: &'r [Box<str>],
    pub diagnostics: &'o mut Diagnostics,
    /// The span of the current entry.
    pub span: Span,
}

const OCELOT_IGNORED: OcelotBehavior = OcelotBehavior::Effect("the entry is ignored");

impl HeaderTransformCompiler<'_, '_> {
    /// The edits of a route: its own entries, and the global ones whose header it does not name.
    pub fn read(&mut self, own: &HeaderEditMap, global: &HeaderEditMap) -> Vec<HeaderEdit> {
        let mut changes = Vec::new();
        for (name, edit) in merge_maps(own, global) {
            self.span = edit.map_or(name.span, |edit| edit.span);
            let action = self.is_editable(name).then(|| self.action(name, edit)).flatten();
            changes.extend(action.map(|action| HeaderEdit { name: name.value.as_str().into(), action }));
        }
        changes
    }

    fn report(&mut self, result: OcelotBehavior, message: String, help: &str) {
        let tolerated = OcelotTolerated::new(codes::BAD_HEADER_CHANGE, result, message).help(help);
        tolerated.report(self.diagnostics, self.ocelot, self.span);
    }

    fn is_editable(&mut self, name: &str) -> bool {
        if !is_token(name.as_bytes()) {
            self.report(
                OCELOT_IGNORED,
                format!("invalid header name \"{name}\""),
                "expected a name such as X-Name",
            );
            return false;
        }
        let framing = is_framing(name);
        if framing {
            let message = format!("{name} is a framing or hop-by-hop field: the gateway writes it");
            self.report(OCELOT_IGNORED, message, "remove it");
        }
        !framing
    }

    fn action(&mut self, name: &str, edit: Option<&Spanned<HeaderEditDocument>>) -> Option<Action> {
        match edit.map(|edit| &edit.value) {
            None => Some(Action::Remove),
            Some(HeaderEditDocument::Form(form)) => self.object_form(form),
            Some(HeaderEditDocument::Text(text)) => match text.split_once(',') {
                Some((find, rest)) => self.find(name, find, rest),
                None => self.add(name, text.trim()),
            },
        }
    }

    /// The short form without a comma: sets the header of a request; adds one to a response, where a header of the
    /// backend is retained unless it is one of the body.
    fn add(&mut self, name: &str, text: &str) -> Option<Action> {
        if text.is_empty() && !self.ocelot {
            self.report(OCELOT_IGNORED, format!("empty value of {name}"), "use null to remove the header");
        }
        let value = if self.ocelot { self.whole_placeholder(text) } else { Some(self.text(text)) };
        match value {
            None => (self.side == TransformSide::Request).then_some(Action::Remove),
            Some(value) if self.side == TransformSide::Request || among(&CONTENT_FIELDS, name) => {
                Some(Action::Set(value))
            }
            Some(value) => Some(Action::Default(value)),
        }
    }

    /// Ocelot resolves a placeholder only if it is the whole value. `None`: it has no value.
    fn whole_placeholder(&mut self, text: &str) -> Option<HeaderValueTemplate> {
        let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return (!text.is_empty()).then(|| HeaderValueTemplate(vec![self.plain(text)]));
        };
        let piece = self.placeholder(name);
        let piece = piece.filter(|piece| !matches!(piece, Segment::Value { .. } | Segment::BackendUrl));
        if piece.is_none() {
            self.unknown(name);
        }
        piece.map(|piece| HeaderValueTemplate(vec![piece]))
    }

    /// The short form with a comma: the text to find, and its replacement.
    fn find(&mut self, name: &str, find: &str, rest: &str) -> Option<Action> {
        if find.is_empty() {
            let message = format!("the transform of {name} has no text to find");
            self.diagnostics
                .error(codes::BAD_HEADER_CHANGE, self.span, message)
                .help("expected find,replace");
            return None;
        }
        if rest.contains(',') {
            let message = format!("the transform of {name} has more than one comma");
            let at_length =
                "use the long form: { \"Set\": \"a, b, c\" } or { \"Find\": \"a\", \"Replace\": \"b, c\" }";
            self.report(
                OcelotBehavior::Effect("the text after the second comma is dropped"),
                message,
                at_length,
            );
        }
        let with = rest.split(',').next().unwrap_or_default().trim_start();
        if self.ocelot { self.ocelot_find_replace(name, find, with) } else { Some(self.replace(find, with)) }
    }

    fn ocelot_find_replace(&mut self, name: &str, find: &str, with: &str) -> Option<Action> {
        if self.side == TransformSide::Response && among(&CONTENT_FIELDS, name) {
            let message = format!("{name} is a header of the body");
            self.report(OcelotBehavior::Effect("it is not edited"), message, "use a value without a comma");
            return None;
        }
        let Some(mut with) = self.interpolate_base_url(with) else {
            let message =
                format!("the placeholder in the transform of {name} has no value when Ocelot resolves it");
            self.report(OCELOT_IGNORED, message, "only {BaseUrl} has a value");
            return None;
        };
        let backend = self.side == TransformSide::Response && find == "{DownstreamBaseUrl}";
        if backend && !with.ends_with('/') {
            with.push('/');
        }
        let find = if backend { Segment::BackendUrl } else { self.plain(find) };
        let with = HeaderValueTemplate(vec![self.plain(&with)]);
        let first = Some(if self.side == TransformSide::Request {
            OcelotFirstItem::AnyCase
        } else {
            OcelotFirstItem::ExactName
        });
        Some(Action::Replace { pattern: HeaderValueTemplate(vec![find]), with, first })
    }

    /// Ocelot resolves the first placeholder of the replacement before there is a request: only `{BaseUrl}` has a
    /// value.
    fn interpolate_base_url(&self, with: &str) -> Option<String> {
        let inner = with.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        match inner {
            None => Some(with.to_owned()),
            Some(("BaseUrl", _)) => Some(with.replace("{BaseUrl}", self.base_url)),
            Some(_) => None,
        }
    }

    fn replace(&mut self, find: &str, with: &str) -> Action {
        let (find, mut with) = (self.text(find), self.text(with));
        let ends_with_slash = match with.0.last() {
            Some(Segment::Literal(text)) => text.ends_with('/'),
            last => last == Some(&Segment::BackendUrl),
        };
        if find.0 == [Segment::BackendUrl] && !ends_with_slash {
            with.0.push(Segment::Literal("/".into()));
        }
        Action::Replace { pattern: find, with, first: None }
    }

    /// The long form.
    fn object_form(&mut self, form: &HeaderForm) -> Option<Action> {
        let text = |set: &Setting<String>| set.as_ref().map(|set| set.value.clone());
        match [&form.set, &form.append, &form.otherwise, &form.find, &form.replace].map(text) {
            [Some(value), None, None, None, None] => Some(Action::Set(self.text(value.trim()))),
            [None, Some(value), None, None, None] => Some(Action::Append(self.text(value.trim()))),
            [None, None, Some(value), None, None] => Some(Action::Default(self.text(value.trim()))),
            [None, None, None, Some(find), Some(with)] if !find.is_empty() => {
                Some(self.replace(&find, &with))
            }
            _ => {
                let message = "expected one of Set, Append, Default, or Find with Replace".to_owned();
                self.report(OCELOT_IGNORED, message, "use null to remove the header");
                None
            }
        }
    }

    /// Text with placeholders anywhere; braces around anything but a name are literal.
    fn text(&mut self, text: &str) -> HeaderValueTemplate {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, inner)) = rest.split_once('{') {
            plain.push_str(before);
            let Some((name, after)) = inner.split_once('}').filter(|(name, _)| is_name(name)) else {
                plain.push('{');
                rest = inner;
                continue;
            };
            if !plain.is_empty() {
                pieces.push(self.plain(&std::mem::take(&mut plain)));
            }
            match self.placeholder(name) {
                Some(piece) => pieces.push(piece),
                None => {
                    self.unknown(name);
                    // It never has a value: the header is not sent.
                    pieces.push(Segment::Value { index: usize::MAX, name: name.into() });
                }
            }
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(self.plain(&plain));
        }
        HeaderValueTemplate(pieces)
    }

    /// Text that is valid in a header value.
    fn plain(&mut self, text: &str) -> Segment {
        if !text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            let message = format!("invalid characters in a header value: \"{}\"", text.escape_debug());
            let diagnostic = self.diagnostics.error(codes::BAD_HEADER_CHANGE, self.span, message);
            diagnostic.help("must be printable ASCII");
        }
        Segment::Literal(text.into())
    }

    fn placeholder(&self, name: &str) -> Option<Segment> {
        Some(match name {
            "BaseUrl" => Segment::Literal(self.base_url.into()),
            "RemoteIpAddress" => Segment::ClientAddress,
            "UpstreamHost" => Segment::Host,
            "TraceId" => Segment::TraceId,
            "DownstreamBaseUrl" if self.side == TransformSide::Response => Segment::BackendUrl,
            _ => {
                let index = self.names.iter().position(|known| **known == *name)?;
                Segment::Value { index, name: name.into() }
            }
        })
    }

    fn unknown(&mut self, name: &str) {
        let result = match self.side {
            TransformSide::Request => {
                OcelotBehavior::Effect("the header of the client is removed and none is sent")
            }
            TransformSide::Response => OCELOT_IGNORED,
        };
        let known = PLACEHOLDERS.into_iter().chain(self.names.iter().map(|name| &**name));
        let meant = suggest::closest_match(name, known).map(|name| format!("{{{name}}}"));
        OcelotTolerated::new(
            codes::BAD_HEADER_CHANGE,
            result,
            format!("unknown placeholder {{{name}}}"),
        )
        .did_you_mean(meant.as_deref())
        .help("available are {BaseUrl}, {RemoteIpAddress}, {UpstreamHost}, {TraceId}, in responses {DownstreamBaseUrl}, and the placeholders of the route")
        .report(self.diagnostics, self.ocelot, self.span);
    }
}

/// Whether the header is a framing or hop-by-hop field.
pub fn is_framing(name: &str) -> bool {
    among(&FRAMING_FIELDS, name)
}

fn among(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Whether the text is valid as the name of a placeholder.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}
