//! `RequestSizeOptions` → the sizes.

use super::{RequestSize, RequestSizeOptions};
use crate::{
    base::units::SizeText,
    config::{Spanned, codes, values::Setting},
    stages::feature::{CompileContext, Feature},
};

impl Feature for RequestSizeOptions {
    type Config = RequestSize;

    fn compile(&self, context: &mut CompileContext) -> Option<RequestSize> {
        let size = |set: &Setting<SizeText>| set.as_ref().map(|size| Spanned::new(size.value.0, size.span));
        let gateway = context.gateway;
        let (body, headers) = (size(&self.max_request_body_size), size(&self.max_request_headers_total_size));
        let count = context.positive_count(&self.max_request_header_count, "MaxRequestHeaderCount");
        let max_body = gateway.max_body_bytes.unwrap_or(u64::MAX);
        let body = within_limits(context, "MaxRequestBodySize", body, max_body);
        let headers =
            within_limits(context, "MaxRequestHeadersTotalSize", headers, gateway.max_headers_bytes);
        let count = within_limits(context, "MaxRequestHeaderCount", count, gateway.max_header_count);
        let size = RequestSize {
            max_body: body,
            max_headers_bytes: headers.map(|n| n as usize),
            max_header_count: count.map(|n| n as usize),
        };
        Some(size).filter(|size| !size.is_empty())
    }
}

fn within_limits(
    context: &mut CompileContext,
    name: &str,
    set: Option<Spanned<u64>>,
    max: u64,
) -> Option<u64> {
    let set = set?;
    if set.value > max {
        let message = format!("{name} {} is larger than {max} in Limits", set.value);
        context
            .diagnostics
            .error(codes::LARGER_THAN_LIMITS, set.span, message)
            .help(format!("set a smaller value, or raise Limits.{name}"));
    }
    Some(set.value)
}
