//! Credentials for the service: Basic, certificates, tokens of `Identities`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    schema::{expression, flag, text},
    spec::Spec,
    token_source::TokenSource,
};
use crate::{
    base::expr::{Usage, Value},
    config::{codes, suggest},
    pipeline::cancel::until_client_closes,
    stages::program::{
        Context, Failure, Flow, Statement, StatementFuture, Template,
        backend::{ServiceCertificate, ServiceCertificates},
        callout::{CallOut, PendingToken},
        template::usage_of,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{collections::HashMap, sync::Arc};

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "authentication-basic",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("username", "The user name.").required(),
            expression("password", "The password.").required(),
        ],
        about: "Sends Basic credentials to the service.",
        compile: |args, compiler| done(Authenticate(credential("authentication-basic", args, compiler)?)),
    },
    Spec {
        name: "authentication-certificate",
        sections: "i",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("certificate-id", "One of `Certificates`."),
            expression("thumbprint", "The SHA-256 or SHA-1 of one of `Certificates`, in hexadecimal digits."),
            expression("body", "Refused: a certificate is configured in `Certificates`."),
            expression("password", "Refused: a certificate is configured in `Certificates`."),
        ],
        about: "Presents a client certificate to the service.",
        compile: |args, compiler| {
            done(Authenticate(credential("authentication-certificate", args, compiler)?))
        },
    },
    Spec {
        name: "authentication-managed-identity",
        sections: "io",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            expression("resource", "The resource of the token.").required(),
            expression(
                "client-id",
                "The `ClientId` of one of `Identities`. Default: the identity `default`.",
            ),
            text("output-token-variable-name", "The variable with the token, instead of `Authorization`."),
            flag("ignore-error", "Whether the request goes on without a token. Default: false."),
        ],
        about: "Sends a token of one of `Identities` to the service.",
        compile: |args, compiler| {
            done(Authenticate(credential("authentication-managed-identity", args, compiler)?))
        },
    },
];

/// Compiled credentials.
#[derive(Debug)]
pub enum Credential {
    Basic {
        user: Template,
        password: Template,
    },
    Token {
        resource: Template,
        client_id: Option<Template>,
        variable: Option<Arc<str>>,
        ignores_errors: bool,
        sources: HashMap<String, Arc<TokenSource>>,
    },
    Certificate {
        name: Template,
        by_thumbprint: bool,
        certificates: ServiceCertificates,
    },
}

/// Compiles credentials.
pub fn credential(name: &str, args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Credential> {
    match name {
        "authentication-basic" => {
            Some(Credential::Basic { user: args.required("username"), password: args.required("password") })
        }
        "authentication-certificate" => certificate_credential(args, compiler),
        _ => token_credential(args, compiler),
    }
}

fn certificate_credential(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Credential> {
    if args.has("body") || args.has("password") {
        compiler
            .diagnostics
            .error(codes::POLICY_NOT_YET, args.span, "a certificate in an expression is refused")
            .help("add the certificate to Certificates, and its id to `certificate-id`");
        return None;
    }
    let certificates = compiler.facts.certificates.clone();
    let (name, by_thumbprint) = match (args.template("certificate-id"), args.template("thumbprint")) {
        (Some(id), None) => (id, false),
        (None, Some(thumbprint)) => (thumbprint, true),
        _ => {
            let message = "`authentication-certificate` has either `certificate-id` or `thumbprint`";
            compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span, message);
            return None;
        }
    };
    let credential = Credential::Certificate { name, by_thumbprint, certificates };
    if let Credential::Certificate { name, certificates, .. } = &credential
        && let Some(text) = name.literal_text()
        && credential.certificate_named(&text).is_none()
    {
        let known = certificates.values().map(|one| one.id.as_str());
        let near = suggest::closest_match(&text, known).filter(|_| !by_thumbprint).map(str::to_owned);
        let message = format!("no entry of Certificates is \"{text}\"");
        let diagnostic = compiler.diagnostics.error(codes::POLICY_BACKEND, args.span, message);
        match near {
            Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
            None => diagnostic
                .help("add \"Certificates\": { \"ID\": { \"CertificateFile\": ..., \"KeyFile\": ... } }"),
        };
        return None;
    }
    Some(credential)
}

fn token_credential(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Credential> {
    let client_id = args.template("client-id");
    let wanted = client_id.as_ref().map_or(Some("default".into()), Template::literal_text);
    let identities = &compiler.facts.identities;
    if let Some(wanted) = wanted {
        let has = identities.contains_key(&wanted.to_lowercase())
            || identities.values().any(|source| source.client_id.eq_ignore_ascii_case(&wanted));
        if !has {
            let message = format!("no entry of Identities has the ClientId \"{wanted}\"");
            let message =
                if client_id.is_some() { message } else { "Identities has no entry \"default\"".to_owned() };
            compiler
                .diagnostics
                .error(codes::POLICY_BACKEND, args.span, message)
                .help("add \"Identities\": { \"default\": { \"Type\": \"ClientCredentials\", \"TokenUrl\": ..., ... } }");
            return None;
        }
    }
    Some(Credential::Token {
        resource: args.required("resource"),
        client_id,
        variable: args.text("output-token-variable-name"),
        ignores_errors: args.flag("ignore-error", false),
        sources: identities.clone(),
    })
}

impl Credential {
    /// What it reads.
    pub fn usage(&self) -> Usage {
        match self {
            Credential::Basic { user, password } => usage_of([user, password]),
            Credential::Certificate { name, .. } => name.usage(),
            Credential::Token { resource, client_id, .. } => {
                usage_of([resource].into_iter().chain(client_id))
            }
        }
    }

    /// The value of `Authorization` for Basic; the token of an identity is fetched before the call.
    pub fn apply(&self, call: &mut CallOut, context: &Context<'_>) -> Result<Option<PendingToken>, Failure> {
        match self {
            Credential::Basic { .. } => {
                let value = self.basic(context)?;
                call.request.set(b"Authorization", value.as_bytes());
                Ok(None)
            }
            Credential::Certificate { .. } => {
                call.certificate = Some(self.certificate(context)?);
                Ok(None)
            }
            Credential::Token { .. } => self.token(context).map(Some),
        }
    }

    fn certificate(&self, context: &Context<'_>) -> Result<Arc<ServiceCertificate>, Failure> {
        let Credential::Certificate { name, .. } = self else {
            return Err(Failure::statement("these credentials have no certificate"));
        };
        let found = self.certificate_named(&name.text_or_empty(context)?);
        found.ok_or_else(|| Failure::statement("authentication-certificate: unknown certificate"))
    }

    fn certificate_named(&self, name: &str) -> Option<Arc<ServiceCertificate>> {
        let Credential::Certificate { by_thumbprint, certificates, .. } = self else { return None };
        let plain = name.replace([':', ' '], "").to_lowercase();
        let has = |certificate: &&Arc<ServiceCertificate>| certificate.thumbprints.contains(&plain);
        let found = if *by_thumbprint {
            certificates.values().find(has)
        } else {
            certificates.get(&name.to_lowercase())
        };
        found.cloned()
    }

    fn basic(&self, context: &Context<'_>) -> Result<String, Failure> {
        let Credential::Basic { user, password } = self else { return Ok(String::new()) };
        let pair = format!("{}:{}", user.text_or_empty(context)?, password.text_or_empty(context)?);
        Ok(format!("Basic {}", STANDARD.encode(pair)))
    }

    fn token(&self, context: &Context<'_>) -> Result<PendingToken, Failure> {
        let Credential::Token { resource, client_id, sources, .. } = self else {
            return Err(Failure::statement("these credentials have no token"));
        };
        let resource = resource.text_or_empty(context)?;
        let wanted = match client_id {
            Some(client_id) => client_id.text_or_empty(context)?.to_lowercase(),
            None => "default".to_owned(),
        };
        let by_client = || sources.values().find(|source| source.client_id.eq_ignore_ascii_case(&wanted));
        let source = by_client().or_else(|| sources.get(&wanted)).cloned();
        let source =
            source.ok_or_else(|| Failure::callout("BackendConnectionFailure", "unknown identity"))?;
        let call = source.request(context, &resource)?;
        Ok(Box::pin(source.get(resource, call)))
    }
}

#[derive(Debug)]
struct Authenticate(Credential);

impl Authenticate {
    async fn authenticate(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        if let Credential::Certificate { .. } = &self.0 {
            context.certificate = Some(self.0.certificate(context)?);
            return Ok(Flow::Next);
        }
        let Credential::Token { variable, ignores_errors, .. } = &self.0 else {
            let value = self.0.basic(context)?;
            context.exchange.request.set(b"Authorization", value.as_bytes());
            return Ok(Flow::Next);
        };
        let pending = self.0.token(context)?;
        match (until_client_closes(pending, context.client).await.map_err(Failure::from_gateway)?, variable) {
            (Ok(token), Some(variable)) => context.set_variable(variable, Value::Text(token)),
            (Ok(token), None) => {
                context.exchange.request.set(b"Authorization", format!("Bearer {token}").as_bytes());
            }
            (Err(_), _) if *ignores_errors => {}
            (Err(failure), _) => return Err(failure),
        }
        Ok(Flow::Next)
    }
}

impl Statement for Authenticate {
    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.authenticate(context))
    }

    fn runs_dry(&self) -> bool {
        !matches!(self.0, Credential::Token { .. })
    }
}
