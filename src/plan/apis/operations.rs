//! The operations of an API.

use crate::{
    config::{Diagnostics, Spanned, codes},
    plan::document::apis::OperationDocument,
    stages::program::{
        entities::{Example, Operation},
        target::OperationTemplate,
    },
};
use std::sync::Arc;

/// Compiles an operation.
pub fn operation(
    id: &Spanned<String>,
    document: &Spanned<OperationDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Operation>> {
    let mut text = |name: &str, setting: &Option<Spanned<String>>| match setting {
        Some(text) if !text.trim().is_empty() => Some(text.value.clone()),
        _ => {
            diagnostics.error(
                codes::API_ENTITY,
                document.span,
                format!("the operation \"{}\" needs {name}", id.value),
            );
            None
        }
    };
    let method = text("Method", &document.method);
    let url_template = text("UrlTemplate", &document.url_template);
    let (method, url_template) = (method?, url_template?);
    let template = template(&url_template, document, diagnostics)?;
    let name = document.display_name.as_ref().map_or_else(|| id.value.clone(), |name| name.value.clone());
    let responses = document.responses.as_ref().map(|text| text.value.0.as_str());
    Some(Arc::new(Operation {
        id: id.value.clone(),
        name,
        method: method.to_uppercase(),
        url_template,
        template,
        examples: responses.map(examples).unwrap_or_default(),
    }))
}

/// A template whose placeholders have different names.
fn template(
    text: &str,
    document: &Spanned<OperationDocument>,
    diagnostics: &mut Diagnostics,
) -> Option<OperationTemplate> {
    let parsed = OperationTemplate::parse(text).map_err(|message| message.to_string());
    let checked = parsed.and_then(|template| {
        let names: Vec<&str> = template.names().collect();
        let repeated = names.iter().enumerate().find(|(at, name)| names[..*at].contains(*name));
        match repeated {
            Some((_, name)) => Err(format!("the placeholder {{{name}}} is there twice")),
            None => Ok(template),
        }
    });
    match checked {
        Ok(template) => Some(template),
        Err(message) => {
            let span = document.url_template.as_ref().map_or(document.span, |text| text.span);
            diagnostics.error(codes::API_ENTITY, span, format!("invalid UrlTemplate: {message}"));
            None
        }
    }
}

/// The examples of `Responses`.
fn examples(text: &str) -> Vec<Example> {
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let mut all = Vec::new();
    for (status, response) in json.as_object().into_iter().flatten() {
        let Ok(status) = status.parse::<u16>() else { continue };
        let contents = response["content"].as_object();
        for (media_type, content) in contents.into_iter().flatten() {
            let body = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) if !media_type.contains("json") => text.clone(),
                value => value.to_string(),
            };
            let several = content["examples"].as_object().into_iter().flatten();
            let mut bodies: Vec<String> = several.map(|(_, example)| body(&example["value"])).collect();
            if let Some(example) = content.get("example") {
                bodies.insert(0, body(example));
            }
            all.push(Example { status, media_type: media_type.clone(), bodies });
        }
    }
    all
}
