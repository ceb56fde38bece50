//! Texts with `%{VARIABLE}` in them.

use super::collection::Collection;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacroPiece {
    /// Text as it is.
    Text(String),
    /// The value of a variable, or of one of its members.
    Variable(Collection, Option<String>),
}

/// A text that is expanded when it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MacroText {
    /// The pieces, in order; a text without variables is one piece.
    pub pieces: Vec<MacroPiece>,
}

impl MacroText {
    /// Reads `%{NAME}` and `%{NAME.member}`; an unknown variable stays as it is written.
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("%{") {
            let Some(length) = rest[start..].find('}') else { break };
            let name = &rest[start + 2..start + length];
            let after = &rest[start + length + 1..];
            push_text(&mut pieces, &rest[..start]);
            match variable(name) {
                Some(piece) => pieces.push(piece),
                None => push_text(&mut pieces, &rest[start..=start + length]),
            }
            rest = after;
        }
        push_text(&mut pieces, rest);
        Self { pieces }
    }

    /// The text, if it has no variables.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [MacroPiece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = (Collection, Option<&str>)> {
        self.pieces.iter().filter_map(|piece| match piece {
            MacroPiece::Text(_) => None,
            MacroPiece::Variable(collection, member) => Some((*collection, member.as_deref())),
        })
    }

    /// The text with the value of every variable, which `value` appends.
    pub fn expand(&self, mut value: impl FnMut(Collection, Option<&str>, &mut Vec<u8>)) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in &self.pieces {
            match piece {
                MacroPiece::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                MacroPiece::Variable(collection, member) => value(*collection, member.as_deref(), &mut text),
            }
        }
        text
    }
}

fn push_text(pieces: &mut Vec<MacroPiece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(MacroPiece::Text(before)) => before.push_str(text),
        _ => pieces.push(MacroPiece::Text(text.to_owned())),
    }
}

fn variable(name: &str) -> Option<MacroPiece> {
    let (collection, member) = match name.split_once(['.', ':']) {
        Some((collection, member)) => (collection, Some(member.to_owned())),
        None => (name, None),
    };
    Collection::from_name(collection).map(|collection| MacroPiece::Variable(collection, member))
}
