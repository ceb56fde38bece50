//! What is answered when all attempts failed: from an option object to settings.

use super::cluster::Clusters;
use super::route::RouteCompiler;
use crate::backend::attempt::fallback::{Failure, FallbackConfig, StaticResponse};
use crate::config::{Spanned, codes, suggest};
use crate::plan::blueprint::ClusterBlueprint;
use crate::plan::check::{items, non_blank, values};
use crate::plan::document::{FallbackOptions, List, StaticResponseDocument};
use crate::plan::inherit::merge;
use std::sync::Arc;

impl RouteCompiler<'_, '_, '_> {
    /// The settings go into `settings`; what is given back is the cluster that they name.
    pub(super) fn fallback(
        &mut self,
        clusters: &Clusters,
        settings: &mut Option<FallbackConfig>,
    ) -> Option<Arc<ClusterBlueprint>> {
        let key = self.document.key.as_ref().map(|key| key.as_str());
        let group = self.scope.groups.fallback.as_ref();
        let options = merge(&self.document.fallback, group, key)?.into_owned();
        if options.enable_fallback.as_ref().is_some_and(|on| !on.value) {
            return None;
        }
        let cluster = non_blank(&options.cluster);
        self.report_missing_target(&options);
        *settings = Some(FallbackConfig {
            on_failures: self.failure_conditions(&options.on),
            statuses: self.failing_statuses(&options.on_status, codes::BAD_FALLBACK),
            reply: options.reply.as_ref().map(|reply| self.static_response(reply)),
        });
        let name = cluster?;
        let found = clusters.named(name).cloned();
        if found.is_none() {
            clusters.unknown(name, self.diagnostics);
        }
        found
    }

    fn report_missing_target(&mut self, options: &FallbackOptions) {
        if non_blank(&options.cluster).is_none() && options.reply.is_none() {
            let place = self.document.fallback.as_ref().map(|own| own.span);
            let place = place.or(self.scope.global.fallback.as_ref().map(|global| global.span));
            let message = "FallbackOptions with neither a Cluster nor a Reply".to_owned();
            let help = "write what is answered instead: \"Reply\": { \"Status\": 503, \"Body\": \"...\" }";
            self.report(codes::BAD_FALLBACK, place.unwrap_or(self.document.span), message, help);
        }
    }

    fn failure_conditions(&mut self, list: &List<String>) -> Vec<Failure> {
        if list.is_none() {
            return Failure::ALL.map(|(_, failure)| failure).to_vec();
        }
        let mut failures = Vec::new();
        for word in items(list) {
            match Failure::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(word.trim())) {
                Some((_, failure)) => failures.push(*failure),
                None => {
                    let message = format!("FallbackOptions.On cannot hold \"{}\"", word.value);
                    let words = Failure::ALL.map(|(word, _)| word);
                    let help = format!("the words are {}", suggest::list(&words));
                    self.report(codes::BAD_FALLBACK, word.span, message, &help);
                }
            }
        }
        failures
    }

    fn static_response(&mut self, reply: &Spanned<StaticResponseDocument>) -> StaticResponse {
        let status = reply.status.as_ref().map_or(503, |status| status.value);
        if let Some(written) = reply.status.as_ref().filter(|set| !(200..=599).contains(&set.value)) {
            let message = format!("the Status of a Reply is {}", written.value);
            self.report(codes::BAD_FALLBACK, written.span, message, "it may be 200 to 599");
        }
        let mut fields = Vec::new();
        for (name, value) in reply.headers.iter().flat_map(|map| map.iter()) {
            let value = value.as_ref().map_or("", |value| value.as_str());
            let sound = values::is_token(name) && !super::header_transforms::is_framing(name);
            if !sound || value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                let message = format!("the header \"{}\" of a Reply cannot be sent", name.value);
                let help = "take a header that does not frame messages, and a value of one line";
                self.report(codes::BAD_FALLBACK, name.span, message, help);
            }
            fields.push((name.value.clone(), value.to_owned()));
        }
        let body = reply.body.as_ref().map_or(String::new(), |body| body.value.clone());
        StaticResponse { status: u16::try_from(status).unwrap_or(503), fields, body }
    }
}
