//! Merges several files into one tree, as Ocelot merges the files of a directory.
//!
//! Routes, dynamic routes and aggregates are concatenated in the order of the files. `GlobalConfiguration` is taken from
//! the global file of a directory, or from the listed file that has it. Every other section may be in one file only.
//! Values keep their spans, so diagnostics refer to the file they came from.

use super::codes;
use super::de::is_extension_key;
use super::diagnostics::Diagnostics;
use super::files::SourceLayout;
use super::node::{Member, Node, Value};
use super::source::Sources;
use super::vocabulary::has_name;

const CONCATENATED_SECTIONS: [&str; 4] = ["Routes", "DynamicRoutes", "Aggregates", "TransportRoutes"];
const GLOBAL_CONFIGURATION: &str = "GlobalConfiguration";

/// The tree of one file.
pub struct MergeInput {
    pub tree: Node,
    /// Whether it is `gateway.global.json` or `ocelot.global.json`.
    pub is_global: bool,
}

/// Merges the trees of several files whose document has these sections; `None` if there are no trees.
pub fn merge(
    parts: Vec<MergeInput>,
    assembly: SourceLayout,
    sections: &[&str],
    ocelot: bool,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let span = parts.first()?.tree.span;
    if assembly == SourceLayout::Single {
        return parts.into_iter().next().map(|part| part.tree);
    }
    let mut merger = Merger { members: Vec::new(), assembly, sections, ocelot, sources, diagnostics };
    for part in parts {
        match part.tree.value {
            Value::Object(members) => {
                members.into_iter().for_each(|member| merger.merge_part(member, part.is_global));
            }
            _ => merger.not_an_object(&part.tree),
        }
    }
    Some(Node::new(span, Value::Object(merger.members)))
}

struct Merger<'a> {
    members: Vec<Member>,
    assembly: SourceLayout,
    /// The sections of the document.
    sections: &'a [&'a str],
    ocelot: bool,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
}

impl Merger<'_> {
    fn merge_part(&mut self, member: Member, from_global: bool) {
        let name = &*member.key.value;
        if is_extension_key(name) {
            return; // extension keys are not merged
        }
        if CONCATENATED_SECTIONS.iter().any(|list| list.eq_ignore_ascii_case(name)) {
            self.concatenate(member);
        } else if name.eq_ignore_ascii_case(GLOBAL_CONFIGURATION) && self.assembly == SourceLayout::Directory
        {
            if from_global { self.members.push(member) } else { self.global_ignored(&member) }
        } else if has_name(self.sections, name) {
            self.merge_unique_section(member);
        } else {
            self.members.push(member);
        }
    }

    fn concatenate(&mut self, member: Member) {
        if member.value.is_null() {
            return;
        }
        let existing = self.members.iter_mut().find(|m| m.key.value.eq_ignore_ascii_case(&member.key.value));
        match (existing, member.value.value) {
            (None, value) => self.members.push(Member { value: Node { value, ..member.value }, ..member }),
            // If the first one is not a list, the deserializer reports it.
            (Some(existing), Value::Array(items)) => {
                if let Some(all) = existing.value.items_mut() {
                    all.extend(items);
                }
            }
            (Some(_), other) => {
                let node = Node { value: other, ..member.value };
                let message =
                    format!("\"{}\": expected a list, found {}", member.key.value, node.type_name());
                self.diagnostics.error(codes::WRONG_TYPE, node.span, message);
            }
        }
    }

    fn global_ignored(&mut self, member: &Member) {
        let message =
            "GlobalConfiguration is ignored in this file: in a directory only the global file may contain it";
        self.diagnostics
            .warning(codes::GLOBAL_IGNORED, member.key.span, message)
            .help("move it to gateway.global.json (or ocelot.global.json)");
    }

    /// A section that may be in one file only.
    fn merge_unique_section(&mut self, member: Member) {
        let existing = self.members.iter().find(|m| m.key.value.eq_ignore_ascii_case(&member.key.value));
        let Some(existing) = existing else {
            self.members.push(member);
            return;
        };
        let place = self.sources.location(existing.key.span);
        let message = format!("\"{}\" is defined in two files", member.key.value);
        self.diagnostics
            .error_or_ocelot_warning(self.ocelot, codes::MERGE_CONFLICT, member.key.span, message)
            .help(format!("it is first defined at {place}; remove one of them"));
    }

    fn not_an_object(&mut self, tree: &Node) {
        let message = format!("configuration: expected an object, found {}", tree.type_name());
        self.diagnostics.error(codes::WRONG_TYPE, tree.span, message);
    }
}
