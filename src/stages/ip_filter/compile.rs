//! `SecurityOptions` → the address lists.

use super::{IpFilter, SecurityOptions};
use crate::{
    base::ip_set::IpRange,
    config::{Diagnostics, OcelotBehavior, OcelotTolerated, Span, codes, values::items},
    stages::feature::{CompileContext, Feature, GatewayFacts, Origin},
};

impl Feature for SecurityOptions {
    type Config = IpFilter;

    /// Invalid entries are reported by `check`; Ocelot ignores them.
    fn compile(&self, _: &mut CompileContext) -> Option<IpFilter> {
        Some(IpFilter::from_options(self)).filter(|filter| !filter.is_empty())
    }

    fn check(&self, _: Span, _: Origin, gateway: &GatewayFacts, diagnostics: &mut Diagnostics) {
        for entry in items(&self.allowed).iter().chain(items(&self.blocked)) {
            if IpRange::parse(entry).is_some() {
                continue;
            }
            let message = format!("invalid address, range or network \"{}\"", entry.value);
            let result = OcelotBehavior::Effect("the entry is ignored");
            OcelotTolerated::new(codes::BAD_ADDRESS_RANGE, result, message)
                .help("expected 10.0.0.1, 10.0.0.1-9, 10.0.0.1-10.0.1.9 or 10.0.0.0/8")
                .report(diagnostics, gateway.ocelot, entry.span);
        }
    }
}
