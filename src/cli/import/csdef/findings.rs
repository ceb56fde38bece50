//! What becomes of each part of the input, and what is wrong with it.

use super::xml::Element;

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Mapped,
    Changed,
    Ignored,
    Error,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Fate::Mapped => "mapped",
            Fate::Changed => "changed",
            Fate::Ignored => "ignored",
            Fate::Error => "error",
        }
    }
}

/// The report.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The file that is being read.
    pub file: String,
    lines: Vec<(Fate, String)>,
}

impl Findings {
    /// Adds a line about an element.
    pub fn add(&mut self, fate: Fate, element: &Element, what: impl AsRef<str>) {
        self.lines.push((fate, format!("{}:{} {}", self.file, element.line, what.as_ref())));
    }

    /// Adds a mistake of the input.
    pub fn error(&mut self, element: &Element, what: impl AsRef<str>) {
        self.add(Fate::Error, element, what);
    }

    /// Adds a mistake at a line.
    pub fn error_at(&mut self, line: usize, what: &str) {
        self.lines.push((Fate::Error, format!("{}:{line} {what}", self.file)));
    }

    /// Reports the children and attributes that are not taken over.
    pub fn ignore_others(&mut self, element: &Element, attributes: &[&str], children: &[&str]) {
        for (name, _) in &element.attributes {
            let is_namespace = name == "xmlns" || name.starts_with("xmlns:") || name.contains(':');
            if !is_namespace && !attributes.contains(&name.as_str()) {
                self.add(Fate::Ignored, element, format!("{} {name}", element.name));
            }
        }
        for child in &element.children {
            if !children.contains(&child.name.as_str()) {
                self.add(Fate::Ignored, child, &child.name);
            }
        }
    }

    /// Whether anything is wrong.
    pub fn has_errors(&self) -> bool {
        self.lines.iter().any(|(fate, _)| *fate == Fate::Error)
    }

    /// One line for each part.
    pub fn text(&self) -> String {
        self.lines.iter().map(|(fate, what)| format!("{} {what}\n", fate.name())).collect()
    }
}
