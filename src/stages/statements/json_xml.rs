//! `json-to-xml` and `xml-to-json`.

use super::{
    compiler::done,
    messages::{switch, word},
    schema::{Attribute, Kind, attribute, expression, flag},
    spec::Spec,
};
use crate::{
    base::expr::{
        Digits, Usage, parse_json, to_json, xml,
        xml_json::{ToJson, ToXml, value_to_xml, xml_to_value},
    },
    pipeline::{body::Body, head::Head},
    stages::program::{
        Context, Failure, Flow, Statement, Template, body::set_response_body, template::usage_of,
    },
};

const ACCEPT: Attribute = attribute(
    "consider-accept-header",
    Kind::Bool,
    "Whether the client must accept the new format. Default: true.",
)
.dynamic();

const FROM_JSON: [&str; 2] = ["always", "content-type-json"];

const FROM_XML: [&str; 2] = ["always", "content-type-xml"];

const KINDS: [&str; 2] = ["direct", "javascript-friendly"];

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "json-to-xml",
        sections: "ioe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute(
                "apply",
                Kind::Choice(&FROM_JSON),
                "`always`, or `content-type-json`: JSON bodies only.",
            )
            .dynamic()
            .required(),
            ACCEPT,
            flag(
                "parse-date",
                "Whether times in texts are written as XML writes them (`2024-05-01T10:00:00.500Z` as `2024-05-01T10:00:00.5Z`, `/Date(0)/` as `1970-01-01T00:00:00Z`). Default: true.",
            ),
            expression("namespace-separator", "Parts prefix and name in member names. Default: `_`."),
            expression("namespace-prefix", "Members that begin with it are namespace declarations."),
            expression("attribute-block-name", "The member whose members are attributes."),
        ],
        about: "Converts a JSON body to XML.",
        compile: |args, _| {
            done(JsonToXml {
                apply: args.template("apply"),
                accept: args.template("consider-accept-header"),
                separator: args.template("namespace-separator"),
                prefix: args.template("namespace-prefix"),
                attributes: args.template("attribute-block-name"),
                parses_dates: args.flag("parse-date", true),
            })
        },
    },
    Spec {
        name: "xml-to-json",
        sections: "ioe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute("kind", Kind::Choice(&KINDS), "`direct` or `javascript-friendly`.")
                .dynamic()
                .required(),
            attribute("apply", Kind::Choice(&FROM_XML), "`always`, or `content-type-xml`: XML bodies only.")
                .dynamic()
                .required(),
            ACCEPT,
            attribute(
                "always-array-child-elements",
                Kind::Bool,
                "Whether every child is a list. Default: false.",
            )
            .dynamic(),
        ],
        about: "Converts an XML body to JSON.",
        compile: |args, _| {
            done(XmlToJson {
                kind: args.template("kind"),
                apply: args.template("apply"),
                accept: args.template("consider-accept-header"),
                lists: args.template("always-array-child-elements"),
            })
        },
    },
];

/// Whether a media type is of a format, with its structured suffix.
fn is_format(media_type: &str, format: &str) -> bool {
    let plain = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    plain == format!("application/{format}")
        || (format == "xml" && plain == "text/xml")
        || plain.ends_with(&format!("+{format}"))
}

/// Whether a message is converted.
fn applies(
    context: &Context<'_>,
    (apply, words): (&Option<Template>, &[&'static str]),
    accept: &Option<Template>,
    source: &str,
    wanted: &str,
) -> Result<bool, Failure> {
    let text = |head: &Head, name: &[u8]| {
        head.get_all(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    if switch(accept, true, context)? {
        let accepted = text(&context.exchange.request, b"Accept");
        if !accepted.split(',').any(|media_type| is_format(media_type, wanted)) {
            return Ok(false);
        }
    }
    if word(apply, words, "always", context)? == "always" {
        return Ok(true);
    }
    let head = match context.section.is_response() {
        true => context.response.as_ref().map(|response| &response.head),
        false => Some(&context.exchange.request),
    };
    Ok(head.is_some_and(|head| is_format(&text(head, b"Content-Type"), source)))
}

/// The body of the message of the section; `None` without one.
fn body(context: &Context<'_>) -> Option<bytes::Bytes> {
    let body = match context.section.is_response() {
        true => match &context.response.as_ref()?.body {
            Body::Bytes(bytes) => bytes.clone(),
            _ => return None,
        },
        false => context.request_body()?.clone(),
    };
    (!body.is_empty()).then_some(body)
}

fn set(context: &mut Context<'_>, text: String, media_type: &str) {
    match context.section.is_response() {
        true => set_response_body(context, text.into()),
        false => context.set_request_body(text.into()),
    }
    if let Some(head) = context.message_head() {
        head.set(b"Content-Type", media_type.as_bytes());
    }
}

#[derive(Debug)]
struct JsonToXml {
    apply: Option<Template>,
    accept: Option<Template>,
    separator: Option<Template>,
    prefix: Option<Template>,
    attributes: Option<Template>,
    parses_dates: bool,
}

impl Statement for JsonToXml {
    fn usage(&self) -> Usage {
        let optional = self.accept.iter().chain(&self.separator).chain(&self.prefix).chain(&self.attributes);
        usage_of(optional.chain(&self.apply))
    }

    fn reads_message_body(&self) -> bool {
        true
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        if !applies(context, (&self.apply, &FROM_JSON[..]), &self.accept, "json", "xml")? {
            return Ok(Flow::Next);
        }
        let Some(body) = body(context) else { return Ok(Flow::Next) };
        let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        let json = parse_json(bytes, Digits::All)
            .map_err(|_| Failure::content(context.section, "the body is not valid JSON"))?;
        let text = |template: &Option<Template>, default: &str| match template {
            None => Ok(default.to_owned()),
            Some(template) => template.text_or_empty(context).map(|text| text.to_string()),
        };
        let options = ToXml {
            separator: text(&self.separator, "_")?,
            prefix: text(&self.prefix, "")?,
            attributes: text(&self.attributes, "")?,
            parses_dates: self.parses_dates,
        };
        let document = xml::write_element(&value_to_xml(&json, &options));
        set(context, document, "application/xml; charset=utf-8");
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
struct XmlToJson {
    kind: Option<Template>,
    apply: Option<Template>,
    accept: Option<Template>,
    lists: Option<Template>,
}

impl Statement for XmlToJson {
    fn usage(&self) -> Usage {
        usage_of(self.accept.iter().chain(&self.lists).chain(&self.kind).chain(&self.apply))
    }

    fn reads_message_body(&self) -> bool {
        true
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        if !applies(context, (&self.apply, &FROM_XML[..]), &self.accept, "xml", "json")? {
            return Ok(Flow::Next);
        }
        let Some(body) = body(context) else { return Ok(Flow::Next) };
        let section = context.section;
        let text = String::from_utf8(body.to_vec())
            .map_err(|_| Failure::content(section, "the body is not UTF-8"))?;
        let root = xml::parse(&text)
            .map_err(|error| Failure::content(section, format!("the body is not valid XML: {error}")))?;
        let options = ToJson {
            is_javascript_friendly: word(&self.kind, &KINDS, "direct", context)? == "javascript-friendly",
            always_lists: switch(&self.lists, false, context)?,
            ..ToJson::default()
        };
        let json = to_json(&xml_to_value(&root, options)).map_err(|error| Failure::expression(&error))?;
        set(context, json.to_string(), "application/json");
        Ok(Flow::Next)
    }
}
