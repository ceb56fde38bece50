//! Operators and their arguments.

use super::macros::MacroText;
use super::pattern::Pattern;
use super::word_list::WordList;
use crate::waf::bytes::ByteSet;
use std::net::IpAddr;
use std::sync::Arc;

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    /// The value contains the argument.
    Contains,
    /// The argument contains the value.
    Within,
    /// Both are equal.
    Equals,
    /// The value begins with the argument.
    BeginsWith,
    /// The value ends with the argument.
    EndsWith,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the comparison of its name")]
pub enum NumberTest {
    Equal,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
}

/// A network: an address and the number of leading bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpAddr, pub u8);

/// An operator with its argument.
#[derive(Clone, Debug)]
pub enum Operator {
    /// `@rx`.
    Pattern(Arc<Pattern>),
    /// `@rx` with variables in its argument.
    PatternText(MacroText),
    /// `@pm`, `@pmFromFile`.
    Words(Arc<WordList>),
    /// A comparison of texts.
    Text(TextTest, MacroText),
    /// A comparison of numbers.
    Number(NumberTest, MacroText),
    /// `@ipMatch`, `@ipMatchFromFile`.
    Networks(Arc<Vec<Network>>),
    /// `@detectSQLi`.
    SqlInjection,
    /// `@detectXSS`.
    Script,
    /// `@validateByteRange`: matches when a byte is outside of the set.
    ByteRange(ByteSet),
    /// `@validateUrlEncoding`: matches an invalid escape.
    UrlEncoding,
    /// `@validateUtf8Encoding`: matches what is not UTF-8.
    Utf8,
    /// `@unconditionalMatch`.
    Always,
    /// `@noMatch`.
    Never,
}

/// An operator, perhaps negated.
#[derive(Clone, Debug)]
pub struct Condition {
    /// `!`.
    pub is_negated: bool,
    /// The operator.
    pub operator: Operator,
}

/// Reads a file that an operator names.
pub type ReadData<'r> = &'r dyn Fn(&str) -> Result<Vec<u8>, String>;

impl Condition {
    /// Reads `!@operator argument`; without an operator the text is a regular expression.
    pub fn parse(text: &str, data: ReadData<'_>) -> Result<Self, String> {
        let trimmed = text.trim_start();
        let (is_negated, rest) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, trimmed),
        };
        let Some(named) = rest.strip_prefix('@') else {
            let expression = if is_negated { rest } else { text };
            return Ok(Self { is_negated, operator: Operator::from_expression(expression)? });
        };
        let (name, argument) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
        Ok(Self { is_negated, operator: Operator::from_name(name, argument, data)? })
    }
}

impl Operator {
    fn from_expression(expression: &str) -> Result<Self, String> {
        let text = MacroText::parse(expression);
        match text.constant() {
            Some(_) => Ok(Self::Pattern(Arc::new(Pattern::new(expression, false)?))),
            None => Ok(Self::PatternText(text)),
        }
    }

    fn from_name(name: &str, argument: &str, data: ReadData<'_>) -> Result<Self, String> {
        let text = |test| Ok(Self::Text(test, MacroText::parse(argument)));
        let number = |test| Ok(Self::Number(test, MacroText::parse(argument.trim())));
        match name.to_ascii_lowercase().as_str() {
            "rx" => Self::from_expression(argument),
            "pm" => Ok(Self::Words(Arc::new(WordList::from_argument(argument)))),
            "pmf" | "pmfromfile" => {
                Ok(Self::Words(Arc::new(WordList::from_file(&read_all(argument, data)?))))
            }
            "contains" => text(TextTest::Contains),
            "within" => text(TextTest::Within),
            "streq" => text(TextTest::Equals),
            "beginswith" => text(TextTest::BeginsWith),
            "endswith" => text(TextTest::EndsWith),
            "eq" => number(NumberTest::Equal),
            "ge" => number(NumberTest::GreaterOrEqual),
            "gt" => number(NumberTest::Greater),
            "le" => number(NumberTest::LessOrEqual),
            "lt" => number(NumberTest::Less),
            "ipmatch" => networks(argument.split(',')),
            "ipmatchf" | "ipmatchfromfile" => {
                let file = read_all(argument, data)?;
                networks(
                    String::from_utf8_lossy(&file).lines().map(|line| line.split('#').next().unwrap_or("")),
                )
            }
            "detectsqli" => Ok(Self::SqlInjection),
            "detectxss" => Ok(Self::Script),
            "validatebyterange" => byte_range(argument).map(Self::ByteRange),
            "validateurlencoding" => Ok(Self::UrlEncoding),
            "validateutf8encoding" => Ok(Self::Utf8),
            "unconditionalmatch" => Ok(Self::Always),
            "nomatch" => Ok(Self::Never),
            _ => Err(format!("unknown operator `@{name}`")),
        }
    }
}

/// The texts of several files, one after another.
fn read_all(names: &str, data: ReadData<'_>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for name in names.split_ascii_whitespace() {
        all.extend(data(name)?);
        all.push(b'\n');
    }
    Ok(all)
}

fn networks<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Operator, String> {
    let texts = texts.map(str::trim).filter(|text| !text.is_empty());
    texts.map(Network::parse).collect::<Result<Vec<_>, _>>().map(|all| Operator::Networks(Arc::new(all)))
}

impl Network {
    /// Reads an address, or an address with a prefix length.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("expected an address or a network, found `{text}`");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let max_bits = if address.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(max_bits) {
            bits if bits <= max_bits => Ok(Self(address, bits)),
            _ => Err(invalid()),
        }
    }

    /// Whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, found, width) = match (self.0, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = width - u32::from(self.1);
        shift >= 128 || network >> shift == found >> shift
    }
}

/// `9,10,32-126`.
fn byte_range(argument: &str) -> Result<ByteSet, String> {
    let mut set = ByteSet::empty();
    for range in argument.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let byte =
            |text: &str| text.trim().parse::<u8>().map_err(|_| format!("invalid byte range `{range}`"));
        let (first, last) = (byte(first)?, byte(last)?);
        if first > last {
            return Err(format!("invalid byte range `{range}`"));
        }
        set = set.union(ByteSet::range(first, last));
    }
    Ok(set)
}
