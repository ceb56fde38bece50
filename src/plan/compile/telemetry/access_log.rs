//! `AccessLog` → where records are written, and in which form.

use super::wants::Wants;
use crate::base::units::SizeText;
use crate::config::{
    Diagnostics, Span, Spanned, codes,
    ranges::RangeChecker,
    suggest,
    values::{Setting, non_blank},
};
use crate::plan::{
    check::CheckContext,
    document::{AccessLogDocument, AccessLogForm, AccessLogFormat},
};
use crate::telemetry::access::{
    AccessLogConfig, FACILITIES, FileConfig, LineTemplate, LogFormat, OutputConfig, SyslogAddress,
    SyslogConfig, VARIABLES,
};
use std::path::{Path, PathBuf};

const DEFAULT_MAX_SIZE: u64 = 100 << 20;
const DEFAULT_MAX_FILES: u64 = 5;

/// The access logs of a document.
pub(super) fn access_logs(
    scope: &CheckContext,
    wants: &Wants,
    diagnostics: &mut Diagnostics,
) -> Vec<AccessLogConfig> {
    let Some(Spanned { value, span }) = &scope.document.access_log else { return Vec::new() };
    match value {
        AccessLogDocument::Text(text) if text.eq_ignore_ascii_case("true") => {
            vec![AccessLogConfig { format: LogFormat::Json, output: OutputConfig::Stdout }]
        }
        AccessLogDocument::Text(text) if text.eq_ignore_ascii_case("false") => Vec::new(),
        AccessLogDocument::Text(text) => {
            diagnostics
                .error(codes::BAD_ACCESS_LOG, *span, format!("invalid AccessLog \"{text}\""))
                .help("expected true, false or an object");
            Vec::new()
        }
        AccessLogDocument::Form(form) => {
            let logs = FormCompiler { scope, form, diagnostics }.logs(wants);
            if form.enabled.as_ref().is_none_or(|on| on.value) { logs } else { Vec::new() }
        }
    }
}

struct FormCompiler<'c> {
    scope: &'c CheckContext<'c>,
    form: &'c AccessLogForm,
    diagnostics: &'c mut Diagnostics,
}

impl FormCompiler<'_> {
    fn logs(&mut self, wants: &Wants) -> Vec<AccessLogConfig> {
        let format = self.format();
        let collector = wants.collector("AccessLog.Otlp", &self.form.otlp, self.diagnostics);
        let is_sent_only = self.form.otlp.as_ref().is_some_and(|on| on.value);
        let output = self.output().or_else(|| (!is_sent_only).then_some(OutputConfig::Stdout));
        let sent = collector.map(|collector| AccessLogConfig {
            format: LogFormat::Json,
            output: OutputConfig::Otlp(collector),
        });
        output.map(|output| AccessLogConfig { format, output }).into_iter().chain(sent).collect()
    }

    fn error(&mut self, span: Span, message: impl Into<String>, help: &str) {
        self.diagnostics.error(codes::BAD_ACCESS_LOG, span, message).help(help);
    }

    fn format(&mut self) -> LogFormat {
        let named = match self.form.format.as_ref().map(|format| format.value) {
            Some(AccessLogFormat::Combined) => LogFormat::Combined,
            Some(AccessLogFormat::Json) | None => LogFormat::Json,
        };
        let Some(source) = non_blank(&self.form.template) else { return named };
        if let Some(format) = &self.form.format {
            let help = "remove one of them";
            self.error(format.span, "AccessLog has Format and Template", help);
        }
        let template = match LineTemplate::compile(&source.value) {
            Ok(template) => template,
            Err(error) => {
                let message = format!("malformed AccessLog.Template: {error}");
                self.diagnostics
                    .error(codes::BAD_LOG_TEMPLATE, source.span, message)
                    .help("expected a Jinja template such as {{ method }} {{ path }} {{ status }}");
                return named;
            }
        };
        for name in template.unknown_variables() {
            let message = format!("unknown variable `{name}` in AccessLog.Template");
            let diagnostic = self.diagnostics.error(codes::BAD_LOG_TEMPLATE, source.span, message);
            if let Some(meant) = suggest::closest_match(&name, VARIABLES.iter().copied()) {
                diagnostic.help(format!("did you mean `{meant}`?"));
            }
            diagnostic.help(format!("expected one of {}", VARIABLES.join(", ")));
        }
        LogFormat::Template(source.value.clone())
    }

    /// The file or the syslog server.
    fn output(&mut self) -> Option<OutputConfig> {
        let (file, syslog) = (non_blank(&self.form.file), non_blank(&self.form.syslog));
        if let (Some(_), Some(syslog)) = (file, syslog) {
            self.error(syslog.span, "AccessLog has File and Syslog", "remove one of them");
        }
        self.report_without("File", file.is_none(), &self.form.max_size);
        self.report_without("File", file.is_none(), &self.form.max_files);
        self.report_without("Syslog", syslog.is_none(), &self.form.syslog_facility);
        self.report_without("Syslog", syslog.is_none(), &self.form.app_name);
        match (file, syslog) {
            (Some(file), _) => Some(self.file(file)),
            (None, Some(syslog)) => self.syslog(syslog),
            (None, None) => None,
        }
    }

    /// A setting without effect.
    fn report_without<T>(&mut self, needed: &str, is_missing: bool, setting: &Setting<T>) {
        if let Some(setting) = setting.as_ref().filter(|_| is_missing) {
            let message = format!("the setting has no effect without {needed}");
            self.error(setting.span, message, &format!("set AccessLog.{needed}, or remove the setting"));
        }
    }

    fn file(&mut self, file: &Spanned<String>) -> OutputConfig {
        let source = self.scope.sources.get(file.span.file).and_then(|source| source.path.as_deref());
        let folder = source.and_then(Path::parent);
        let path = folder.map_or_else(|| PathBuf::from(&file.value), |folder| folder.join(&file.value));
        let mut range = RangeChecker::for_code(codes::BAD_ACCESS_LOG, self.diagnostics);
        let (min, max) = (64 << 10, 1 << 40);
        let size: &Setting<SizeText> = &self.form.max_size;
        let max_bytes = range.size("AccessLog.MaxSize", size, DEFAULT_MAX_SIZE, min, max);
        let max_files = range.number("AccessLog.MaxFiles", &self.form.max_files, 1, 1000);
        OutputConfig::File(FileConfig {
            path,
            max_bytes: Some(max_bytes as u64),
            max_files: u32::try_from(max_files.unwrap_or(DEFAULT_MAX_FILES)).unwrap_or(1),
        })
    }

    fn syslog(&mut self, syslog: &Spanned<String>) -> Option<OutputConfig> {
        let facility = self.facility();
        let app_name = non_blank(&self.form.app_name).map_or("margay", |name| name.trim()).to_owned();
        let Some(address) = syslog_address(syslog.trim()) else {
            self.diagnostics
                .error(codes::BAD_SYSLOG, syslog.span, format!("invalid syslog server \"{}\"", syslog.value))
                .help("expected unix:/dev/log or udp:host:port");
            return None;
        };
        Some(OutputConfig::Syslog(SyslogConfig { address, facility, app_name }))
    }

    fn facility(&mut self) -> u8 {
        let name = non_blank(&self.form.syslog_facility);
        let text = name.map_or("local0", |name| name.trim());
        let found = FACILITIES.iter().position(|facility| facility.eq_ignore_ascii_case(text));
        if let (None, Some(name)) = (found, name) {
            self.diagnostics
                .error(codes::BAD_SYSLOG, name.span, format!("unknown syslog facility \"{}\"", name.value))
                .help(format!("expected one of {}", FACILITIES.join(", ")));
        }
        u8::try_from(found.unwrap_or(16)).unwrap_or(16)
    }
}

fn syslog_address(text: &str) -> Option<SyslogAddress> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
        return Some(SyslogAddress::Unix(PathBuf::from(path)));
    }
    let address = text.strip_prefix("udp:")?;
    let (host, port) = address.rsplit_once(':')?;
    let is_valid = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_valid.then(|| SyslogAddress::Udp(address.to_owned()))
}
