//! Statements that admit or reject requests by headers, addresses and client certificates.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    messages::{switch, texts},
    schema::{Attribute, Kind, attribute, expression, flag, not_yet, text},
    spec::Spec,
};
use crate::{
    base::{expr::Usage, hex, ip_set::IpRange},
    config::{Span, codes},
    pipeline::error::ErrorCode,
    stages::program::{Context, Failure, Flow, Statement, Template, template::usage_of},
};
use std::{sync::Arc, time::UNIX_EPOCH};

const RANGES: &[Attribute] =
    &[text("from", "The first address.").required(), text("to", "The last address.").required()];
const IDENTITIES: &[Attribute] = &[
    text("thumbprint", "SHA-256 of the certificate, in hexadecimal digits or base64url."),
    text("serial-number", "The serial number."),
    text("common-name", "The common name of the subject."),
    text("subject", "The subject."),
    text("dns-name", "A DNS name."),
    text("issuer-subject", "The subject of the issuer."),
    not_yet("issuer-thumbprint", "The listener keeps no certificates of issuers: use `issuer-subject`."),
    not_yet("issuer-certificate-id", "The listener keeps no certificates of issuers: use `issuer-subject`."),
];

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "check-header",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("name", "The name of the header.").required(),
            attribute("failed-check-httpcode", Kind::Int(200, 599), "The status of the response otherwise.")
                .dynamic()
                .required(),
            expression("failed-check-error-message", "The message of the response otherwise.").required(),
            attribute("ignore-case", Kind::Bool, "Whether values are compared without case.")
                .dynamic()
                .required(),
            attribute("values", Kind::Texts, "The values that are allowed. Default: any.").dynamic(),
        ],
        about: "Requires a header, with one of some values.",
        compile: |args, _| {
            done(CheckHeader {
                name: args.required("name"),
                status: args.required("failed-check-httpcode"),
                message: args.required("failed-check-error-message"),
                ignores_case: args.template("ignore-case"),
                values: args.templates("values").unwrap_or_default(),
            })
        },
    },
    Spec {
        name: "ip-filter",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            attribute("action", Kind::Choice(&["allow", "forbid"]), "`allow` or `forbid`.")
                .dynamic()
                .required(),
            attribute("addresses", Kind::Texts, "Addresses and networks."),
            attribute("address-ranges", Kind::Objects(RANGES), "Ranges of addresses, both ends included."),
        ],
        about: "Allows or forbids client addresses.",
        compile: ip_filter,
    },
    Spec {
        name: "validate-client-certificate",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            flag("validate-revocation", "Must be false: there is no revocation check."),
            flag("validate-trust", "The listener has verified the trust. Default: true."),
            flag("validate-not-before", "Whether the begin of the validity counts. Default: true."),
            flag("validate-not-after", "Whether the end of the validity counts. Default: true."),
            flag("ignore-error", "Whether the request goes on anyway. Default: false."),
            attribute("identities", Kind::Objects(IDENTITIES), "All attributes of one of them must fit."),
        ],
        about: "Requires a client certificate.",
        compile: client_certificate,
    },
];

#[derive(Debug)]
struct CheckHeader {
    name: Template,
    status: Template,
    message: Template,
    ignores_case: Option<Template>,
    values: Vec<Template>,
}

impl Statement for CheckHeader {
    fn usage(&self) -> Usage {
        usage_of(
            self.values.iter().chain([&self.name, &self.status, &self.message]).chain(&self.ignores_case),
        )
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let name = self.name.text_or_empty(context)?;
        let lines: Vec<String> = context
            .exchange
            .request
            .get_all(name.as_bytes())
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        let ignores_case = switch(&self.ignores_case, true, context)?;
        let allowed = texts(&self.values, context)?;
        let is_allowed = |value: &str| {
            self.values.is_empty()
                || allowed.iter().any(|known| {
                    if ignores_case {
                        known.to_lowercase() == value.to_lowercase()
                    } else {
                        **known == *value
                    }
                })
        };
        let (reason, message) = match lines.as_slice() {
            [value] if is_allowed(value) => return Ok(Flow::Next),
            [] => ("HeaderNotFound", format!("Header {name} was not found in the request. Access denied.")),
            values => (
                "HeaderValueNotAllowed",
                format!("Header {name} value of {} is not allowed. Access denied.", values.join(",")),
            ),
        };
        let status = u16::try_from(self.status.int(context)?).ok().filter(|code| (200..600).contains(code));
        let status = status.ok_or_else(|| Failure::statement("the status must be 200 to 599"))?;
        let detail = self.message.text_or_empty(context)?.to_string();
        Err(Failure::new(reason, ErrorCode::AccessHeader, detail).with_message(message).with_status(status))
    }
}

fn ip_filter(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let mut ranges = Vec::new();
    let mut texts: Vec<(String, Span)> = args
        .templates("addresses")
        .unwrap_or_default()
        .iter()
        .filter_map(|address| Some((address.literal_text()?.to_string(), args.span)))
        .collect();
    for range in args.objects("address-ranges") {
        texts.push((format!("{}-{}", range.text("from")?, range.text("to")?), range.span));
    }
    if texts.is_empty() {
        compiler.diagnostics.error(
            codes::POLICY_ATTRIBUTE,
            args.span,
            "`ip-filter` needs `addresses` or `address-ranges`",
        );
        return None;
    }
    for (text, span) in &texts {
        match IpRange::parse(text) {
            Some(range) => ranges.push(range),
            None => {
                compiler
                    .diagnostics
                    .error(codes::POLICY_ATTRIBUTE, *span, format!("invalid address \"{text}\""))
                    .help("write an address such as 10.0.0.1 or a network such as 10.0.0.0/8");
                return None;
            }
        }
    }
    done(IpFilter { action: args.required("action"), ranges })
}

#[derive(Debug)]
struct IpFilter {
    action: Template,
    ranges: Vec<IpRange>,
}

impl Statement for IpFilter {
    fn usage(&self) -> Usage {
        self.action.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let address = context.exchange.client.ip.to_canonical();
        let is_listed = self.ranges.iter().any(|range| range.contains(address));
        let allows = match &*self.action.text_or_empty(context)? {
            "allow" => true,
            "forbid" => false,
            _ => return Err(Failure::statement("the action of ip-filter must be allow or forbid")),
        };
        if allows == is_listed {
            return Ok(Flow::Next);
        }
        let (reason, message) = match allows {
            true => {
                ("CallerIpNotAllowed", format!("Caller IP address {address} is not allowed. Access denied."))
            }
            false => ("CallerIpBlocked", "Caller IP address is blocked. Access denied.".to_owned()),
        };
        Err(Failure::new(reason, ErrorCode::AccessIpDenied, "Forbidden").with_message(message))
    }
}

/// Reports validations that the gateway cannot do, or cannot leave out.
fn check_validations(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<()> {
    if args.flag("validate-revocation", false) {
        compiler
            .diagnostics
            .error(
                codes::POLICY_ATTRIBUTE,
                args.span_of("validate-revocation"),
                "`validate-revocation` must be false",
            )
            .help("the gateway reads neither revocation lists nor OCSP");
        return None;
    }
    if !args.flag("validate-trust", true) {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("validate-trust"), "`validate-trust` must be true")
            .help("the listener accepts certificates of its ClientCertificates.Authorities only");
        return None;
    }
    Some(())
}

fn client_certificate(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    check_validations(args, compiler)?;
    let identities = args.objects("identities").iter();
    if let Some(empty) = identities.clone().find(|one| !IDENTITIES.iter().any(|known| one.has(known.name))) {
        compiler
            .diagnostics
            .error(
                codes::POLICY_ATTRIBUTE,
                empty.span,
                "an identity without attributes fits every certificate",
            )
            .help("add an attribute such as `thumbprint`, or remove the identity");
        return None;
    }
    let text = |identity: &Args, name: &str| identity.text(name).map(|text| text.to_string());
    let identities = identities.map(|identity| {
        IDENTITIES
            .iter()
            .filter_map(|attribute| Some((attribute.name, text(identity, attribute.name)?)))
            .collect()
    });
    done(ClientCertificate {
        checks_begin: args.flag("validate-not-before", true),
        checks_end: args.flag("validate-not-after", true),
        ignores_errors: args.flag("ignore-error", false),
        identities: identities.collect(),
    })
}

#[derive(Debug)]
struct ClientCertificate {
    checks_begin: bool,
    checks_end: bool,
    ignores_errors: bool,
    identities: Vec<Vec<(&'static str, String)>>,
}

impl Statement for ClientCertificate {
    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        if self.ignores_errors {
            return Ok(Flow::Next);
        }
        let Some(certificate) = context.exchange.client.certificate.clone() else {
            return Err(Failure::new(
                "CertificateNotPresent",
                ErrorCode::IdentityMissing,
                "Client certificate not present.",
            ));
        };
        let info = certificate.info();
        let now = context.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let is_valid =
            (!self.checks_begin || info.not_before <= now) && (!self.checks_end || now <= info.not_after);
        let plain = |text: &str| text.replace([':', ' '], "").to_lowercase();
        let fits = |(name, value): &(&str, String)| match *name {
            "thumbprint" => {
                certificate.sha256_thumbprint() == value
                    || thumbprint_hex(certificate.sha256_thumbprint()) == plain(value)
            }
            "serial-number" => plain(&info.serial) == plain(value),
            "common-name" => info.common_name.as_deref() == Some(value),
            "subject" => info.subject == *value,
            "dns-name" => info.dns.iter().any(|dns| dns.eq_ignore_ascii_case(value)),
            _ => info.issuer == *value,
        };
        let is_known =
            self.identities.is_empty() || self.identities.iter().any(|identity| identity.iter().all(fits));
        if is_valid && is_known {
            return Ok(Flow::Next);
        }
        Err(Failure::new(
            "CertificateNotAllowed",
            ErrorCode::IdentityInvalidCredentials,
            "Client certificate not allowed.",
        ))
    }
}

/// A thumbprint in base64url as hexadecimal digits.
fn thumbprint_hex(text: &str) -> String {
    use base64::Engine;
    hex::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap_or_default())
}
