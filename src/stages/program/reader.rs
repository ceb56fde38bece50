//! `context` for expressions.

use super::{context::Context, target::decoded};
use crate::{
    base::expr::{EvalError, ExpressionContext, Member, Value, query_map, url_parts},
    pipeline::{
        body::Body,
        head::{Head, KnownHeader},
    },
};
use bytes::Bytes;
use std::time::UNIX_EPOCH;

fn lossy(bytes: &[u8]) -> Value {
    Value::text(String::from_utf8_lossy(bytes).as_ref())
}

/// The lines of a field.
fn lines(head: &Head, name: &str) -> Option<Value> {
    let lines: Vec<Value> = head.get_all(name.as_bytes()).map(lossy).collect();
    (!lines.is_empty()).then(|| Value::list(lines))
}

fn all_lines(head: &Head) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for (_, name, _) in head.fields() {
        let name = String::from_utf8_lossy(name).into_owned();
        if !all.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            let value = lines(head, &name).unwrap_or_default();
            all.push((name, value));
        }
    }
    all
}

fn absent(what: &str) -> EvalError {
    EvalError::new(format!("context.{what} is null"))
}

impl ExpressionContext for Context<'_> {
    fn member(&self, member: Member) -> Result<Value, EvalError> {
        let (group, _) = member.path().split_once('.').unwrap_or((member.path(), ""));
        match group {
            "Api" => self.api_member(member),
            "Operation" => self.operation_member(member),
            "Product" => self.product_member(member),
            "Subscription" => self.subscription_member(member),
            "User" => self.user_member(member),
            "Request" => self.request_member(member),
            "Response" => self.response_member(member),
            "LastError" => self.last_error_member(member),
            "Deployment" => Ok(match member {
                Member::Deployment => Value::Object(member),
                Member::DeploymentRegion => Value::text(self.shared.deployment.region.as_str()),
                _ => Value::text(self.shared.deployment.name.as_str()),
            }),
            _ => Ok(match member {
                Member::Timestamp => Value::Timestamp(
                    self.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i128,
                ),
                Member::Elapsed => Value::Duration(self.exchange.now.elapsed().as_nanos() as i128),
                _ => lossy(&self.exchange.record.id),
            }),
        }
    }

    fn entry(&self, map: Member, name: &str) -> Result<Option<Value>, EvalError> {
        Ok(match map {
            Member::RequestHeaders => lines(&self.exchange.request, name),
            Member::ResponseHeaders => {
                lines(&self.response.as_ref().ok_or_else(|| absent("Response"))?.head, name)
            }
            Member::Variables => self.variable(name).cloned(),
            _ => self.matched(name),
        })
    }

    fn entries(&self, map: Member) -> Result<Vec<(String, Value)>, EvalError> {
        Ok(match map {
            Member::RequestHeaders => all_lines(&self.exchange.request),
            Member::ResponseHeaders => {
                all_lines(&self.response.as_ref().ok_or_else(|| absent("Response"))?.head)
            }
            Member::Variables => {
                self.variables.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
            }
            _ => {
                let names: Vec<&str> = match self.operation.and_then(|target| target.operation.as_ref()) {
                    Some(operation) => operation.template.names().collect(),
                    None => self.route_names.iter().map(|name| &**name).collect(),
                };
                let named = names.iter().filter_map(|name| Some(((*name).to_owned(), self.matched(name)?)));
                named.collect()
            }
        })
    }

    fn body(&self, body: Member) -> Result<Option<Bytes>, EvalError> {
        match body {
            Member::RequestBody => Ok(self.request_body().filter(|body| !body.is_empty()).cloned()),
            _ => match &self.response.as_ref().ok_or_else(|| absent("Response"))?.body {
                Body::Empty => Ok(None),
                Body::Bytes(bytes) => Ok(Some(bytes.clone())),
                Body::Stream(_) => Err(EvalError::new("the response body was not collected")),
            },
        }
    }
}

impl Context<'_> {
    /// A path value, decoded.
    fn matched(&self, name: &str) -> Option<Value> {
        let params = &self.exchange.routing.path_params;
        if let Some(value) = params.get_override(name) {
            return Some(Value::text(decoded(&String::from_utf8_lossy(value.bytes), false)));
        }
        let value = params.get_by_name(name, self.route_names, self.exchange.request.routed_target())?;
        Some(Value::text(decoded(&String::from_utf8_lossy(value.bytes), false)))
    }

    fn api_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(target) = self.operation else {
            return if member == Member::Api { Ok(Value::Null) } else { Err(absent("Api")) };
        };
        let api = &target.api;
        Ok(match member {
            Member::Api | Member::KeyNames => Value::Object(member),
            Member::ApiId => Value::text(api.base_id.as_str()),
            Member::ApiName => Value::text(api.name.as_str()),
            Member::ApiPath => Value::text(api.path.as_str()),
            Member::ApiVersion => Value::text(api.version.as_str()),
            Member::ApiRevision => Value::text(api.revision.as_str()),
            Member::ApiIsCurrentRevision => Value::Bool(api.is_current),
            Member::KeyHeader => Value::text(api.key_header.as_str()),
            Member::KeyQuery => Value::text(api.key_query.as_str()),
            _ => match super::target::ServiceUrl::parse(&api.service_url) {
                Some(url) => url_parts(url.scheme(), &url.host, i64::from(url.port), &url.base, &url.query),
                None => Value::Null,
            },
        })
    }

    fn operation_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(operation) = self.operation.and_then(|target| target.operation.as_ref()) else {
            return if member == Member::Operation { Ok(Value::Null) } else { Err(absent("Operation")) };
        };
        Ok(match member {
            Member::Operation => Value::Object(member),
            Member::OperationId => Value::text(operation.id.as_str()),
            Member::OperationName => Value::text(operation.name.as_str()),
            Member::OperationMethod => Value::text(operation.method.as_str()),
            _ => Value::text(operation.url_template.as_str()),
        })
    }

    fn product_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(product) = &self.product else {
            return if member == Member::Product { Ok(Value::Null) } else { Err(absent("Product")) };
        };
        let texts = |texts: &[String]| Value::list(texts.iter().map(|text| Value::text(text.as_str())));
        Ok(match member {
            Member::Product => Value::Object(member),
            Member::ProductId => Value::text(product.id.as_str()),
            Member::ProductName => Value::text(product.name.as_str()),
            Member::ProductApis => texts(&product.apis),
            Member::ProductGroups => texts(&product.groups),
            Member::ProductApprovalRequired => Value::Bool(product.approval_required),
            Member::ProductState => Value::text(product.state.as_str()),
            Member::ProductSubscriptionLimit => product.subscription_limit.map_or(Value::Null, Value::Int),
            _ => Value::Bool(product.requires_subscription),
        })
    }

    fn subscription_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(subscription) = &self.caller.subscription else {
            return if member == Member::Subscription {
                Ok(Value::Null)
            } else {
                Err(absent("Subscription"))
            };
        };
        let time = |at: Option<i128>| at.map_or(Value::Null, Value::Timestamp);
        Ok(match member {
            Member::Subscription => Value::Object(member),
            Member::SubscriptionId => Value::text(subscription.id.as_str()),
            Member::SubscriptionName => Value::text(subscription.name.as_str()),
            Member::SubscriptionKey => Value::text_or_null(self.caller.key.clone()),
            Member::SubscriptionCreatedDate => Value::Timestamp(subscription.created),
            Member::SubscriptionStartDate => time(subscription.start),
            _ => time(subscription.end),
        })
    }

    fn user_member(&self, member: Member) -> Result<Value, EvalError> {
        let owner = self.caller.subscription.as_ref().and_then(|subscription| subscription.owner.as_ref());
        let Some(user) = owner else {
            return if member == Member::User { Ok(Value::Null) } else { Err(absent("User")) };
        };
        Ok(match member {
            Member::User => Value::Object(member),
            Member::UserId => Value::text(user.id.as_str()),
            Member::UserEmail => Value::text(user.email.as_str()),
            Member::UserFirstName => Value::text(user.first_name.as_str()),
            Member::UserLastName => Value::text(user.last_name.as_str()),
            Member::UserNote => Value::text(user.note.as_str()),
            Member::UserGroups => Value::list(user.groups.iter().map(|(id, name)| {
                Value::map([("Id", Value::text(id.as_str())), ("Name", Value::text(name.as_str()))])
            })),
            Member::UserIdentities => Value::list([Value::map([
                ("Id", Value::text(user.email.as_str())),
                ("Provider", Value::text("Basic")),
            ])]),
            _ => Value::Null,
        })
    }

    fn request_member(&self, member: Member) -> Result<Value, EvalError> {
        Ok(match member {
            Member::RequestMethod => lossy(self.exchange.request.method()),
            Member::RequestIpAddress => Value::text(self.exchange.client.ip.to_canonical().to_string()),
            Member::OriginalUrl => {
                let url = &self.original;
                let scheme = if url.is_https { "https" } else { "http" };
                url_parts(scheme, &url.host, i64::from(url.port), &url.path, &url.query)
            }
            Member::RequestUrl => self.request_url(),
            Member::Certificate | Member::CertificateSubject => match &self.exchange.client.certificate {
                None if member == Member::Certificate => Value::Null,
                None => return Err(absent("Request.Certificate")),
                Some(_) if member == Member::Certificate => Value::Object(member),
                Some(certificate) => Value::text(certificate.subject()),
            },
            Member::Request => Value::Object(member),
            member => self.certificate_member(member)?,
        })
    }

    fn certificate_member(&self, member: Member) -> Result<Value, EvalError> {
        let certificate =
            self.exchange.client.certificate.as_ref().ok_or_else(|| absent("Request.Certificate"))?;
        Ok(match member {
            Member::CertificateIssuer => Value::text(certificate.info().issuer.as_str()),
            Member::CertificateThumbprint => Value::text(certificate.sha256_thumbprint()),
            Member::CertificateSerialNumber => Value::text(certificate.info().serial.replace(':', "")),
            Member::CertificateNotBefore => {
                Value::Timestamp(i128::from(certificate.info().not_before) * 1_000_000_000)
            }
            _ => Value::Timestamp(i128::from(certificate.info().not_after) * 1_000_000_000),
        })
    }

    /// What the service would be asked now.
    fn request_url(&self) -> Value {
        let host = self.exchange.request.get_known(KnownHeader::Host).map(String::from_utf8_lossy);
        let (scheme, host, port) = match &self.target.url {
            Some(url) => (url.scheme(), url.host.clone(), i64::from(url.port)),
            None => ("http", host.unwrap_or_default().into_owned(), 80),
        };
        url_parts(scheme, &host, port, &self.target.full_path(), &self.target.full_query())
    }

    fn response_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(response) = &self.response else {
            return if member == Member::Response { Ok(Value::Null) } else { Err(absent("Response")) };
        };
        Ok(match member {
            Member::ResponseStatusCode => Value::Int(i64::from(response.head.status)),
            Member::ResponseStatusReason => lossy(response.head.reason()),
            _ => Value::Object(member),
        })
    }

    fn last_error_member(&self, member: Member) -> Result<Value, EvalError> {
        let Some(error) = &self.last_error else {
            return if member == Member::LastError { Ok(Value::Null) } else { Err(absent("LastError")) };
        };
        Ok(match member {
            Member::LastError => Value::Object(member),
            Member::LastErrorSource => Value::text(error.source.as_str()),
            Member::LastErrorReason => Value::text(error.reason.as_str()),
            Member::LastErrorMessage => Value::text(error.message.as_str()),
            Member::LastErrorScope => Value::text(error.scope),
            Member::LastErrorSection => Value::text(error.section),
            Member::LastErrorPath => Value::text(error.path.as_str()),
            _ => Value::text(error.policy_id.as_str()),
        })
    }

    /// The query parameters that the client sent.
    pub fn original_query(&self) -> Value {
        query_map(&self.original.query)
    }
}
