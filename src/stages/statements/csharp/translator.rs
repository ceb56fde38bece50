//! The translator from C# to CEL, and names that both languages have.

use super::syntax::Expr;

/// Translates C# to CEL.
#[derive(Clone, Copy, Debug)]
pub struct Translator;

/// A CEL string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The dotted name of a static class or namespace.
pub fn path(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.clone()),
        Expr::Member(owner, name, false) => Some(format!("{}.{name}", path(owner)?)),
        _ => None,
    }
}

/// A cast to a class.
pub fn cast(class: &str, inner: &str) -> String {
    match class {
        "string" | "String" | "char" => format!("text({inner})"),
        "int" | "long" | "byte" => format!("int({inner})"),
        "double" | "decimal" | "float" => format!("double({inner})"),
        "bool" => format!("bool({inner})"),
        _ => inner.to_owned(),
    }
}
