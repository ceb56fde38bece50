//! Liquid templates of `set-body`: translated to the template engine of the gateway.

use crate::{
    base::expr::{
        ExpressionContext, Member, Value, to_json, xml,
        xml_json::{ToJson, xml_to_value},
    },
    pipeline::body::Body,
    stages::program::{Context, Failure},
};
use minijinja::Environment;
use std::sync::Arc;

/// Instructions of one rendering.
const FUEL: u64 = 1_000_000;

/// A template, translated.
#[derive(Clone, Debug)]
pub struct Template(Arc<Environment<'static>>);

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        add_filters(&mut environment);
        environment
            .add_template_owned("body", translate(text))
            .map_err(|error| format!("invalid Liquid template: {error}"))?;
        Ok(Template(Arc::new(environment)))
    }

    /// Renders the template for the message of the section.
    pub fn render(&self, context: &Context<'_>) -> Result<String, Failure> {
        let failed = |error: minijinja::Error| Failure::statement(format!("set-body: {}", error.kind()));
        let template = self.0.get_template("body").map_err(failed)?;
        let values = minijinja::context! {
            body => minijinja::value::Serde(&body(context)?),
            context => minijinja::value::Serde(&members(context)),
        };
        template.render(values).map_err(failed)
    }
}

/// The body of the message, parsed by its `Content-Type`.
fn body(context: &Context<'_>) -> Result<serde_json::Value, Failure> {
    let (head, bytes) = match context.section.is_response() {
        true => match &context.response {
            Some(response) => match &response.body {
                Body::Bytes(bytes) => (&response.head, bytes.clone()),
                _ => return Ok(serde_json::Value::Null),
            },
            None => return Ok(serde_json::Value::Null),
        },
        false => (&context.exchange.request, context.request_body().cloned().unwrap_or_default()),
    };
    if bytes.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    let media_type =
        head.get(b"Content-Type").map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
    let text = String::from_utf8_lossy(&bytes);
    if media_type.is_some_and(|media_type| media_type.contains("xml")) {
        let root = xml::parse(&text).map_err(|error| {
            Failure::content(context.section, format!("the body is not valid XML: {error}"))
        })?;
        return to_json(&xml_to_value(&root, ToJson { is_javascript_friendly: true, always_lists: false }))
            .map_err(|error| Failure::expression(&error));
    }
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| text.into_owned().into()))
}

/// The members of `context` that templates read.
fn members(context: &Context<'_>) -> serde_json::Value {
    let leaf = |member: Member| {
        context.member(member).ok().and_then(|value| to_json(&value).ok()).unwrap_or_default()
    };
    let map = |member: Member| {
        let entries = context.entries(member).unwrap_or_default();
        let joined = entries.into_iter().map(|(name, value)| {
            let value = match &value {
                Value::List(items) if items.len() == 1 => items[0].clone(),
                value => value.clone(),
            };
            (name, to_json(&value).unwrap_or_default())
        });
        serde_json::Value::Object(joined.collect())
    };
    serde_json::json!({
        "RequestId": leaf(Member::RequestId),
        "Request": {
            "Method": leaf(Member::RequestMethod),
            "Url": leaf(Member::RequestUrl),
            "OriginalUrl": leaf(Member::OriginalUrl),
            "Headers": map(Member::RequestHeaders),
            "MatchedParameters": map(Member::MatchedParameters),
            "IpAddress": leaf(Member::RequestIpAddress),
        },
        "Response": { "StatusCode": leaf(Member::ResponseStatusCode), "StatusReason": leaf(Member::ResponseStatusReason) },
        "Variables": map(Member::Variables),
        "Api": { "Id": leaf(Member::ApiId), "Name": leaf(Member::ApiName), "Path": leaf(Member::ApiPath) },
        "Operation": { "Id": leaf(Member::OperationId), "Name": leaf(Member::OperationName) },
        "Product": { "Id": leaf(Member::ProductId), "Name": leaf(Member::ProductName) },
        "Subscription": { "Id": leaf(Member::SubscriptionId), "Name": leaf(Member::SubscriptionName) },
        "User": { "Id": leaf(Member::UserId), "Email": leaf(Member::UserEmail) },
    })
}

type TextFilter = fn(String) -> String;

/// The filters of Liquid, in the spelling of .NET and in the common one.
fn add_filters(environment: &mut Environment<'static>) {
    let text: [(&str, TextFilter); 8] = [
        ("upcase", |text| text.to_uppercase()),
        ("downcase", |text| text.to_lowercase()),
        ("capitalize", |text| {
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        }),
        ("strip", |text| text.trim().to_owned()),
        ("lstrip", |text| text.trim_start().to_owned()),
        ("rstrip", |text| text.trim_end().to_owned()),
        ("escape", |text| {
            let mut escaped = String::new();
            xml::escape_into(&text, true, &mut escaped);
            escaped
        }),
        ("url_encode", |text| crate::base::percent::percent_encoded(&text)),
    ];
    for (name, filter) in text {
        environment.add_filter(name, filter);
        environment.add_filter(capitalized(name), filter);
    }
    add_filters_with_arguments(environment);
}

fn add_filters_with_arguments(environment: &mut Environment<'static>) {
    for name in ["append", "Append"] {
        environment.add_filter(name, |text: String, end: String| text + &end);
    }
    for name in ["prepend", "Prepend"] {
        environment.add_filter(name, |text: String, start: String| start + &text);
    }
    for name in ["size", "Size"] {
        environment.add_filter(name, |value: minijinja::Value| value.len().unwrap_or(0));
    }
    for name in ["Replace", "Remove"] {
        environment.add_filter(name, |text: String, from: String, to: Option<String>| {
            text.replace(&from, &to.unwrap_or_default())
        });
    }
    for name in ["Split", "split"] {
        environment.add_filter(name, |text: String, separator: String| {
            text.split(separator.as_str()).map(str::to_owned).collect::<Vec<_>>()
        });
    }
    environment.add_filter("Default", |value: minijinja::Value, default: minijinja::Value| {
        if value.is_undefined() || value.is_none() || value.as_str() == Some("") { default } else { value }
    });
    environment.add_filter("Join", |items: Vec<String>, separator: Option<String>| {
        items.join(&separator.unwrap_or_else(|| " ".into()))
    });
    for name in ["date", "Date"] {
        environment.add_filter(name, |value: String, pattern: String| format_date(&value, &pattern));
    }
}

/// `UrlEncode` of `url_encode`.
fn capitalized(name: &str) -> String {
    let mut text = String::new();
    for part in name.split('_') {
        let mut chars = part.chars();
        text.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        text.extend(chars);
    }
    text
}

/// A date by a pattern of .NET or of `strftime`.
fn format_date(value: &str, pattern: &str) -> String {
    let Some(at) = crate::base::expr::parse_rfc3339(value) else { return value.to_owned() };
    let pattern = match pattern.contains('%') {
        true => pattern.to_owned(),
        false => pattern
            .replace("yyyy", "%Y")
            .replace("yy", "%y")
            .replace("MM", "%m")
            .replace("dd", "%d")
            .replace("HH", "%H")
            .replace("hh", "%I")
            .replace("mm", "%M")
            .replace("ss", "%S")
            .replace("fff", "%L"),
    };
    crate::base::expr::format_pattern(at, &pattern).unwrap_or_else(|| value.to_owned())
}

/// Liquid as the language of the template engine.
fn translate(text: &str) -> String {
    let (mut output, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        let next = [rest.find("{{"), rest.find("{%")].into_iter().flatten().min();
        let Some(at) = next else { break };
        output.push_str(&rest[..at]);
        let is_tag = rest[at..].starts_with("{%");
        let end = rest[at + 2..].find(if is_tag { "%}" } else { "}}" }).map(|end| at + 2 + end);
        let Some(end) = end else {
            rest = &rest[at..];
            break;
        };
        let inner = rest[at + 2..end].trim();
        if is_tag {
            output.push_str(&tag(inner));
        } else {
            output.push_str(&format!("{{{{ {} }}}}", filters(inner)));
        }
        rest = &rest[end + 2..];
    }
    output.push_str(rest);
    output
}

fn tag(inner: &str) -> String {
    let inner = inner.trim_matches('-').trim();
    let (word, rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    match word {
        "JSONArrayFor" | "JSONArray" => format!("{{% for {rest} %}}"),
        "endJSONArrayFor" | "endJSONArray" => "{% if not loop.last %},{% endif %}{% endfor %}".to_owned(),
        "elsif" => format!("{{% elif {} %}}", condition(rest)),
        "if" => format!("{{% if {} %}}", condition(rest)),
        "unless" => format!("{{% if not ({}) %}}", condition(rest)),
        "endunless" => "{% endif %}".to_owned(),
        "assign" => {
            let (name, value) = rest.split_once('=').unwrap_or((rest, "''"));
            format!("{{% set {} = {} %}}", name.trim(), filters(value.trim()))
        }
        "comment" => "{% if false %}".to_owned(),
        "endcomment" => "{% endif %}".to_owned(),
        _ => format!("{{% {inner} %}}"),
    }
}

/// `a contains b` and `nil`.
fn condition(text: &str) -> String {
    let text = text.replace(" nil", " none").replace("<>", "!=");
    match text.split_once(" contains ") {
        Some((container, item)) => format!("{} in {}", item.trim(), container.trim()),
        None => text,
    }
}

/// `value | Filter: a, b` as `value | Filter(a, b)`.
fn filters(text: &str) -> String {
    let mut parts = split_outside_quotes(text, '|').into_iter();
    let mut output = parts.next().unwrap_or_default().trim().to_owned();
    for part in parts {
        match part.split_once(':') {
            Some((name, arguments)) => output.push_str(&format!(" | {}({})", name.trim(), arguments.trim())),
            None => output.push_str(&format!(" | {}", part.trim())),
        }
    }
    output
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quote) = (vec![String::new()], None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == separator => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_is_not_closed_stays_as_it_is() {
        for text in ["{%}", "a {{}", "{{ a %}", "{%"] {
            assert_eq!(translate(text), text);
        }
    }
}
