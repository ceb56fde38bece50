//! `Bots`.

use super::choice::choose;
use crate::base::ip_set::IpRange;
use crate::config::values::{Setting, items};
use crate::config::{Diagnostics, ReferencedFiles, Span, Spanned, codes};
use crate::stages::waf::bots::{BotsConfig, VerifiedBot};
use crate::stages::waf::options::{WafBotsDocument, WafVerifiedBotDocument};
use crate::waf::policy::exclusion::PathPattern;

/// Compiles the section.
pub(super) fn compile(
    document: Option<&Spanned<WafBotsDocument>>,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Option<BotsConfig> {
    let document = document?;
    let actions = [("Block", true), ("Log", false)];
    let mut bots = BotsConfig {
        is_blocking: choose("Action", document.action.as_ref(), &actions, diagnostics),
        blocks_empty_agent: document.block_empty_agent.as_ref().is_some_and(|on| on.value),
        verified: verified(items(&document.verified_bots), diagnostics),
        ..BotsConfig::default()
    };
    let agents = items(&document.bad_agents).iter().map(|text| text.value.clone());
    let file = lines(&document.bad_agents_file, attached, diagnostics);
    for agent in agents.chain(file.into_iter().map(|(text, _)| text)) {
        add_agent(&mut bots, &agent);
    }
    let addresses = items(&document.bad_addresses).iter().map(|text| (text.value.clone(), text.span));
    let file = lines(&document.bad_addresses_file, attached, diagnostics);
    let ranges = addresses.chain(file).filter_map(|(text, span)| {
        let range = IpRange::parse(text.trim());
        if range.is_none() {
            diagnostics
                .error(codes::WAF_BOTS, span, format!("invalid address \"{text}\""))
                .help("expected 10.0.0.1, 10.0.0.1-9 or 10.0.0.0/8");
        }
        range
    });
    bots.addresses = ranges.collect();
    Some(bots)
}

fn add_agent(bots: &mut BotsConfig, agent: &str) {
    let agent = agent.trim().to_ascii_lowercase();
    match agent.contains('*') {
        _ if agent.is_empty() => {}
        true => bots.agent_patterns.push(PathPattern::new(&agent)),
        false => bots.agents.push(agent.into_bytes()),
    }
}

/// The lines of a file, without comments.
fn lines(
    file: &Setting<String>,
    attached: &ReferencedFiles,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Span)> {
    let Some(setting) = file else { return Vec::new() };
    match attached.get(setting.span) {
        Ok(content) => {
            let text = String::from_utf8_lossy(content);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(|line| (line.to_owned(), setting.span)).collect()
        }
        Err(error) => {
            diagnostics
                .error(
                    codes::WAF_BOTS,
                    setting.span,
                    format!("file {} cannot be read: {error}", setting.value),
                )
                .help("write a path relative to the configuration file");
            Vec::new()
        }
    }
}

fn verified(list: &[Spanned<WafVerifiedBotDocument>], diagnostics: &mut Diagnostics) -> Vec<VerifiedBot> {
    let mut bots = Vec::new();
    for document in list {
        let agent = document.agent.as_ref().map_or("", |agent| agent.trim()).to_ascii_lowercase();
        let domains: Vec<String> = items(&document.domains)
            .iter()
            .map(|text| text.trim().trim_matches('.').to_ascii_lowercase())
            .collect();
        if agent.is_empty() || domains.is_empty() || domains.iter().any(String::is_empty) {
            diagnostics
                .error(codes::WAF_BOTS, document.span, "a verified bot without Agent or Domains")
                .help("expected {\"Agent\": \"Googlebot\", \"Domains\": [\"googlebot.com\"]}");
            continue;
        }
        bots.push(VerifiedBot { agent: agent.into_bytes(), domains });
    }
    bots
}
