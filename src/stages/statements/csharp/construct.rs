//! New objects, and statements that change one.

use super::{
    calls::method_call,
    methods::short_class,
    syntax::Expr,
    translator::{Translator, path, quoted},
};

impl Translator {
    /// `new ...`.
    pub fn construct(
        self,
        class: &str,
        arguments: &[Expr],
        members: &[(Option<Expr>, Expr)],
    ) -> Result<String, String> {
        match short_class(class).as_str() {
            "JArray" | "List" => {
                let items: Vec<Expr> =
                    members.iter().map(|(_, value)| value).chain(arguments).cloned().collect();
                Ok(format!("[{}]", self.list(&items)?))
            }
            "JObject" | "Dictionary" => self.new_object(arguments, members),
            "DateTime" => new_date(arguments),
            "DateTimeOffset" if arguments.len() == 1 => self.list(arguments),
            "Uri" if arguments.len() == 1 => Ok(format!("url.parse({})", self.list(arguments)?)),
            name => match (name.to_lowercase().strip_prefix("hmac"), hmac_key(arguments, members)) {
                (Some(algorithm), Some(key)) => Ok(format!(
                    "{{\"algorithm\": {}, \"key\": {}}}",
                    quoted(algorithm),
                    self.expression(key)?
                )),
                _ => Err(format!("`new {name}`")),
            },
        }
    }

    fn new_object(self, arguments: &[Expr], members: &[(Option<Expr>, Expr)]) -> Result<String, String> {
        let mut entries = Vec::new();
        for argument in arguments {
            entries.push(self.property(argument)?);
        }
        for (key, value) in members {
            match key {
                Some(key) => entries.push(format!("{}: {}", self.expression(key)?, self.expression(value)?)),
                None => entries.push(self.property(value)?),
            }
        }
        Ok(format!("{{{}}}", entries.join(", ")))
    }

    /// `new JProperty("a", value)` as an entry of a map.
    fn property(self, expr: &Expr) -> Result<String, String> {
        match expr {
            Expr::New { class, arguments, .. } if short_class(class) == "JProperty" => {
                match arguments.as_slice() {
                    [name, value] => Ok(format!("{}: {}", self.expression(name)?, self.expression(value)?)),
                    [name, items @ ..] => Ok(format!("{}: [{}]", self.expression(name)?, self.list(items)?)),
                    [] => Err("`new JProperty` without a name".to_owned()),
                }
            }
            _ => Err("an object made of something that is not a `JProperty`".to_owned()),
        }
    }

    /// `name.Add(...)` as a statement: the variable and its new value.
    pub fn added(self, expr: &Expr) -> Result<(String, String), String> {
        let not_translated = || "a statement without effect on a variable".to_owned();
        let Expr::Call { callee, arguments, .. } = expr else {
            return Err(not_translated());
        };
        let Expr::Member(owner, method, _) = &**callee else {
            return Err(not_translated());
        };
        if let (Some((object, "Property", [key])), "Remove", []) =
            (method_call(owner), method.as_str(), arguments.as_slice())
            && let Expr::Name(name) = object
        {
            return Ok((name.clone(), format!("without({name}, [{}])", self.expression(key)?)));
        }
        let Expr::Name(name) = &**owner else {
            return Err(not_translated());
        };
        match (method.as_str(), arguments.as_slice()) {
            ("Add", [entry @ Expr::New { class, .. }]) if short_class(class) == "JProperty" => {
                Ok((name.clone(), format!("merge({name}, {{{}}})", self.property(entry)?)))
            }
            ("Add", [key, value]) => Ok((
                name.clone(),
                format!("merge({name}, {{{}: {}}})", self.expression(key)?, self.expression(value)?),
            )),
            ("Add", [item]) => Ok((name.clone(), format!("{name} + [{}]", self.expression(item)?))),
            ("Remove", [key]) => Ok((name.clone(), format!("without({name}, [{}])", self.expression(key)?))),
            _ => Err(format!("the method `{method}` as a statement")),
        }
    }
}

/// The key of `new HMACSHA256(key)` or `new HMACSHA256 { Key = key }`.
fn hmac_key<'e>(arguments: &'e [Expr], members: &'e [(Option<Expr>, Expr)]) -> Option<&'e Expr> {
    match (arguments, members) {
        ([key], []) => Some(key),
        ([], [(Some(Expr::Text(name)), key)]) if name == "Key" => Some(key),
        _ => None,
    }
}

/// `new DateTime(1970, 1, 1)`: of numbers only.
fn new_date(arguments: &[Expr]) -> Result<String, String> {
    let number = |one: &Expr| match one {
        Expr::Number(number) => number.parse::<u32>().map_err(|_| "`new DateTime`".to_owned()),
        _ if path(one).is_some_and(|path| path.contains("DateTimeKind.")) => Ok(0),
        _ => Err("`new DateTime` of values that are not numbers".to_owned()),
    };
    let parts = arguments.iter().map(number).collect::<Result<Vec<u32>, String>>()?;
    let at = |index: usize| parts.get(index).copied().unwrap_or(0);
    Ok(format!(
        "timestamp(\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z\")",
        at(0),
        at(1),
        at(2),
        at(3),
        at(4),
        at(5)
    ))
}
