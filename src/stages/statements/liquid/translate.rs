//! Liquid as the language of the template engine.

use super::{
    filters::NAMES,
    lexer::{Inner, TemplateToken, Word, tokens, words},
};
use std::{collections::HashSet, fmt::Write};

/// The variables that `assign` and `capture` set; they hold in the whole template.
const VARIABLES: &str = "_v";

/// Translates a template.
pub(super) fn translate(text: &str) -> Result<String, String> {
    let tokens = tokens(text);
    let mut translator = Translator { assigned: assigned(&tokens), ..Translator::default() };
    if !translator.assigned.is_empty() {
        let _ = write!(translator.output, "{{% set {VARIABLES} = namespace() %}}");
    }
    for part in tokens {
        match part {
            TemplateToken::Text(text) => translator.text(text),
            TemplateToken::Output(inner) => {
                let value = translator.value(inner.text)?;
                translator.braces("{{", &value, "}}", inner);
            }
            TemplateToken::Tag(inner) => translator.tag(inner)?,
        }
    }
    match translator.open.pop() {
        Some(block) => Err(format!("`{}` is not closed", block.word)),
        None => Ok(translator.output),
    }
}

fn assigned(tokens: &[TemplateToken<'_>]) -> HashSet<String> {
    let name = |part: &TemplateToken<'_>| match part {
        TemplateToken::Tag(inner) => {
            let (word, rest) = split(inner.text);
            let name = rest.split(['=', ' ']).next().unwrap_or_default();
            matches!(word, "assign" | "capture").then(|| name.trim_matches(['\'', '"']).to_owned())
        }
        _ => None,
    };
    tokens.iter().filter_map(name).collect()
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// A block that is not closed yet.
struct Block {
    word: &'static str,
    /// The variable of a loop.
    variable: Option<String>,
    /// The value of a `case`.
    subject: String,
}

#[derive(Default)]
struct Translator {
    output: String,
    assigned: HashSet<String>,
    open: Vec<Block>,
}

const LOOPS: [&str; 3] = ["for", "JSONArrayFor", "JSONArray"];

impl Translator {
    fn text(&mut self, text: &str) {
        for (at, piece) in text.split('{').enumerate() {
            if at > 0 {
                self.output.push_str("{{ '{' }}");
            }
            self.output.push_str(piece);
        }
    }

    fn braces(&mut self, open: &str, content: &str, close: &str, inner: Inner<'_>) {
        let (before, after) =
            (if inner.trims_before { "-" } else { "" }, if inner.trims_after { "-" } else { "" });
        let _ = write!(self.output, "{open}{before} {content} {after}{close}");
    }

    fn tag(&mut self, inner: Inner<'_>) -> Result<(), String> {
        let (word, rest) = split(inner.text);
        let content = match word {
            "if" | "unless" => {
                let word = if word == "if" { "if" } else { "unless" };
                self.push(word, None, String::new());
                let condition = self.condition(rest)?;
                if word == "if" { format!("if {condition}") } else { format!("if not ({condition})") }
            }
            "elsif" => format!("elif {}", self.condition(rest)?),
            "else" => "else".to_owned(),
            "case" => {
                let subject = self.value(rest)?;
                self.push("case", None, subject);
                "if false".to_owned()
            }
            "when" => format!("elif {}", self.when(rest)?),
            "assign" => {
                let (name, value) = rest.split_once('=').ok_or("expected `assign NAME = VALUE`")?;
                format!("set {VARIABLES}.{} = {}", identifier(name.trim())?, self.value(value)?)
            }
            "capture" => {
                self.push("capture", None, String::new());
                format!("set {VARIABLES}.{}", identifier(rest.trim_matches(['\'', '"']))?)
            }
            word if LOOPS.contains(&word) => self.for_each(word, rest)?,
            word => self.end(word)?,
        };
        self.braces("{%", &content, "%}", inner);
        Ok(())
    }

    fn push(&mut self, word: &'static str, variable: Option<String>, subject: String) {
        self.open.push(Block { word, variable, subject });
    }

    /// `x in items limit:2 offset:1 reversed`.
    fn for_each(&mut self, word: &str, rest: &str) -> Result<String, String> {
        let (name, rest) = rest.split_once(" in ").ok_or("expected `for NAME in LIST`")?;
        let name = identifier(name.trim())?.to_owned();
        let words = words(rest)?;
        let mut reader = ExpressionParser { words: &words, at: 0, translator: self };
        let items = reader.operand()?;
        let (mut limit, mut offset, mut is_reversed) = ("none".to_owned(), "0".to_owned(), false);
        while let Some(Word::Name(option)) = reader.next() {
            match option.as_str() {
                "reversed" => is_reversed = true,
                "limit" | "offset" => {
                    reader.expect(":")?;
                    let value = reader.operand()?;
                    *(if option == "limit" { &mut limit } else { &mut offset }) = value;
                }
                other => return Err(format!("unknown option `{other}` of `for`")),
            }
        }
        let word = LOOPS.into_iter().find(|known| *known == word).unwrap_or("for");
        self.push(word, Some(name.clone()), String::new());
        Ok(format!("for {name} in _items({items}, {limit}, {offset}, {is_reversed})"))
    }

    fn when(&self, rest: &str) -> Result<String, String> {
        let subject = match self.open.last() {
            Some(block) if block.word == "case" => &block.subject,
            _ => return Err("`when` without `case`".to_owned()),
        };
        let words = words(rest)?;
        let values = words.split(|word| *word == Word::Sign(",") || *word == Word::Name("or".into()));
        let mut tests = Vec::new();
        for value in values {
            let mut reader = ExpressionParser { words: value, at: 0, translator: self };
            tests.push(format!("_equals({subject}, {})", reader.operand()?));
        }
        Ok(tests.join(" or "))
    }

    fn end(&mut self, word: &str) -> Result<String, String> {
        let Some(ended) = word.strip_prefix("end") else { return Err(format!("unknown tag `{word}`")) };
        let block = self.open.pop().filter(|block| block.word == ended);
        Ok(match block.ok_or_else(|| format!("`{word}` without `{ended}`"))?.word {
            "if" | "unless" | "case" => "endif".to_owned(),
            "capture" => "endset".to_owned(),
            "for" => "endfor".to_owned(),
            _ => {
                self.output.push_str("{% if not loop.last %},{% endif %}");
                "endfor".to_owned()
            }
        })
    }

    /// A value with its filters.
    fn value(&self, text: &str) -> Result<String, String> {
        let words = words(text)?;
        let mut reader = ExpressionParser { words: &words, at: 0, translator: self };
        let mut value = reader.operand()?;
        while reader.take("|") {
            value = reader.filter(&value)?;
        }
        reader.end()?;
        Ok(value)
    }

    fn condition(&self, text: &str) -> Result<String, String> {
        let words = words(text)?;
        let mut reader = ExpressionParser { words: &words, at: 0, translator: self };
        let mut condition = reader.comparison()?;
        while let Some(Word::Name(word)) = reader.peek().cloned() {
            if word != "and" && word != "or" {
                break;
            }
            reader.at += 1;
            condition = format!("{condition} {word} {}", reader.comparison()?);
        }
        reader.end()?;
        Ok(condition)
    }

    fn is_variable_of_loop(&self, name: &str) -> bool {
        self.open.iter().any(|block| block.variable.as_deref() == Some(name))
    }
}

fn identifier(name: &str) -> Result<&str, String> {
    let is_name =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    if is_name && !name.is_empty() { Ok(name) } else { Err(format!("invalid name `{name}`")) }
}

/// Reads an expression.
struct ExpressionParser<'w, 't> {
    words: &'w [Word],
    at: usize,
    translator: &'t Translator,
}

impl ExpressionParser<'_, '_> {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.peek().cloned();
        self.at += usize::from(word.is_some());
        word
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Sign(known)) if *known == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("expected `{sign}`")) }
    }

    fn end(&self) -> Result<(), String> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(format!("unexpected {word:?}")),
        }
    }

    fn comparison(&mut self) -> Result<String, String> {
        let left = self.operand()?;
        let operator = match self.peek() {
            Some(Word::Sign(sign)) => *sign,
            Some(Word::Name(word)) if word == "contains" => "contains",
            _ => return Ok(format!("_is_true({left})")),
        };
        self.at += 1;
        let right = self.operand()?;
        Ok(match operator {
            "contains" => format!("_contains({left}, {right})"),
            "==" => format!("_equals({left}, {right})"),
            "!=" | "<>" => format!("not _equals({left}, {right})"),
            "<" | ">" | "<=" | ">=" => format!("{left} {operator} {right}"),
            sign => return Err(format!("unexpected `{sign}`")),
        })
    }

    fn operand(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Word::Text(text)) => Ok(serde_json::Value::from(text).to_string()),
            Some(Word::Number(digits)) => Ok(digits),
            Some(Word::Sign("-")) => match self.next() {
                Some(Word::Number(digits)) => Ok(format!("-{digits}")),
                _ => Err("expected a number behind `-`".to_owned()),
            },
            Some(Word::Sign("(")) => {
                let from = self.operand()?;
                self.expect("..")?;
                let to = self.operand()?;
                self.expect(")")?;
                Ok(format!("_range({from}, {to})"))
            }
            Some(Word::Name(name)) => self.path(&name),
            _ => Err("expected a value".to_owned()),
        }
    }

    /// A name with its members.
    fn path(&mut self, name: &str) -> Result<String, String> {
        let is_loop = name == "forloop";
        let mut path = match name {
            "true" | "false" => return Ok(name.to_owned()),
            "nil" | "null" => return Ok("none".to_owned()),
            "empty" | "blank" => return Ok("_empty".to_owned()),
            "forloop" => "loop".to_owned(),
            name if self.translator.is_variable_of_loop(name) => name.to_owned(),
            name if self.translator.assigned.contains(name) => format!("{VARIABLES}.{name}"),
            name => identifier(name).map_or_else(|_| "none".to_owned(), str::to_owned),
        };
        loop {
            if self.take(".") {
                let Some(Word::Name(member)) = self.next() else {
                    return Err("expected a member behind `.`".into());
                };
                path = match (is_loop, member.as_str()) {
                    (true, "rindex") => format!("{path}.revindex"),
                    (true, "rindex0") => format!("{path}.revindex0"),
                    (true, member) => format!("{path}.{member}"),
                    (false, "size" | "first" | "last") => format!("_member({path}, \"{member}\")"),
                    (false, member) => format!("{path}[\"{member}\"]"),
                };
            } else if self.take("[") {
                let index = self.operand()?;
                self.expect("]")?;
                path = format!("{path}[{index}]");
            } else {
                return Ok(path);
            }
        }
    }

    /// `Name: a, b` behind `|`.
    fn filter(&mut self, value: &str) -> Result<String, String> {
        let Some(Word::Name(name)) = self.next() else {
            return Err("expected a filter behind `|`".to_owned());
        };
        let plain = snake_case(&name);
        if !NAMES.contains(&plain.as_str()) {
            return Err(format!("unknown filter `{name}`"));
        }
        let mut arguments = vec![value.to_owned(), format!("\"{plain}\"")];
        if self.take(":") {
            arguments.push(self.operand()?);
            while self.take(",") {
                arguments.push(self.operand()?);
            }
        }
        Ok(format!("_filter({})", arguments.join(", ")))
    }
}

/// `url_encode` of `UrlEncode`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn a_template_that_is_not_closed_is_text_or_an_error() {
        for text in ["{%}", "a {{}", "{{ a %}", "{%"] {
            assert_eq!(translate(text).unwrap(), text.replace('{', "{{ '{' }}"));
        }
        for text in
            ["{% if a %}", "{% endif %}", "{% for x %}{% endfor %}", "{{ a | Nope }}", "{% include 'x' %}"]
        {
            assert!(translate(text).is_err(), "{text}");
        }
    }
}
