//! From the syntax tree to CEL.

use super::{
    syntax::{Expr, Statement, TextPart},
    translator::{Translator, cast, path, quoted},
};

/// Statements that follow an `if` are repeated in both branches.
const MAX_STATEMENTS: usize = 2000;
/// Maximum number of statements behind each other, each of which is a level of the expression.
const MAX_LEVELS: usize = 150;
/// Maximum number of texts that one call joins, without the first.
const MAX_CONCATENATED: usize = 60;

/// Whether an expression is certainly a text, so that `+` appends to it.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Text(_) | Expr::Interpolated(_) => true,
        Expr::Cast(class, _) => class.eq_ignore_ascii_case("string"),
        Expr::Binary("+", left, right) => is_text(left) || is_text(right),
        Expr::Call { callee, .. } => {
            matches!(&**callee, Expr::Member(_, name, _) if name == "ToString")
        }
        _ => false,
    }
}

/// A value that is compared with `"True"` or `"False"`, the texts of booleans in C#.
fn truth_word<'e>(left: &'e Expr, right: &'e Expr) -> Option<(&'e Expr, &'static str)> {
    let word = |expr: &Expr| match expr {
        Expr::Text(text) if text == "True" => Some("true"),
        Expr::Text(text) if text == "False" => Some("false"),
        _ => None,
    };
    word(right).map(|found| (left, found)).or_else(|| word(left).map(|found| (right, found)))
}

impl Translator {
    /// Translates an expression.
    pub fn expression(self, expr: &Expr) -> Result<String, String> {
        Ok(match expr {
            Expr::Text(text) => quoted(text),
            Expr::Number(number) => number.clone(),
            Expr::Bool(value) => value.to_string(),
            Expr::Null => "null".to_owned(),
            Expr::Interpolated(parts) => self.interpolated(parts)?,
            Expr::Name(name) => name.clone(),
            Expr::Member(owner, name, is_conditional) => self.member(owner, name, *is_conditional)?,
            Expr::Index(owner, key, _) => self.index(owner, key)?,
            Expr::Call { callee, generics, arguments } => self.call(callee, generics, arguments)?,
            Expr::New { class, arguments, members } => self.construct(class, arguments, members)?,
            Expr::List(items) => format!("[{}]", self.list(items)?),
            Expr::Object(members) => self.object(members)?,
            Expr::Cast(class, inner) => cast(class, &self.expression(inner)?),
            Expr::Not(inner) => format!("!({})", self.expression(inner)?),
            Expr::Negate(inner) => format!("-({})", self.expression(inner)?),
            Expr::Binary("??", left, right) => {
                format!("coalesce({}, {})", self.expression(left)?, self.expression(right)?)
            }
            Expr::Binary("+", left, right) if is_text(left) || is_text(right) => {
                self.concatenated(left, right)?
            }
            Expr::Binary(operator @ ("==" | "!="), left, right) if truth_word(left, right).is_some() => {
                self.truth(operator, truth_word(left, right))?
            }
            Expr::Binary(operator, left, right) => {
                format!("({} {operator} {})", self.expression(left)?, self.expression(right)?)
            }
            Expr::Conditional(condition, yes, no) => {
                format!(
                    "({} ? {} : {})",
                    self.expression(condition)?,
                    self.expression(yes)?,
                    self.expression(no)?
                )
            }
            Expr::Lambda(..) => return Err("a lambda outside of a call".to_owned()),
        })
    }

    fn truth(self, operator: &str, compared: Option<(&Expr, &str)>) -> Result<String, String> {
        let (value, word) = compared.ok_or("a comparison with a boolean")?;
        let value = self.expression(value)?;
        Ok(format!("(coalesce(text({value}), \"\").lower() {operator} {})", quoted(word)))
    }

    /// `a + b + c` of texts as one call.
    fn concatenated(self, left: &Expr, right: &Expr) -> Result<String, String> {
        let (mut first, mut rest) = (left, vec![right]);
        while let Expr::Binary("+", left, right) = first
            && (is_text(left) || is_text(right))
            && rest.len() < MAX_CONCATENATED
        {
            rest.push(right);
            first = left;
        }
        let mut parts = vec![self.expression(first)?];
        for part in rest.into_iter().rev() {
            parts.push(self.expression(part)?);
        }
        Ok(format!("concat({})", parts.join(", ")))
    }

    /// Expressions with commas between them.
    pub fn list(self, items: &[Expr]) -> Result<String, String> {
        let items: Result<Vec<String>, String> = items.iter().map(|one| self.expression(one)).collect();
        Ok(items?.join(", "))
    }

    fn object(self, members: &[(String, Expr)]) -> Result<String, String> {
        let members: Result<Vec<String>, String> = members
            .iter()
            .map(|(name, value)| Ok(format!("{}: {}", quoted(name), self.expression(value)?)))
            .collect();
        Ok(format!("{{{}}}", members?.join(", ")))
    }

    fn interpolated(self, parts: &[TextPart]) -> Result<String, String> {
        let parts: Result<Vec<String>, String> = parts
            .iter()
            .map(|part| match part {
                TextPart::Literal(text) => Ok(quoted(text)),
                TextPart::Value(value) => self.expression(value),
            })
            .collect();
        let parts = parts?;
        Ok(if parts.is_empty() { "\"\"".to_owned() } else { format!("concat({})", parts.join(", ")) })
    }

    fn member(self, owner: &Expr, name: &str, is_conditional: bool) -> Result<String, String> {
        let dotted = path(owner).map(|owner| format!("{owner}.{name}")).unwrap_or_default();
        match dotted.rsplit("System.").next().unwrap_or_default() {
            "string.Empty" | "String.Empty" => return Ok("\"\"".to_owned()),
            "DateTime.UtcNow" | "DateTime.Now" | "DateTimeOffset.UtcNow" => {
                return Ok("now()".to_owned());
            }
            _ => {}
        }
        if let Some(special) = self.special_member(owner, name)? {
            return Ok(special);
        }
        let owner = self.expression(owner)?;
        Ok(match name {
            "Length" | "Count" => format!("size({owner})"),
            _ if is_conditional => format!("{owner}.?{name}.orValue(null)"),
            _ => format!("{owner}.{name}"),
        })
    }

    /// An index: maps of `context` require the key, JSON returns null.
    fn index(self, owner: &Expr, key: &Expr) -> Result<String, String> {
        let is_context = path(owner).is_some_and(|path| path.starts_with("context."));
        let (owner, key) = (self.expression(owner)?, self.expression(key)?);
        Ok(if is_context { format!("{owner}[{key}]") } else { format!("{owner}[?{key}].orValue(null)") })
    }

    /// Translates the statements of `@{ }`.
    pub fn block(self, statements: &[Statement]) -> Result<String, String> {
        self.block_within(statements, (&mut 0, 0))
    }

    fn block_within(
        self,
        statements: &[Statement],
        (count, level): (&mut usize, usize),
    ) -> Result<String, String> {
        *count += 1;
        if *count > MAX_STATEMENTS || level > MAX_LEVELS {
            return Err("too many statements or branches".to_owned());
        }
        let Some((first, rest)) = statements.split_first() else {
            return Ok("null".to_owned());
        };
        match first {
            Statement::Return(value) => self.expression(value),
            Statement::Declare(name, value) | Statement::Assign(name, value) => {
                self.bind(name, &self.expression(value)?, rest, (count, level))
            }
            Statement::Set(name, key, value) => {
                let entry = format!("{{{}: {}}}", self.expression(key)?, self.expression(value)?);
                self.bind(name, &format!("merge({name}, {entry})"), rest, (count, level))
            }
            Statement::Evaluate(call) => {
                let (name, value) = self.added(call)?;
                self.bind(&name, &value, rest, (count, level))
            }
            Statement::If(condition, yes, no) => {
                let mut branch = |own: &[Statement]| {
                    let all: Vec<Statement> = own.iter().chain(rest).cloned().collect();
                    self.block_within(&all, (&mut *count, level + 1))
                };
                let (yes, no) = (branch(yes)?, branch(no)?);
                Ok(format!("({} ? {yes} : {no})", self.expression(condition)?))
            }
        }
    }

    fn bind(
        self,
        name: &str,
        value: &str,
        rest: &[Statement],
        (count, level): (&mut usize, usize),
    ) -> Result<String, String> {
        Ok(format!("cel.bind({name}, {value}, {})", self.block_within(rest, (count, level + 1))?))
    }
}
