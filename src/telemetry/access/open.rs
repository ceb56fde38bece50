//! Opens the destination of an access log on this machine.

use super::{
    config::{AccessLogConfig, LogFormat, OutputConfig},
    file::FileOutput,
    output::{LogOutput, WriterOutput},
    syslog::SyslogOutput,
    template::TemplateOutput,
};
use std::io;

/// Opens the destination of a log.
///
/// # Errors
///
/// A sentence for the operator.
pub(in crate::telemetry) fn open(config: &AccessLogConfig) -> Result<Box<dyn LogOutput>, String> {
    let output: Box<dyn LogOutput> = match &config.output {
        OutputConfig::Stdout => Box::new(WriterOutput(io::stdout())),
        OutputConfig::File(file) => Box::new(FileOutput::open(file.clone())?),
        OutputConfig::Syslog(syslog) => Box::new(SyslogOutput::new(syslog.clone())),
        OutputConfig::Otlp(collector) => {
            return Err(format!("{} is not on this machine", collector.endpoint));
        }
    };
    Ok(match &config.format {
        LogFormat::Json | LogFormat::Combined => output,
        LogFormat::Template(template) => Box::new(TemplateOutput::new(template, output)?),
    })
}
