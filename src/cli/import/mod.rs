//! `margay import`: converts the configuration of another gateway, or an OpenAPI document, into gateway.json.
//!
//! The importers are pure functions from a document to a configuration and a report of what was not taken over. Standard
//! output has the configuration, standard error the report.

mod address;
mod assemble;
pub mod arguments;
mod generated_tests;
mod hosts;
pub mod csdef;
pub mod kong;
mod match_order;
pub mod openapi;
#[cfg(test)]
mod property_tests;
mod report;
mod route_draft;
mod schemes;
mod settle;
mod source_text;
mod values;
pub mod yarp;

pub use report::Report;

use super::{Exit, format, output, progress::Progress, settings};
use crate::config::render;
use arguments::{Format, Import, ImportFiles};
use openapi::OpenapiOptions;
use serde_json::Value;
use source_text::MAX_SOURCE_BYTES;
use std::io::{self, Read};
use std::path::Path;

/// Objects down to this depth are on several lines.
const EXPANDED_DEPTH: usize = 3;

/// Converts the parsed document of another gateway.
type Importer<'i> = &'i dyn Fn(&Value) -> Result<(Value, Report), String>;

/// Imports a file.
pub(super) fn run(arguments: &Import) -> Exit {
    let (files, import): (&ImportFiles, Importer<'_>) = match &arguments.format {
        Format::Openapi(openapi) => {
            let options = OpenapiOptions {
                server: openapi.server.clone(),
                prefix: openapi.prefix.clone(),
                keep_base_path: openapi.keep_base_path,
            };
            return import_file(&openapi.files, &|source| openapi::import(source, &options));
        }
        Format::Yarp(files) => (files, &yarp::import),
        Format::Kong(files) => (files, &kong::import),
        Format::Csdef(csdef) => return csdef::run(csdef),
    };
    import_file(files, import)
}

fn import_file(files: &ImportFiles, import: Importer<'_>) -> Exit {
    if let Some(path) = files.output.as_deref().filter(|path| path.exists() && !files.force) {
        return Exit::failed(&format!("{} exists; pass --force to replace it", path.display()));
    }
    let name = files.source.display().to_string();
    let mut progress = Progress::start(&format!("reading {name}"));
    let text = match read(&files.source) {
        Ok(text) => text,
        Err(error) => return Exit::failed(&format!("cannot read {name}: {error}")),
    };
    progress.step("parsing");
    let source = match source_text::parse_source(&name, &text) {
        Ok(source) => source,
        Err(error) => return Exit::invalid(&error),
    };
    progress.step("converting");
    let (mut document, mut report) = match import(&source) {
        Ok(imported) => imported,
        Err(error) => return Exit::invalid(&format!("{name}: {error}")),
    };
    progress.step("checking");
    let loaded = settle::settle(&mut document, &mut report);
    let generated = match files.tests && !loaded.diagnostics.has_errors() {
        true => generated_tests::add(&mut document, &mut report),
        false => Ok(()),
    };
    progress.end();
    if loaded.diagnostics.has_errors() {
        output::write_stderr(&render::text(&loaded.diagnostics, &loaded.sources, settings::color_style()));
        return Exit::Invalid;
    }
    match generated.and_then(|()| write(files, &document, &report)) {
        Ok(()) => Exit::Done,
        Err(error) => Exit::failed(&error),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let limited =
        |input: &mut dyn Read, bytes: &mut Vec<u8>| input.take(MAX_SOURCE_BYTES + 1).read_to_end(bytes);
    match path.to_str() {
        Some("-") => limited(&mut io::stdin().lock(), &mut bytes)?,
        _ => limited(&mut std::fs::File::open(path)?, &mut bytes)?,
    };
    if bytes.len() as u64 > MAX_SOURCE_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB", MAX_SOURCE_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8"))
}

fn write(files: &ImportFiles, document: &Value, report: &Report) -> Result<(), String> {
    let text = format::format_value(document, EXPANDED_DEPTH);
    let save = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    match &files.output {
        Some(path) => save(path, &text)?,
        None => output::write_stdout(&text),
    }
    let text = if files.json { format!("{:#}\n", report.to_json()) } else { report.to_text() };
    match &files.report {
        Some(path) => save(path, &text),
        None => {
            output::write_stderr(&text);
            Ok(())
        }
    }
}
