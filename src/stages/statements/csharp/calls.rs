//! Calls: static methods of .NET, methods of values, LINQ.

use super::{
    methods::{METHODS, QUERIES, STATIC, fill, short_class},
    syntax::Expr,
    translator::{Translator, path, quoted},
};

fn regex_match(expr: &Expr) -> Option<[&Expr; 2]> {
    let Expr::Call { callee, arguments, .. } = expr else {
        return None;
    };
    let Expr::Member(class, method, _) = &**callee else {
        return None;
    };
    let is_match = method == "Match" && path(class).is_some_and(|path| short_class(&path) == "Regex");
    match arguments.as_slice() {
        [text, pattern] if is_match => Some([text, pattern]),
        _ => None,
    }
}

fn method_call(expr: &Expr) -> Option<(&Expr, &str, &[Expr])> {
    let Expr::Call { callee, arguments, .. } = expr else {
        return None;
    };
    let Expr::Member(owner, method, _) = &**callee else {
        return None;
    };
    Some((owner, method, arguments))
}

impl Translator {
    /// Translates a call.
    pub fn call(self, callee: &Expr, generics: &[String], arguments: &[Expr]) -> Result<String, String> {
        let Expr::Member(owner, method, is_conditional) = callee else {
            return Err("a call of something that is not a method".to_owned());
        };
        if let Some(class) = path(owner).map(|path| short_class(&path)) {
            let name = format!("{class}.{method}");
            let found = STATIC.iter().find(|(known, count, _)| *known == name && *count == arguments.len());
            if let Some((.., template)) = found {
                let values: Result<Vec<String>, String> =
                    arguments.iter().map(|one| self.expression(one)).collect();
                return Ok(fill(template, &values?));
            }
        }
        if let Some(special) = self.special_call(owner, method, generics, arguments)? {
            return Ok(special);
        }
        let value = self.expression(owner)?;
        let value = if *is_conditional { format!("coalesce({value}, \"\")") } else { value };
        if let [Expr::Lambda(name, body)] = arguments {
            let found = QUERIES.iter().find(|(known, _)| known == method);
            let (_, template) = found.ok_or_else(|| format!("the method `{method}` with a lambda"))?;
            return Ok(fill(template, &[value, name.clone(), self.expression(body)?]));
        }
        let found = METHODS.iter().find(|(known, count, _)| known == method && *count == arguments.len());
        let (.., template) = found.ok_or_else(|| format!("the method `{method}`"))?;
        let mut values = vec![value];
        for argument in arguments {
            values.push(self.expression(argument)?);
        }
        Ok(fill(template, &values))
    }

    /// Calls whose translation depends on types or on the form of an argument.
    fn special_call(
        self,
        owner: &Expr,
        method: &str,
        generics: &[String],
        arguments: &[Expr],
    ) -> Result<Option<String>, String> {
        Ok(Some(match (method, arguments) {
            ("As", _) => self.body_as(&self.expression(owner)?, generics)?,
            ("ToString", [format]) => match path(format).is_some_and(|path| path.contains("Formatting.")) {
                true => format!("text({})", self.expression(owner)?),
                false => return Err("`ToString` with a format".to_owned()),
            },
            ("Equals" | "StartsWith" | "EndsWith" | "Contains", [other, comparison])
                if path(comparison).is_some_and(|path| path.contains("StringComparison.")) =>
            {
                let ignores_case = path(comparison).is_some_and(|path| path.ends_with("IgnoreCase"));
                let (one, two) = (self.expression(owner)?, self.expression(other)?);
                let (one, two) = match ignores_case {
                    true => (format!("{one}.lower()"), format!("{two}.lower()")),
                    false => (one, two),
                };
                let method = METHODS.iter().find(|(known, count, _)| *known == method && *count == 1);
                fill(method.map_or("", |(.., template)| template), &[one, two])
            }
            ("ComputeHash", [data]) => self.hashed(owner, &self.expression(data)?)?,
            ("Element", [name]) => {
                format!("{}.text({})", self.expression(owner)?, self.expression(name)?)
            }
            _ => return Ok(None),
        }))
    }

    fn body_as(self, body: &str, generics: &[String]) -> Result<String, String> {
        let class = generics.first().map(|class| short_class(class)).unwrap_or_default();
        let method = match class.as_str() {
            "JObject" | "JArray" | "JToken" | "JValue" => "AsJson",
            "string" => "AsString",
            "XElement" | "XDocument" | "XNode" => "AsXml",
            "byte[]" => "AsBytes",
            _ => return Err(format!("`As<{class}>`")),
        };
        Ok(format!("{body}.{method}()"))
    }

    /// `SHA256.Create().ComputeHash(data)` and `new HMACSHA256(key).ComputeHash(data)`.
    fn hashed(self, owner: &Expr, data: &str) -> Result<String, String> {
        let unknown = || "`ComputeHash` of an unknown algorithm".to_owned();
        match owner {
            Expr::Call { callee, .. } => {
                let Expr::Member(class, method, _) = &**callee else {
                    return Err(unknown());
                };
                let class = path(class).filter(|_| method == "Create").ok_or_else(unknown)?;
                Ok(format!("hash.{}({data})", short_class(&class).to_lowercase()))
            }
            Expr::New { class, arguments, .. } => {
                let class = short_class(class).to_lowercase();
                match (class.strip_prefix("hmac"), arguments.as_slice()) {
                    (Some(algorithm), [key]) => {
                        Ok(format!("hmac.{algorithm}({}, {data})", self.expression(key)?))
                    }
                    _ => Ok(format!("hash.{}({data})", class.trim_end_matches("managed"))),
                }
            }
            // A variable that was declared as `new HMACSHA256(key)`.
            Expr::Name(name) => Ok(format!(
                "({name}.algorithm == \"sha512\" ? hmac.sha512({name}.key, {data}) : \
                 {name}.algorithm == \"sha1\" ? hmac.sha1({name}.key, {data}) : hmac.sha256({name}.key, {data}))"
            )),
            _ => Err(unknown()),
        }
    }

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
            "JObject" | "Dictionary" => {
                let mut entries = Vec::new();
                for argument in arguments {
                    entries.push(self.property(argument)?);
                }
                for (key, value) in members {
                    match key {
                        Some(key) => {
                            entries.push(format!("{}: {}", self.expression(key)?, self.expression(value)?))
                        }
                        None => entries.push(self.property(value)?),
                    }
                }
                Ok(format!("{{{}}}", entries.join(", ")))
            }
            "Uri" if arguments.len() == 1 => Ok(format!("url.parse({})", self.list(arguments)?)),
            name => match (name.to_lowercase().strip_prefix("hmac"), arguments) {
                (Some(algorithm), [key]) => Ok(format!(
                    "{{\"algorithm\": {}, \"key\": {}}}",
                    quoted(algorithm),
                    self.expression(key)?
                )),
                _ => Err(format!("`new {name}`")),
            },
        }
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
            ("Remove", [key]) => Ok((name.clone(), format!("without({name}, {})", self.expression(key)?))),
            _ => Err(format!("the method `{method}` as a statement")),
        }
    }

    /// Members with a translation of their own: `Groups[1].Value`, `Success`, elements of XML.
    pub fn special_member(self, owner: &Expr, name: &str) -> Result<Option<String>, String> {
        if name != "Value" && name != "Success" {
            return Ok(None);
        }
        if let Expr::Index(groups, at, _) = owner
            && let Expr::Member(matched, groups, _) = &**groups
            && groups == "Groups"
            && let Some([text, pattern]) = regex_match(matched)
        {
            let at = self.expression(at)?;
            return Ok(Some(format!(
                "coalesce(regex.groups({}, {})[?{at}].orValue(null), \"\")",
                self.expression(text)?,
                self.expression(pattern)?
            )));
        }
        if let Some([text, pattern]) = regex_match(owner) {
            let (text, pattern) = (self.expression(text)?, self.expression(pattern)?);
            return Ok(Some(match name {
                "Success" => format!("{text}.matches({pattern})"),
                _ => format!("coalesce(regex.find({text}, {pattern}), \"\")"),
            }));
        }
        if name == "Value"
            && let Some(found) = self.descendant(owner)?
        {
            return Ok(Some(found));
        }
        // `Element("a").Value` is a text already.
        match owner {
            Expr::Call { callee, .. } if matches!(&**callee, Expr::Member(_, method, _) if method == "Element") => {
                Ok(Some(self.expression(owner)?))
            }
            _ => Ok(None),
        }
    }

    /// `x.Descendants().Where(e => e.Name.LocalName == "id").First()`, or with the condition in `First`.
    fn descendant(self, expr: &Expr) -> Result<Option<String>, String> {
        let Some((inner, method, arguments)) = method_call(expr) else {
            return Ok(None);
        };
        if !["First", "FirstOrDefault"].contains(&method) {
            return Ok(None);
        }
        let (source, lambda) = match arguments {
            [lambda] => (inner, lambda),
            [] => match method_call(inner) {
                Some((source, "Where", [lambda])) => (source, lambda),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Some((document, "Descendants", [])) = method_call(source) else {
            return Ok(None);
        };
        let Expr::Lambda(variable, condition) = lambda else {
            return Ok(None);
        };
        let Expr::Binary("==", left, right) = &**condition else {
            return Ok(None);
        };
        let is_name = path(left).is_some_and(|path| path == format!("{variable}.Name.LocalName"));
        if !is_name {
            return Ok(None);
        }
        Ok(Some(format!("{}.text(\"//\" + {})", self.expression(document)?, self.expression(right)?)))
    }
}
