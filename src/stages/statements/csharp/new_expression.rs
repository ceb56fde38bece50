//! `new`: objects, lists and their initializers.

use super::{parser::Parser, syntax::Expr};

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
            self.expect("=")?;
            members.push((name, self.expression()?));
            if !self.take(",") && !self.is("}") {
                return Err("expected `,` or `}` in an object".to_owned());
            }
        }
        Ok(Expr::Object(members))
    }

    /// `{ {"a", x}, ["b"] = y, z }`.
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
