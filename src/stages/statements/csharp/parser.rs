//! The parser: expressions by precedence, and the statements of `@{ }`.

use super::{
    lexer::{Segment, Token, tokens},
    syntax::{Expr, TextPart},
};

/// Types that a cast may name.
const TYPES: [&str; 27] = [
    "string",
    "String",
    "int",
    "long",
    "bool",
    "double",
    "decimal",
    "float",
    "object",
    "byte",
    "char",
    "IResponse",
    "JObject",
    "JArray",
    "JToken",
    "JValue",
    "Jwt",
    "XElement",
    "XDocument",
    "Dictionary",
    "IDictionary",
    "List",
    "IEnumerable",
    "Uri",
    "DateTime",
    "Guid",
    "BasicAuthCredentials",
];
/// Operators from weak to strong.
const OPERATORS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!="], &["<", ">", "<=", ">="], &["+", "-"], &["*", "/", "%"]];
const MAX_DEPTH: usize = 60;
/// Maximum number of operators of an expression or a statement, calls and members included.
const MAX_OPERATORS: usize = 600;
/// The levels that an interpolated string counts as.
const INTERPOLATION_DEPTH: usize = 20;

/// Parses an expression.
pub fn parse_expression(text: &str) -> Result<Expr, String> {
    parse_whole(Parser::new(text)?)
}

fn parse_whole(mut parser: Parser) -> Result<Expr, String> {
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("unexpected {}", shown(token))),
    }
}

fn parts(segments: Vec<Segment>, depth: usize) -> Result<Vec<TextPart>, String> {
    let part = |segment| match segment {
        Segment::Literal(text) => Ok(TextPart::Literal(text)),
        Segment::Hole(text) => {
            let parser = Parser { depth: depth + INTERPOLATION_DEPTH, ..Parser::new(&text)? };
            parse_whole(parser).map(TextPart::Value)
        }
    };
    segments.into_iter().map(part).collect()
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Number(number) => format!("`{number}`"),
        Token::Text(_) | Token::Interpolated(_) => "a string".to_owned(),
        Token::Symbol(symbol) => format!("`{symbol}`"),
    }
}

/// A parser of tokens.
pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    pub(super) depth: usize,
    /// The operators of the expression, which bound the height of its tree.
    operators: usize,
}

impl Parser {
    /// A parser of a text.
    pub(super) fn new(text: &str) -> Result<Parser, String> {
        Ok(Parser { tokens: tokens(text)?, at: 0, depth: 0, operators: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.take(symbol) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), shown);
        Err(format!("expected `{symbol}`, found {found}"))
    }

    pub(super) fn name(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            other => {
                Err(format!("expected a name, found {}", other.map_or_else(|| "the end".to_owned(), shown)))
            }
        }
    }

    /// A type with its generic arguments and `[]`; `None` leaves the position undefined.
    pub(super) fn type_name(&mut self) -> Option<String> {
        self.count_operator().ok()?;
        let mut name = self.name().ok()?;
        while self.take(".") {
            name = self.name().ok()?;
        }
        if self.take("<") {
            loop {
                self.type_name()?;
                if !self.take(",") {
                    break;
                }
            }
            if !self.take(">") {
                return None;
            }
        }
        if self.is("[") && matches!(self.tokens.get(self.at + 1), Some(Token::Symbol("]"))) {
            self.at += 2;
            name.push_str("[]");
        }
        self.take("?");
        Some(name)
    }

    pub(super) fn expression(&mut self) -> Result<Expr, String> {
        self.enter()?;
        let expression = self.lambda_or_conditional();
        self.depth -= 1;
        expression
    }

    /// Enters a level of nesting.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err("the expression is nested too deeply".to_owned()),
            false => Ok(()),
        }
    }

    /// Begins a statement: the count of operators is that of the statement.
    pub(super) fn begin_statement(&mut self) {
        self.operators = 0;
    }

    fn count_operator(&mut self) -> Result<(), String> {
        self.operators += 1;
        match self.operators > MAX_OPERATORS {
            true => Err(format!("the expression has more than {MAX_OPERATORS} operators")),
            false => Ok(()),
        }
    }

    fn lambda_or_conditional(&mut self) -> Result<Expr, String> {
        if let (Some(Token::Name(name)), Some(Token::Symbol("=>"))) =
            (self.peek().cloned(), self.tokens.get(self.at + 1))
        {
            self.at += 2;
            return Ok(Expr::Lambda(name, Box::new(self.expression()?)));
        }
        if let [Token::Symbol("("), Token::Name(name), Token::Symbol(")"), Token::Symbol("=>"), ..] =
            &self.tokens[self.at..]
        {
            let name = name.clone();
            self.at += 4;
            return Ok(Expr::Lambda(name, Box::new(self.expression()?)));
        }
        let condition = self.coalesce()?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.expect(":")?;
        let no = self.expression()?;
        Ok(Expr::Conditional(Box::new(condition), Box::new(yes), Box::new(no)))
    }

    fn coalesce(&mut self) -> Result<Expr, String> {
        let left = self.binary(0)?;
        if !self.take("??") {
            return Ok(left);
        }
        self.count_operator()?;
        let right = self.coalesce()?;
        Ok(Expr::Binary("??", Box::new(left), Box::new(right)))
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = OPERATORS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        loop {
            let found = operators.iter().find(|operator| self.is(operator)).copied();
            let Some(operator) = found else {
                return Ok(left);
            };
            self.at += 1;
            self.count_operator()?;
            let right = self.binary(level + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Expr, String> {
        self.count_operator()?;
        if self.take("!") {
            return Ok(Expr::Not(Box::new(self.unary()?)));
        }
        if self.take("-") {
            return Ok(Expr::Negate(Box::new(self.unary()?)));
        }
        if let Some(class) = self.cast() {
            return Ok(Expr::Cast(class, Box::new(self.unary()?)));
        }
        let first = self.primary()?;
        self.postfix(first)
    }

    /// `(Type)` in front of an operand.
    fn cast(&mut self) -> Option<String> {
        let start = self.at;
        if self.take("(")
            && let Some(class) = self.type_name()
            && self.take(")")
        {
            let is_operand = match self.peek() {
                Some(Token::Symbol(symbol)) => *symbol == "(" || *symbol == "!",
                Some(_) => true,
                None => false,
            };
            if is_operand && TYPES.contains(&class.trim_end_matches("[]")) {
                return Some(class);
            }
        }
        self.at = start;
        None
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let Some(token) = self.peek().cloned() else {
            return Err("unexpected end".to_owned());
        };
        self.at += 1;
        Ok(match token {
            Token::Text(text) => Expr::Text(text),
            Token::Number(number) => Expr::Number(number),
            Token::Interpolated(segments) => Expr::Interpolated(parts(segments, self.depth)?),
            Token::Name(name) => match name.as_str() {
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                "null" => Expr::Null,
                "new" => return self.new_expression(),
                _ => Expr::Name(name),
            },
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                inner
            }
            token @ Token::Symbol(_) => return Err(format!("unexpected {}", shown(&token))),
        })
    }

    fn postfix(&mut self, mut left: Expr) -> Result<Expr, String> {
        loop {
            self.count_operator()?;
            if self.take(".") {
                left = Expr::Member(Box::new(left), self.name()?, false);
            } else if self.take("?.") {
                left = Expr::Member(Box::new(left), self.name()?, true);
            } else if self.is("[") || self.is("?[") {
                let is_conditional = self.is("?[");
                self.at += 1;
                let key = self.expression()?;
                self.expect("]")?;
                left = Expr::Index(Box::new(left), Box::new(key), is_conditional);
            } else if self.is("(") {
                let arguments = self.arguments()?;
                left = Expr::Call { callee: Box::new(left), generics: Vec::new(), arguments };
            } else if let Some(generics) = self.generics() {
                let arguments = self.arguments()?;
                left = Expr::Call { callee: Box::new(left), generics, arguments };
            } else {
                return Ok(left);
            }
        }
    }

    /// `<T, U>` in front of `(`.
    fn generics(&mut self) -> Option<Vec<String>> {
        let start = self.at;
        let mut generics = Vec::new();
        if self.take("<") {
            while let Some(class) = self.type_name() {
                generics.push(class);
                if !self.take(",") {
                    break;
                }
            }
            if self.take(">") && self.is("(") && !generics.is_empty() {
                return Some(generics);
            }
        }
        self.at = start;
        None
    }

    pub(super) fn arguments(&mut self) -> Result<Vec<Expr>, String> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.take(")") {
            // Named arguments: `preserveContent: true`.
            if let [Token::Name(_), Token::Symbol(":"), ..] = &self.tokens[self.at..] {
                self.at += 2;
            }
            arguments.push(self.expression()?);
            if !self.take(",") && !self.is(")") {
                return Err("expected `,` or `)` in a call".to_owned());
            }
        }
        Ok(arguments)
    }
}
