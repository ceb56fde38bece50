//! The OpenAPI document of the pages.

use super::{error::ProblemBody, page::page};
use crate::pipeline::internal::Response;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Info, OpenApi, PathItem, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

const DESCRIPTION: &str = "The administration API of margay. GET and HEAD change nothing and need the role `read`; every \
                           other method needs the role `write`. On a loopback address or a Unix domain socket no token is needed \
                           unless tokens are configured.";
/// The errors that every page has: status and meaning.
const ERRORS: [(&str, &str); 3] = [
    ("401", "No token, or an unknown one (`admin.token`)."),
    (
        "403",
        "The role is not sufficient (`admin.role`), or Host or Origin is not accepted (`admin.host`, `admin.origin`).",
    ),
    ("default", "Any other error, a problem with a stable `code`."),
];

/// Completes the document that was collected from the pages, as JSON.
pub fn complete(mut document: OpenApi) -> String {
    let mut info = Info::new("margay administration", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    document.info = info;
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.security_schemes.insert("token".to_owned(), SecurityScheme::Http(bearer).into());
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(add_common_parts);
    }
    document.to_json().unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

fn add_common_parts(operation: &mut Operation) {
    operation.security =
        Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", Vec::<String>::new())]);
    for (status, description) in ERRORS {
        let content = ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name(ProblemBody::name()))))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content(crate::pipeline::problem::MEDIA_TYPE, content)
            .build();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = "Success.".to_owned();
        }
    }
}

/// The OpenAPI 3.1 document of this API.
#[utoipa::path(get, path = "/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json")))]
pub async fn openapi(axum::Extension(document): axum::Extension<Document>) -> Response {
    page("application/json", (document.0)().to_owned())
}

/// Generates the document, or returns it.
#[derive(Clone, Copy, Debug)]
pub struct Document(pub fn() -> &'static str);
