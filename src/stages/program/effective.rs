//! Effective sections: the documents of a chain, joined by `base`.

use super::{
    instruction::{Described, EffectiveSection, Instruction, Program},
    section::Section,
};

/// One section of a compiled document.
#[derive(Clone, Debug, Default)]
pub struct DocumentSection {
    pub before: EffectiveSection,
    /// Whether the section of the broader scope stands between.
    pub has_base: bool,
    pub after: EffectiveSection,
}

/// A compiled document; `None`: it has no such section.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub sections: [Option<DocumentSection>; 4],
}

/// The effective program of a chain, the narrowest document first. `forward` is the built-in statement of `backend`.
pub fn effective(chain: &[&Document], forward: &(Instruction, Described)) -> Program {
    Program::new(Section::ALL.map(|section| effective_section(chain, section, forward)))
}

fn effective_section(
    chain: &[&Document],
    section: Section,
    forward: &(Instruction, Described),
) -> EffectiveSection {
    let Some((first, rest)) = chain.split_first() else {
        return match section {
            Section::Backend => {
                EffectiveSection { instructions: vec![forward.0.clone()], described: vec![forward.1.clone()] }
            }
            _ => EffectiveSection::default(),
        };
    };
    let Some(own) = &first.sections[section as usize] else {
        return effective_section(rest, section, forward);
    };
    let mut joined = own.before.clone();
    if own.has_base {
        extend(&mut joined, effective_section(rest, section, forward));
    }
    extend(&mut joined, own.after.clone());
    joined
}

fn extend(joined: &mut EffectiveSection, other: EffectiveSection) {
    joined.instructions.extend(other.instructions);
    joined.described.extend(other.described);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::program::{Origin, Scope};
    use std::sync::Arc;

    fn described(name: &str) -> Described {
        let origin = Origin {
            scope: Scope::Global,
            file: "f".into(),
            pointer: String::new(),
            span: Default::default(),
            path: name.into(),
            id: String::new(),
            statement: "set-header",
        };
        Described { origin: Arc::new(origin), statement: Arc::default() }
    }

    /// A section as written: names, and `base`.
    type SectionModel = Option<Vec<Option<u32>>>;

    fn compiled(section: &SectionModel) -> Option<DocumentSection> {
        let items = section.as_ref()?;
        let mut section = DocumentSection::default();
        for item in items {
            match item {
                None => section.has_base = true,
                Some(n) if section.has_base => section.after.described.push(described(&n.to_string())),
                Some(n) => section.before.described.push(described(&n.to_string())),
            }
        }
        Some(section)
    }

    /// The definition of the specification.
    fn model(chain: &[SectionModel]) -> Vec<String> {
        let Some((first, rest)) = chain.split_first() else { return Vec::new() };
        match first {
            None => model(rest),
            Some(items) => items
                .iter()
                .flat_map(|item| match item {
                    None => model(rest),
                    Some(n) => vec![n.to_string()],
                })
                .collect(),
        }
    }

    #[test]
    fn fifty_thousand_chains_equal_the_recursive_definition() {
        let mut random = fastrand::Rng::with_seed(7);
        let forward = (Instruction::Skip(0), described("forward-request"));
        for _ in 0..50_000 {
            let chain: Vec<SectionModel> = (0..random.usize(0..8))
                .map(|_| {
                    if random.bool() {
                        return None;
                    }
                    let mut items: Vec<Option<u32>> =
                        (0..random.usize(0..4)).map(|_| Some(random.u32(..))).collect();
                    if random.bool() {
                        items.insert(random.usize(0..=items.len()), None);
                    }
                    Some(items)
                })
                .collect();
            let documents: Vec<Document> = chain
                .iter()
                .map(|written| Document { sections: [compiled(written), None, None, None] })
                .collect();
            let program = effective(&documents.iter().collect::<Vec<_>>(), &forward);
            let found: Vec<String> = program
                .section(Section::Inbound)
                .described
                .iter()
                .map(|one| one.origin.path.clone())
                .collect();
            assert_eq!(found, model(&chain));
        }
    }
}
