//! `validate-jwt` and `validate-azure-ad-token`: verified by the engine of `AuthenticationSchemes`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    schema::{Attribute, Kind, attribute, expression, flag, not_yet, text},
    spec::Spec,
    token_keys::{DISCOVERY, Times, TokenKeys, discovery, scheme},
    validate_token::{RequiredClaim, TokenLocation, ValidateToken},
};
use crate::{
    config::codes,
    net::tls::{certificate::public_key_pem, trust},
    stages::{
        authentication::{
            keys::{KeyData, Material},
            settings::{KeySource, SchemeConfig, SchemeKind},
        },
        program::{Statement, Template},
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use std::sync::Arc;

/// The skew of tokens whose times the statement checks itself.
const MAX_SKEW: f64 = 9e11;

const CLAIM: &[Attribute] = &[
    text("name", "The name of the claim.").required(),
    attribute(
        "match",
        Kind::Choice(&["all", "any"]),
        "Whether the claim has `all` values, or `any` of them. Default: `all`.",
    ),
    text("separator", "Parts the values of a text."),
    attribute("values", Kind::Texts, "The values. Default: any.").dynamic(),
];

const KEY: &[Attribute] = &[
    text("id", "The `kid` of the key."),
    text("value", "A secret in base64."),
    text("certificate-id", "One of `Certificates`: its public key."),
    text("n", "The modulus of an RSA key in base64url."),
    text("e", "The exponent of an RSA key in base64url."),
];

const CONFIGURATION: &[Attribute] = &[text("url", "The URL of the discovery document.").required()];

const STATUS: Attribute = attribute(
    "failed-validation-httpcode",
    Kind::Int(200, 599),
    "The status of the response otherwise. Default: 401.",
)
.dynamic();

const MESSAGE: Attribute =
    expression("failed-validation-error-message", "The message of the response otherwise.");

const OUTPUT: Attribute =
    text("output-token-variable-name", "The variable with the token, as `AsJwt()` returns it.");

const HEADER: Attribute = text("header-name", "The header with the token.");

const QUERY: Attribute = text("query-parameter-name", "The query parameter with the token.");

const TOKEN: Attribute = expression("token-value", "The token.");

const AUDIENCES: Attribute =
    attribute("audiences", Kind::Texts, "The audiences; one of them must fit. Default: any.").dynamic();

const CLAIMS: Attribute =
    attribute("required-claims", Kind::Objects(CLAIM), "Claims that the token must have.");

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "validate-jwt",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            HEADER,
            QUERY,
            TOKEN,
            STATUS,
            MESSAGE,
            attribute("require-expiration-time", Kind::Bool, "Whether the token needs `exp`. Default: true.")
                .dynamic(),
            expression("require-scheme", "The scheme in front of the token, such as `Bearer`."),
            flag("require-signed-tokens", "Must be true."),
            attribute(
                "clock-skew",
                Kind::Number(0.0, 9e15),
                "Seconds by which clocks may differ. Default: 0.",
            )
            .dynamic(),
            OUTPUT,
            attribute("openid-config", Kind::Objects(CONFIGURATION), "Discovery documents of issuers."),
            attribute("issuer-signing-keys", Kind::Objects(KEY), "Keys."),
            not_yet("decryption-keys", "Encrypted tokens are refused."),
            AUDIENCES,
            attribute("issuers", Kind::Texts, "The issuers; one of them must fit. Default: any.").dynamic(),
            CLAIMS,
            text(
                "scheme",
                "The name of one of `AuthenticationSchemes`, instead of keys, issuers and audiences.",
            ),
        ],
        about: "Requires a valid token.",
        compile: jwt,
    },
    Spec {
        name: "validate-azure-ad-token",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("tenant-id", "The tenant: an id or a domain.").required(),
            HEADER,
            QUERY,
            TOKEN,
            STATUS,
            MESSAGE,
            OUTPUT,
            attribute(
                "client-application-ids",
                Kind::Texts,
                "The applications that may call (`azp`, else `appid`).",
            )
            .dynamic()
            .required(),
            attribute("backend-application-ids", Kind::Texts, "The audiences, as application ids.").dynamic(),
            AUDIENCES,
            CLAIMS,
        ],
        about: "Requires a valid token of Entra ID.",
        compile: entra,
    },
];

pub(super) fn place(
    args: &Args,
    default_header: Option<&str>,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<TokenLocation> {
    let (header, query, value) =
        (args.text("header-name"), args.text("query-parameter-name"), args.template("token-value"));
    match (header, query, value) {
        (Some(name), None, None) => Some(TokenLocation::Header(name.to_string())),
        (None, Some(name), None) => Some(TokenLocation::Query(name.to_string())),
        (None, None, Some(value)) => Some(TokenLocation::Value(value)),
        (None, None, None) if default_header.is_some() => Some(TokenLocation::Header("Authorization".into())),
        _ => {
            compiler.diagnostics.error(
                codes::POLICY_ATTRIBUTE,
                args.span,
                "exactly one of `header-name`, `query-parameter-name` and `token-value` must be set",
            );
            None
        }
    }
}

pub(super) fn claims(args: &Args) -> Vec<RequiredClaim> {
    let one = |claim: &Args| RequiredClaim {
        name: claim.text("name").unwrap_or_default(),
        any: claim.text("match").is_some_and(|mode| &*mode == "any"),
        separator: claim.text("separator"),
        values: claim.templates("values").unwrap_or_default(),
    };
    args.objects("required-claims").iter().map(one).collect()
}

pub(super) fn jwt(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let place = place(args, None, compiler)?;
    if !args.flag("require-signed-tokens", true) {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("require-signed-tokens"), "tokens must be signed")
            .help("remove `require-signed-tokens`");
        return None;
    }
    let sources = match args.text("scheme") {
        Some(name) => {
            check_only_scheme(args, compiler)?;
            vec![TokenKeys::Scheme(named_scheme(&name, args, compiler)?)]
        }
        None => sources(args, compiler)?,
    };
    done(ValidateToken {
        place,
        status: args.template("failed-validation-httpcode"),
        message: args.template("failed-validation-error-message"),
        scheme: args.template("require-scheme"),
        variable: args.text("output-token-variable-name"),
        sources,
        times: times(args),
        audiences: args.templates("audiences"),
        issuers: args.templates("issuers"),
        applications: None,
        claims: claims(args),
    })
}

/// Reports attributes that a scheme decides.
fn check_only_scheme(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<()> {
    let decided = ["issuer-signing-keys", "openid-config", "require-expiration-time", "clock-skew"];
    let Some(name) = decided.into_iter().find(|name| args.has(name)) else { return Some(()) };
    let message = format!("`{name}` together with `scheme`, which decides it");
    compiler
        .diagnostics
        .error(codes::POLICY_ATTRIBUTE, args.span_of(name), message)
        .help("remove it, or `scheme`");
    None
}

fn named_scheme(
    name: &str,
    args: &Args,
    compiler: &mut StatementCompiler<'_, '_>,
) -> Option<Arc<SchemeConfig>> {
    let found = compiler.facts.schemes.as_ref().and_then(|schemes| schemes.get(name));
    match found {
        Some(scheme) if matches!(scheme.kind, SchemeKind::Jwt(_)) => Some(scheme.clone()),
        _ => {
            compiler
                .diagnostics
                .error(
                    codes::POLICY_BACKEND,
                    args.span_of("scheme"),
                    format!("\"{name}\" is not a JwtBearer scheme"),
                )
                .help("add it to AuthenticationSchemes with Type JwtBearer");
            None
        }
    }
}

/// The schemes of keys and of discovery documents.
pub(super) fn sources(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Vec<TokenKeys>> {
    let mut keys = Vec::new();
    for key in args.objects("issuer-signing-keys") {
        keys.push(signing_key(key, compiler)?);
    }
    let mut all = Vec::new();
    if !keys.is_empty() {
        all.push(KeySource::Fixed(keys));
    }
    for configuration in args.objects("openid-config") {
        all.push(checked_discovery(&configuration.text("url").unwrap_or_default(), configuration, compiler)?);
    }
    if all.is_empty() {
        compiler.diagnostics.error(
            codes::POLICY_ATTRIBUTE,
            args.span,
            "`validate-jwt` needs `issuer-signing-keys`, `openid-config` or `scheme`",
        );
        return None;
    }
    let dynamic = times(args);
    let has_dynamic = dynamic.skew.is_some() || dynamic.requires_expiry.is_some();
    let expiry = !has_dynamic && args.flag("require-expiration-time", true);
    let skew = if has_dynamic { MAX_SKEW } else { args.number("clock-skew").unwrap_or(0.0) };
    Some(all.into_iter().map(|keys| TokenKeys::Scheme(scheme(keys, expiry, skew))).collect())
}

/// The checks of times, if one of them is an expression.
fn times(args: &Args) -> Times {
    let (skew, requires_expiry) = (args.template("clock-skew"), args.template("require-expiration-time"));
    let is_dynamic =
        |template: &Option<Template>| template.as_ref().is_some_and(|one| one.literal().is_none());
    match is_dynamic(&skew) || is_dynamic(&requires_expiry) {
        true => Times { skew: skew.or(Some(Template::text("0"))), requires_expiry },
        false => Times::default(),
    }
}

fn signing_key(key: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<KeyData> {
    let kid = key.text("id").map(|id| id.to_string());
    let certificate = match key.text("certificate-id") {
        Some(id) => Some(certificate_key(&id, key, compiler)?),
        None => None,
    };
    let material = match (key.text("value"), key.text("n"), key.text("e")) {
        (None, None, None) => certificate,
        (Some(_), _, _) | (_, Some(_), _) if certificate.is_some() => None,
        (Some(secret), None, None) => STANDARD.decode(secret.trim()).ok().map(Material::Secret),
        (None, Some(n), Some(e)) => {
            match (URL_SAFE_NO_PAD.decode(n.trim()), URL_SAFE_NO_PAD.decode(e.trim())) {
                (Ok(n), Ok(e)) => Some(Material::Rsa { n, e }),
                _ => None,
            }
        }
        _ => None,
    };
    let usable = material.filter(|material| !material.algorithms().is_empty());
    if usable.is_none() {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, key.span, "invalid signing key")
            .help("must be a secret of at least 32 bytes in base64 as `value`, `n` and `e` of an RSA key in base64url, or `certificate-id`");
    }
    Some(KeyData { kid, material: usable?, algorithm: None })
}

/// The public key of one of `Certificates`.
fn certificate_key(id: &str, key: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Material> {
    let span = key.span_of("certificate-id");
    let known = compiler.facts.certificates.get(&id.to_lowercase());
    let Some(certificate) = known else {
        let message = format!("no entry of Certificates is \"{id}\"");
        compiler
            .diagnostics
            .error(codes::POLICY_BACKEND, span, message)
            .help("add \"Certificates\": { \"ID\": { \"CertificateFile\": ..., \"KeyFile\": ... } }");
        return None;
    };
    let first = trust::certificates(&certificate.pair.chain).ok().and_then(|all| all.into_iter().next());
    let public = first.and_then(|first| public_key_pem(&first)).unwrap_or_default();
    match KeyData::pem(public.as_bytes()) {
        Ok(keys) => keys.into_iter().next().map(|key| key.material),
        Err(why) => {
            let message = format!("the key of the certificate \"{id}\" verifies no tokens: {why}");
            compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, span, message);
            None
        }
    }
}

fn checked_discovery(url: &str, args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<KeySource> {
    let keys = discovery(url);
    if keys.is_none() {
        compiler
            .diagnostics
            .error(codes::POLICY_ATTRIBUTE, args.span_of("url"), "invalid URL of a discovery document")
            .help(format!("must end with {DISCOVERY}"));
    }
    keys
}

fn entra(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let place = place(args, Some("Authorization"), compiler)?;
    let tenant = args.required("tenant-id");
    let authority = compiler.facts.entra_authority.trim_end_matches('/').to_owned();
    let keys = match tenant.literal_text() {
        Some(tenant) => {
            let url = format!("{authority}/{tenant}/v2.0{DISCOVERY}");
            TokenKeys::Scheme(scheme(checked_discovery(&url, args, compiler)?, true, 0.0))
        }
        None => TokenKeys::Tenant { authority, tenant },
    };
    let audiences = match (args.templates("audiences"), args.templates("backend-application-ids")) {
        (Some(mut all), Some(more)) => {
            all.extend(more);
            Some(all)
        }
        (all, more) => all.or(more),
    };
    done(ValidateToken {
        place,
        status: args.template("failed-validation-httpcode"),
        message: args.template("failed-validation-error-message"),
        scheme: None,
        variable: args.text("output-token-variable-name"),
        sources: vec![keys],
        times: Times::default(),
        audiences,
        issuers: None,
        applications: args.templates("client-application-ids"),
        claims: claims(args),
    })
}
