//! `new`: objects, lists and their initializers.

use super::{lexer::Token, parser::Parser, syntax::Expr};

impl Parser {
    pub(super) fn new_expression(&mut self) -> Result<Expr, String> {
        if self.is("[") {
            self.at += 1;
            self.expect("]")?;
            return Ok(Expr::List(self.items()?));
        }
        if self.is("{") {
            return self.anonymous();
        }
        let class = self.type_name().ok_or("expected a type behind `new`")?;
        if class.ends_with("[]") {
            return Ok(Expr::List(self.items()?));
        }
        let arguments = if self.is("(") { self.arguments()? } else { Vec::new() };
        let members = if self.is("{") { self.initializer()? } else { Vec::new() };
        Ok(Expr::New { class, arguments, members })
    }

    fn items(&mut self) -> Result<Vec<Expr>, String> {
        self.expect("{")?;
        let mut items = Vec::new();
        while !self.take("}") {
            items.push(self.expression()?);
            if !self.take(",") && !self.is("}") {
                return Err("expected `,` or `}` in a list".to_owned());
            }
        }
        Ok(items)
    }

    fn anonymous(&mut self) -> Result<Expr, String> {
        self.expect("{")?;
        let mut members = Vec::new();
        while !self.take("}") {
            let name = self.name()?;
            // `new { name }` is `new { name = name }`.
            let value = if self.take("=") { self.expression()? } else { Expr::Name(name.clone()) };
            members.push((name, value));
            if !self.take(",") && !self.is("}") {
                return Err("expected `,` or `}` in an object".to_owned());
            }
        }
        Ok(Expr::Object(members))
    }

    /// `Key = value`.
    fn is_member_initializer(&self) -> bool {
        matches!(&self.tokens[self.at..], [Token::Name(_), Token::Symbol("="), ..])
    }

    /// `{ {"a", x}, ["b"] = y, Key = v, z }`.
    fn initializer(&mut self) -> Result<Vec<(Option<Expr>, Expr)>, String> {
        self.expect("{")?;
        let mut members = Vec::new();
        while !self.take("}") {
            if self.take("{") {
                let key = self.expression()?;
                self.expect(",")?;
                let value = self.expression()?;
                self.expect("}")?;
                members.push((Some(key), value));
            } else if self.take("[") {
                let key = self.expression()?;
                self.expect("]")?;
                self.expect("=")?;
                members.push((Some(key), self.expression()?));
            } else if self.is_member_initializer() {
                let name = self.name()?;
                self.expect("=")?;
                members.push((Some(Expr::Text(name)), self.expression()?));
            } else {
                members.push((None, self.expression()?));
            }
            if !self.take(",") && !self.is("}") {
                return Err("expected `,` or `}` in an initializer".to_owned());
            }
        }
        Ok(members)
    }
}
