//! The statements of `@{ }`.

use super::{
    lexer::Token,
    parser::Parser,
    syntax::{Expr, Statement},
};

/// Parses the statements of `@{ }`.
pub fn parse_block(text: &str) -> Result<Vec<Statement>, String> {
    let mut parser = Parser::new(text)?;
    let mut statements = Vec::new();
    while parser.peek().is_some() {
        parser.statement(&mut statements)?;
    }
    Ok(statements)
}

impl Parser {
    fn statement(&mut self, statements: &mut Vec<Statement>) -> Result<(), String> {
        self.enter()?;
        self.begin_statement();
        self.statement_within(statements)?;
        self.depth -= 1;
        Ok(())
    }

    fn statement_within(&mut self, statements: &mut Vec<Statement>) -> Result<(), String> {
        for word in
            ["for", "foreach", "while", "do", "try", "using", "switch", "throw", "lock", "unchecked", "goto"]
        {
            if self.is_name(word) {
                return Err(format!("`{word}` cannot be translated"));
            }
        }
        if self.take(";") {
            return Ok(());
        }
        if self.take("{") {
            while !self.take("}") {
                self.statement(statements)?;
            }
            return Ok(());
        }
        if self.is_name("return") {
            self.at += 1;
            let value = if self.is(";") { Expr::Null } else { self.expression()? };
            statements.push(Statement::Return(value));
            return self.expect(";");
        }
        if self.is_name("if") {
            return self.if_statement(statements);
        }
        if let Some((name, value)) = self.declaration()? {
            statements.push(Statement::Declare(name, value));
            return self.expect(";");
        }
        self.assignment(statements)
    }

    fn if_statement(&mut self, statements: &mut Vec<Statement>) -> Result<(), String> {
        self.at += 1;
        self.expect("(")?;
        let condition = self.expression()?;
        self.expect(")")?;
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        self.statement(&mut yes)?;
        if self.is_name("else") {
            self.at += 1;
            self.statement(&mut no)?;
        }
        statements.push(Statement::If(condition, yes, no));
        Ok(())
    }

    /// `var x = ...`, `string x = ...`.
    fn declaration(&mut self) -> Result<Option<(String, Expr)>, String> {
        let start = self.at;
        if self.type_name().is_some()
            && let Some(Token::Name(name)) = self.peek().cloned()
        {
            self.at += 1;
            if self.take("=") {
                return Ok(Some((name, self.expression()?)));
            }
            if self.is(";") {
                return Ok(Some((name, Expr::Null)));
            }
            if self.is("(") {
                return Err("local functions cannot be translated".to_owned());
            }
        }
        self.at = start;
        Ok(None)
    }

    fn assignment(&mut self, statements: &mut Vec<Statement>) -> Result<(), String> {
        let left = self.expression()?;
        let added = if self.take("+=") {
            true
        } else if self.take("=") {
            false
        } else {
            statements.push(Statement::Evaluate(left));
            return self.expect(";");
        };
        let value = self.expression()?;
        let value = if added { Expr::Binary("+", Box::new(left.clone()), Box::new(value)) } else { value };
        statements.push(match left {
            Expr::Name(name) => Statement::Assign(name, value),
            Expr::Index(owner, key, false) => match *owner {
                Expr::Name(name) => Statement::Set(name, *key, value),
                _ => return Err("an assignment to a nested member".to_owned()),
            },
            _ => return Err("an assignment to something that is not a variable".to_owned()),
        });
        self.expect(";")
    }
}
