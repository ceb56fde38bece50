//! `emit-metric`: a counter of the publisher.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    schema::{Attribute, Kind, attribute, expression, text},
    spec::Spec,
};
use crate::{
    base::expr::{ExpressionContext, Member, Usage, to_text},
    config::{codes, suggest},
    stages::program::{Context, Failure, Flow, Statement, Template, template::usage_of},
};
use std::sync::Arc;

/// Maximum number of dimensions of a metric.
const MAX_DIMENSIONS: usize = 10;
/// The dimensions whose values are known.
const KNOWN: [&str; 6] = ["API ID", "Operation ID", "Product ID", "User ID", "Subscription ID", "Gateway ID"];

const DIMENSIONS: &[Attribute] = &[
    text("name", "The name of the dimension.").required(),
    expression(
        "value",
        "The value. Default: that of `API ID`, `Operation ID`, `Product ID`, `User ID`, `Subscription ID` or `Gateway ID`.",
    ),
];

/// The statement.
pub(super) const SPEC: Spec = Spec {
    name: "emit-metric",
    sections: "ioe",
    scopes: &[],
    is_once: false,
    bare: None,
    attributes: &[
        text("name", "The name of the metric.").required(),
        attribute("value", Kind::Number(0.0, 9e15), "What is added. Default: 1.").dynamic(),
        text("namespace", "The label `namespace`."),
        attribute("dimensions", Kind::Objects(DIMENSIONS), "1 to 10 labels.").required(),
    ],
    about: "Adds to a counter with the dimensions as labels: `margay_policy_metric_total`.",
    compile,
};

fn compile(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let all = args.objects("dimensions");
    if all.is_empty() || all.len() > MAX_DIMENSIONS {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span, format!("{} dimensions", all.len()))
            .help(format!("must be 1 to {MAX_DIMENSIONS}"));
        return None;
    }
    let mut dimensions = Vec::with_capacity(all.len());
    for one in all {
        let name = one.text("name").unwrap_or_default();
        let value = dimension(&name, one, compiler)?;
        let label = label_name(&name);
        if dimensions.iter().any(|(known, _)| *known == label) || ["metric", "namespace"].contains(&&*label) {
            let message = format!("the dimension \"{name}\" has the label `{label}`, which is used already");
            compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, one.span, message);
            return None;
        }
        dimensions.push((label, value));
    }
    done(EmitMetric {
        name: args.text("name").unwrap_or_default(),
        value: args.template("value"),
        namespace: args.text("namespace"),
        dimensions,
    })
}

/// The value of a dimension.
fn dimension(name: &str, args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Dimension> {
    if let Some(value) = args.template("value") {
        return Some(Dimension::Value(value));
    }
    let member = known_member(name);
    if member.is_none() {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span, format!("the dimension \"{name}\" needs a `value`"))
            .help(format!("only {} need none", suggest::list(&KNOWN)));
    }
    member.map(Dimension::Member)
}

fn known_member(name: &str) -> Option<Member> {
    Some(match name.to_ascii_lowercase().as_str() {
        "api id" => Member::ApiId,
        "operation id" => Member::OperationId,
        "product id" => Member::ProductId,
        "user id" => Member::UserId,
        "subscription id" => Member::SubscriptionId,
        "gateway id" => Member::DeploymentGatewayId,
        _ => return None,
    })
}

/// The label of a dimension: letters, digits and `_`.
fn label_name(name: &str) -> Box<str> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let label: String = name.chars().map(plain).collect();
    match label.starts_with(|c: char| c.is_ascii_digit()) || label.is_empty() {
        true => format!("_{label}").into(),
        false => label.into(),
    }
}

#[derive(Debug)]
enum Dimension {
    Value(Template),
    /// Empty where the context has none.
    Member(Member),
}

#[derive(Debug)]
struct EmitMetric {
    name: Arc<str>,
    value: Option<Template>,
    namespace: Option<Arc<str>>,
    dimensions: Vec<(Box<str>, Dimension)>,
}

impl Statement for EmitMetric {
    fn usage(&self) -> Usage {
        let dimensions = self.dimensions.iter().filter_map(|(_, dimension)| match dimension {
            Dimension::Value(value) => Some(value),
            Dimension::Member(_) => None,
        });
        usage_of(dimensions.chain(&self.value))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let value = self.value.as_ref().map_or(Ok(1.0), |value| value.number(context))?;
        if !value.is_finite() || value < 0.0 {
            return Err(Failure::statement("emit-metric: the value must be at least 0"));
        }
        let mut labels = Vec::with_capacity(self.dimensions.len() + 1);
        labels.extend(self.namespace.iter().map(|namespace| ("namespace".into(), (&**namespace).into())));
        for (label, dimension) in &self.dimensions {
            let value: Box<str> = match dimension {
                Dimension::Value(value) => (&*value.text_or_empty(context)?).into(),
                Dimension::Member(member) => {
                    let value = context.member(*member).ok().and_then(|value| to_text(&value).ok().flatten());
                    (&*value.unwrap_or_default()).into()
                }
            };
            labels.push((label.clone(), value));
        }
        context.shared.metrics.add(&self.name, labels, value);
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}
