//! `trace`, `log-to-eventhub`.

use super::{
    args::Args,
    compiler::{StatementCompiler, done},
    emit_metric::SPEC,
    logger::Logger,
    schema::{Attribute, Kind, attribute, expression, text},
    spec::Spec,
};
use crate::{
    base::expr::Usage,
    config::{codes, suggest},
    stages::program::{
        Context, Failure, Flow, Origin, Statement, Template,
        template::usage_of,
        trace::{TraceData, TraceEntry},
    },
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Longest line of `log-to-eventhub`.
const MAX_LINE_BYTES: usize = 200 * 1024;

const PARTITION: &str =
    "Which lines keep their order: a logger keeps the order of all. Not together with the other one.";

const METADATA: &[Attribute] =
    &[text("name", "The name.").required(), expression("value", "The value.").required()];

/// The statements of this group.
pub const SPECS: &[Spec] = &[
    SPEC,
    Spec {
        name: "trace",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            text("source", "Where the entry comes from.").required(),
            attribute(
                "severity",
                Kind::Choice(&["verbose", "information", "error"]),
                "`verbose` is not written to the log. Default: `verbose`.",
            ),
            expression("message", "The message.").required(),
            attribute("metadata", Kind::Objects(METADATA), "Further values."),
        ],
        about: "Writes an entry to the trace of the request, and to the log unless it is verbose.",
        compile: |args, _| {
            done(Trace {
                source: args.text("source").unwrap_or_default(),
                severity: args.text("severity").unwrap_or_else(|| "verbose".into()),
                message: args.required("message"),
                metadata: pairs(args.objects("metadata")),
                origin: args.origin.clone()?,
            })
        },
    },
    Spec {
        name: "log-to-eventhub",
        sections: "iboe",
        scopes: &[],
        is_once: false,
        bare: None,
        attributes: &[
            text("logger-id", "One of `Loggers`.").required(),
            text("partition-id", PARTITION),
            expression("partition-key", PARTITION),
            expression("value", "The line, at most 200 KiB.").required(),
        ],
        about: "Writes a line to a logger.",
        compile: event,
    },
];

fn pairs(all: &[Args]) -> Vec<(Arc<str>, Template)> {
    all.iter().map(|pair| (pair.text("name").unwrap_or_default(), pair.required("value"))).collect()
}

#[derive(Debug)]
struct Trace {
    source: Arc<str>,
    severity: Arc<str>,
    message: Template,
    metadata: Vec<(Arc<str>, Template)>,
    origin: Arc<Origin>,
}

impl Statement for Trace {
    fn usage(&self) -> Usage {
        usage_of(self.metadata.iter().map(|(_, value)| value).chain([&self.message]))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let is_verbose = &*self.severity == "verbose";
        if is_verbose && context.trace.is_none() {
            return Ok(Flow::Next);
        }
        let message = self.message.text_or_empty(context)?;
        let mut metadata = Vec::with_capacity(self.metadata.len());
        for (name, value) in &self.metadata {
            metadata.push((name.to_string(), value.text_or_empty(context)?.to_string()));
        }
        if let Some(trace) = &mut context.trace {
            let result = TraceData::message(&self.source, &self.severity, &message, &metadata);
            let (section, origin) = (context.section, self.origin.clone());
            trace.push(TraceEntry { section, origin, at: SystemTime::now(), took: Duration::ZERO, result });
        }
        if is_verbose {
            return Ok(Flow::Next);
        }
        let mut line = format!("{}: {message}", self.source);
        for (name, value) in &metadata {
            line.push_str(&format!(" {name}={value}"));
        }
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match &*self.severity {
            "error" => log::error!("policy trace: {line}"),
            _ => log::info!("policy trace: {line}"),
        }
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

fn event(args: &Args, compiler: &mut StatementCompiler<'_, '_>) -> Option<Arc<dyn Statement>> {
    let id = args.text("logger-id").unwrap_or_default();
    let Some(logger) = compiler.facts.loggers.get(&id.to_lowercase()) else {
        let near =
            suggest::closest_match(&id, compiler.facts.loggers.keys().map(String::as_str)).map(str::to_owned);
        let diagnostic = compiler.diagnostics.error(
            codes::POLICY_BACKEND,
            args.span_of("logger-id"),
            format!("unknown logger \"{id}\""),
        );
        match near {
            Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
            None => diagnostic.help("add it to Loggers"),
        };
        return None;
    };
    if args.has("partition-id") && args.has("partition-key") {
        let message = "`log-to-eventhub` has either `partition-id` or `partition-key`";
        compiler.diagnostics.error(codes::POLICY_ATTRIBUTE, args.span_of("partition-key"), message);
        return None;
    }
    done(LogEvent { logger: logger.clone(), value: args.required("value") })
}

#[derive(Debug)]
struct LogEvent {
    logger: Arc<Logger>,
    value: Template,
}

impl Statement for LogEvent {
    fn usage(&self) -> Usage {
        self.value.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let mut line = self.value.text_or_empty(context)?.replace(['\r', '\n'], " ");
        while line.len() > MAX_LINE_BYTES {
            let mut end = MAX_LINE_BYTES;
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
        }
        self.logger.write(line);
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}
