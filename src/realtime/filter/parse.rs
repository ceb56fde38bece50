//! Recursive descent over the tokens of a filter. Precedence from low to high: `or`, `and`, comparisons, `not`, primary.

use super::{
    error::FilterError,
    expression::{Comparison, Expression, Function, Type},
    token::{Token, TokenKind, tokens},
};
use std::ops::Range;

/// Maximum nesting of parentheses, calls and `not`.
const MAX_DEPTH: usize = 64;

/// The expression of a filter; it is boolean.
pub fn parse(text: &str) -> Result<Expression, FilterError> {
    let tokens = tokens(text).map_err(|at| FilterError::syntax(text, at))?;
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let whole = parser.disjunction()?;
    match parser.peek().kind {
        TokenKind::End => parser.expect_type(whole, Type::Bool).map(|part| part.expression),
        _ => Err(parser.syntax_error()),
    }
}

/// A sub-expression and its bytes in the text.
struct Operand {
    expression: Expression,
    range: Range<usize>,
}

struct Parser<'t> {
    text: &'t str,
    /// The last one is the end.
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Range<usize> {
        let range = self.peek().range.clone();
        self.next += 1;
        range
    }

    fn word(&self) -> Option<&str> {
        let token = self.peek();
        (token.kind == TokenKind::Word).then(|| &self.text[token.range.clone()])
    }

    /// The next token is not allowed here.
    fn syntax_error(&self) -> FilterError {
        FilterError::syntax(self.text, self.peek().range.start)
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let is_next = self.word() == Some(word);
        self.next += usize::from(is_next);
        is_next
    }

    fn accept_mark(&mut self, mark: u8) -> Option<Range<usize>> {
        (self.peek().kind == TokenKind::Mark(mark)).then(|| self.advance())
    }

    fn expect_mark(&mut self, mark: u8) -> Result<Range<usize>, FilterError> {
        self.accept_mark(mark).ok_or_else(|| self.syntax_error())
    }

    /// Parses one level deeper.
    fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(FilterError::limit("it is nested deeper than 64 levels"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expect_type(&self, part: Operand, expected: Type) -> Result<Operand, FilterError> {
        let found = part.expression.value_type();
        if found == expected {
            return Ok(part);
        }
        Err(self.type_error(part.range, &part.expression, expected.name()))
    }

    /// Values that may be null are of the type `null` in messages.
    fn type_error(&self, range: Range<usize>, found: &Expression, expected: &str) -> FilterError {
        let name = if found.is_nullable() { Type::Null.name() } else { found.value_type().name() };
        FilterError::wrong_type(&self.text[range], name, expected)
    }

    fn disjunction(&mut self) -> Result<Operand, FilterError> {
        self.operands("or", Parser::conjunction, Expression::Or)
    }

    fn conjunction(&mut self) -> Result<Operand, FilterError> {
        self.operands("and", Parser::comparison, Expression::And)
    }

    /// Boolean operands with a keyword between them, or a single operand of any type.
    fn operands(
        &mut self,
        keyword: &str,
        operand: fn(&mut Self) -> Result<Operand, FilterError>,
        combine: fn(Vec<Expression>) -> Expression,
    ) -> Result<Operand, FilterError> {
        let first = operand(self)?;
        if self.word() != Some(keyword) {
            return Ok(first);
        }
        let first = self.expect_type(first, Type::Bool)?;
        let mut range = first.range;
        let mut all = vec![first.expression];
        while self.accept_word(keyword) {
            let next = operand(self)?;
            let next = self.expect_type(next, Type::Bool)?;
            range.end = next.range.end;
            all.push(next.expression);
        }
        Ok(Operand { expression: combine(all), range })
    }

    fn comparison(&mut self) -> Result<Operand, FilterError> {
        let left = self.negation()?;
        if self.accept_word("in") {
            return self.membership(left);
        }
        let Some(comparison) = self.word().and_then(Comparison::from_keyword) else { return Ok(left) };
        self.advance();
        let right = self.negation()?;
        let range = left.range.start..right.range.end;
        self.check_comparable(comparison, &left, &right)?;
        let operands = Box::new([left.expression, right.expression]);
        Ok(Operand { expression: Expression::Compare(comparison, operands), range })
    }

    fn check_comparable(&self, by: Comparison, left: &Operand, right: &Operand) -> Result<(), FilterError> {
        let is_equality = matches!(by, Comparison::Equal | Comparison::NotEqual);
        let (first, second) = (left.expression.value_type(), right.expression.value_type());
        for (part, of_type) in [(left, first), (right, second)] {
            if of_type == Type::List || (of_type == Type::Bool && !is_equality) {
                return Err(self.type_error(part.range.clone(), &part.expression, Type::Text.name()));
            }
        }
        match first == second || first == Type::Null || second == Type::Null {
            true => Ok(()),
            false => Err(self.type_error(right.range.clone(), &right.expression, first.name())),
        }
    }

    /// What follows `in`: the groups, or values in parentheses.
    fn membership(&mut self, left: Operand) -> Result<Operand, FilterError> {
        let of_type = left.expression.value_type();
        if matches!(of_type, Type::List | Type::Bool) {
            return Err(self.type_error(left.range, &left.expression, Type::Text.name()));
        }
        let start = left.range.start;
        if self.word().is_some() {
            let list = self.primary()?;
            let list = self.expect_type(list, Type::List)?;
            if !matches!(of_type, Type::Text | Type::Null) {
                return Err(self.type_error(left.range, &left.expression, Type::Text.name()));
            }
            let expression = Expression::InGroups(Box::new(left.expression));
            return Ok(Operand { expression, range: start..list.range.end });
        }
        self.expect_mark(b'(')?;
        let mut values = Vec::new();
        loop {
            let value = self.nested(Parser::primary)?;
            self.check_comparable(Comparison::Equal, &left, &value)?;
            values.push(value.expression);
            if let Some(end) = self.accept_mark(b')') {
                let expression = Expression::In(Box::new(left.expression), values);
                return Ok(Operand { expression, range: start..end.end });
            }
            self.expect_mark(b',')?;
        }
    }

    fn negation(&mut self) -> Result<Operand, FilterError> {
        let start = self.peek().range.start;
        if !self.accept_word("not") {
            return self.primary();
        }
        let inner = self.nested(Parser::negation)?;
        let range = start..inner.range.end;
        match inner.expression.value_type() {
            Type::Bool => Ok(Operand { expression: Expression::Not(Box::new(inner.expression)), range }),
            _ => Err(self.type_error(range, &inner.expression, Type::Bool.name())),
        }
    }

    fn primary(&mut self) -> Result<Operand, FilterError> {
        let Token { kind, range } = self.peek().clone();
        let expression = match kind {
            TokenKind::Integer(number) => Expression::Integer(number),
            TokenKind::Text(text) => Expression::Text(text),
            TokenKind::Mark(b'(') => {
                self.advance();
                let inner = self.nested(Parser::disjunction)?;
                let end = self.expect_mark(b')')?.end;
                return Ok(Operand { expression: inner.expression, range: range.start..end });
            }
            TokenKind::Word => return self.named(range),
            TokenKind::Mark(_) | TokenKind::End => return Err(self.syntax_error()),
        };
        self.advance();
        Ok(Operand { expression, range })
    }

    /// A constant, an identifier or a call.
    fn named(&mut self, range: Range<usize>) -> Result<Operand, FilterError> {
        let name = &self.text[range.clone()];
        let known = match name {
            "true" => Some(Expression::Bool(true)),
            "false" => Some(Expression::Bool(false)),
            "null" => Some(Expression::Null),
            _ if name.eq_ignore_ascii_case("userId") => Some(Expression::UserId),
            _ if name.eq_ignore_ascii_case("connectionId") => Some(Expression::ConnectionId),
            _ if name.eq_ignore_ascii_case("groups") => Some(Expression::Groups),
            _ => None,
        };
        let function = Function::from_name(name);
        self.advance();
        match (known, function) {
            (Some(expression), _) => Ok(Operand { expression, range }),
            (None, Some(function)) => self.call(function, range),
            // Services report the end of the text for two names in a row.
            (None, None) if self.peek().kind == TokenKind::Word => {
                Err(FilterError::syntax(self.text, self.text.len()))
            }
            (None, None) => Err(FilterError::syntax(self.text, range.start)),
        }
    }

    fn call(&mut self, function: Function, name: Range<usize>) -> Result<Operand, FilterError> {
        self.expect_mark(b'(')?;
        let (required, optional) = function.parameters();
        let mut arguments = Vec::new();
        for (index, expected) in required.iter().chain(optional).enumerate() {
            if index >= required.len() && self.peek().kind == TokenKind::Mark(b')') {
                break;
            }
            if index > 0 {
                self.expect_mark(b',')?;
            }
            let argument = self.nested(Parser::disjunction)?;
            arguments.push(self.check_argument(function, argument, *expected)?);
        }
        let end = self.expect_mark(b')')?.end;
        Ok(Operand { expression: Expression::Call(function, arguments), range: name.start..end })
    }

    fn check_argument(
        &self,
        function: Function,
        argument: Operand,
        expected: Type,
    ) -> Result<Expression, FilterError> {
        let found = argument.expression.value_type();
        let is_list_length = function == Function::Length && found == Type::List;
        match found == expected || found == Type::Null || is_list_length {
            true => Ok(argument.expression),
            false => Err(self.type_error(argument.range, &argument.expression, expected.name())),
        }
    }
}
