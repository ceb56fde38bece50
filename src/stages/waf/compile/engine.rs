//! `WafEngine` → the engine.

use super::choice::choose;
use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, ReferencedFiles, Span, codes};
use crate::stages::waf::config::{WafEngineConfig, WafLogTarget};
use crate::stages::waf::country::CountryDatabase;
use crate::stages::waf::options::WafEngineDocument;
use crate::stages::waf::rule_source::find_directory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The value of `Rules` for the rules of the binary.
const BUILT_IN: &str = "built-in";

/// The files of the engine.
#[derive(Clone, Debug, Default)]
pub struct EngineFiles {
    /// The directory of managed rules; none for the built-in ones.
    pub rules: Option<PathBuf>,
    /// The setting that names the directory; none if it is found elsewhere.
    pub rules_span: Option<Span>,
    /// The countries of addresses.
    pub countries: Option<Arc<CountryDatabase>>,
}

/// Compiles the section. `folder` is that of the configuration file.
pub fn compile_engine(
    document: &WafEngineDocument,
    folder: &Path,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> (WafEngineConfig, EngineFiles) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut ranges = RangeChecker::for_section("WafEngine", diagnostics);
    let threads = ranges.number("Threads", &document.threads, 1, 256).map_or(cores, |count| count as usize);
    let queue_limit = ranges.number("QueueLimit", &document.queue_limit, 1, 100_000).unwrap_or(256) as usize;
    let queue_timeout = ranges.time(
        "QueueTimeout",
        &document.queue_timeout,
        Duration::from_millis(250),
        Duration::from_millis(1),
        Duration::from_secs(60),
    );
    let overload = [("Refuse", true), ("Pass", false)];
    let refuses_on_overload = choose("OnOverload", document.on_overload.as_ref(), &overload, diagnostics);
    let log = match document.log.as_ref().map(|log| log.trim()) {
        None | Some("stdout") => WafLogTarget::Stdout,
        Some("off") => WafLogTarget::Off,
        Some(path) => WafLogTarget::File(folder.join(path)),
    };
    let rules = document.rules.as_ref().map(|rules| rules.trim());
    let directory = match rules {
        Some(BUILT_IN) => None,
        rules => find_directory(rules.map(|rules| folder.join(rules)).as_deref()),
    };
    let rules_span = document.rules.as_ref().map(|rules| rules.span);
    let countries = countries(document, attached, diagnostics);
    let files = EngineFiles { rules: directory, rules_span, countries };
    let rules = String::new();
    (WafEngineConfig { threads, queue_limit, queue_timeout, refuses_on_overload, log, rules }, files)
}

fn countries(
    document: &WafEngineDocument,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<CountryDatabase>> {
    let setting = document.country_file.as_ref()?;
    let content = attached.get(setting.span).map(<[u8]>::to_vec).map_err(str::to_owned);
    match content.and_then(CountryDatabase::new) {
        Ok(database) => Some(Arc::new(database)),
        Err(error) => {
            let message = format!("CountryFile {} cannot be read: {error}", setting.value);
            diagnostics
                .error(codes::WAF_COUNTRY_FILE, setting.span, message)
                .help("expected a MaxMind DB file, such as GeoLite2-Country.mmdb");
            None
        }
    }
}
