//! Calls: static methods of .NET, methods of values, LINQ.

use super::{
    methods::{GUID_BYTES, METHODS, QUERIES, STATIC, date_pattern, fill, short_class},
    syntax::Expr,
    translator::{Translator, cast, path, quoted},
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

fn is_new(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::New { class, .. } if short_class(class) == name)
}

fn is_bit_converter(expr: &Expr) -> bool {
    path(expr).is_some_and(|path| short_class(&path) == "BitConverter")
}

/// Whether a value is JSON, whose text is that of the document; also a variable, whose type is not known.
fn is_json(expr: &Expr) -> bool {
    match expr {
        Expr::Name(_) | Expr::List(_) | Expr::Object(_) => true,
        Expr::Cast(class, _) => ["JObject", "JArray", "JToken", "JValue"].contains(&class.as_str()),
        Expr::New { class, .. } => ["JObject", "JArray"].contains(&&*short_class(class)),
        Expr::Index(owner, ..) => !path(owner).is_some_and(|path| path.starts_with("context.")),
        Expr::Call { callee, generics, .. } => {
            let Expr::Member(owner, method, _) = &**callee else { return false };
            let class = path(owner).map(|path| short_class(&path)).unwrap_or_default();
            let is_document = generics.first().is_some_and(|class| class.starts_with('J'));
            match method.as_str() {
                "SelectToken" => true,
                "Parse" => class.starts_with('J'),
                "As" | "GetValueOrDefault" => is_document,
                _ => class == "JsonConvert" && method == "DeserializeObject",
            }
        }
        _ => false,
    }
}

/// The value, the name and the arguments of a method call.
pub fn method_call(expr: &Expr) -> Option<(&Expr, &str, &[Expr])> {
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
            if let Some(special) = self.static_call(&name, arguments)? {
                return Ok(special);
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
            ("ToString", []) if is_json(owner) => format!("json.text({})", self.expression(owner)?),
            ("ToString", []) => format!("text({})", self.expression(owner)?),
            ("ToString", [Expr::Text(format)]) if format.eq_ignore_ascii_case("r") => {
                format!("time.http({})", self.expression(owner)?)
            }
            ("ToString", [Expr::Text(format)]) if ["o", "O", "s"].contains(&&**format) => {
                format!("text({})", self.expression(owner)?)
            }
            ("ToString", [Expr::Text(format)]) if date_pattern(format).is_some() => {
                let pattern = quoted(&date_pattern(format).unwrap_or_default());
                format!("time.format({}, {pattern})", self.expression(owner)?)
            }
            ("ToString", [format]) => match path(format).is_some_and(|path| path.contains("Formatting.")) {
                true => format!("json.text({})", self.expression(owner)?),
                false => return Err("`ToString` with a format".to_owned()),
            },
            ("Value", [key]) => {
                let inner =
                    self.expression(&Expr::Index(Box::new(owner.clone()), Box::new(key.clone()), false))?;
                cast(&generics.first().map(|class| short_class(class)).unwrap_or_default(), &inner)
            }
            _ => return self.text_call(owner, method, arguments),
        }))
    }

    /// Calls of texts, bytes and algorithms.
    fn text_call(self, owner: &Expr, method: &str, arguments: &[Expr]) -> Result<Option<String>, String> {
        Ok(Some(match (method, arguments) {
            ("Equals" | "StartsWith" | "EndsWith" | "Contains", [other, comparison])
                if path(comparison).is_some_and(|path| path.contains("StringComparison.")) =>
            {
                let ignores_case = path(comparison).is_some_and(|path| path.ends_with("IgnoreCase"));
                self.compared(owner, method, other, ignores_case)?
            }
            ("Encrypt" | "Decrypt", [Expr::Text(algorithm), key, vector])
                if algorithm.eq_ignore_ascii_case("aes") =>
            {
                let values = [owner, key, vector].map(|one| self.expression(one));
                let [data, key, vector] = values;
                format!("aes.{}({}, {}, {})", method.to_lowercase(), data?, key?, vector?)
            }
            ("Next", limits) if is_new(owner, "Random") => self.random(limits)?,
            ("Replace", [Expr::Text(dash), Expr::Text(nothing)]) if dash == "-" && nothing.is_empty() => {
                match method_call(owner) {
                    Some((class, "ToString", [bytes])) if is_bit_converter(class) => {
                        format!("hex.encode({}).upper()", self.expression(bytes)?)
                    }
                    _ => return Ok(None),
                }
            }
            ("ToByteArray", []) => match method_call(owner) {
                Some((class, "Parse", [text]))
                    if path(class).is_some_and(|path| short_class(&path) == "Guid") =>
                {
                    fill(GUID_BYTES, &[self.expression(text)?])
                }
                _ => return Ok(None),
            },
            ("ComputeHash", [data]) => self.hashed(owner, &self.expression(data)?)?,
            ("Element", [name]) => {
                format!("{}.text({})", self.expression(owner)?, self.expression(name)?)
            }
            _ => return Ok(None),
        }))
    }

    /// `new Random().Next(...)`.
    fn random(self, limits: &[Expr]) -> Result<String, String> {
        Ok(match limits {
            [] => format!("random(0, {})", i32::MAX),
            [max] => format!("random(0, {})", self.expression(max)?),
            _ => format!("random({})", self.list(limits)?),
        })
    }

    /// A comparison of texts, with or without regard to case.
    fn compared(self, one: &Expr, method: &str, other: &Expr, ignores_case: bool) -> Result<String, String> {
        let (one, other) = (self.expression(one)?, self.expression(other)?);
        let (one, other) = match ignores_case {
            true => (format!("{one}.lower()"), format!("{other}.lower()")),
            false => (one, other),
        };
        let found = METHODS.iter().find(|(known, count, _)| *known == method && *count == 1);
        Ok(fill(found.map_or("", |(.., template)| template), &[one, other]))
    }

    /// Static methods whose translation depends on the form of their arguments.
    fn static_call(self, name: &str, arguments: &[Expr]) -> Result<Option<String>, String> {
        Ok(Some(match (name, arguments) {
            ("string.Concat", [one]) => format!("{}.join(\"\")", self.expression(one)?),
            ("string.Concat", _) => format!("concat({})", self.list(arguments)?),
            ("string.Format", [Expr::Text(format), values @ ..]) => self.formatted(format, values)?,
            ("string.Equals", [one, other, rest @ ..]) => {
                let call = [std::slice::from_ref(other), rest].concat();
                let callee = Expr::Member(Box::new(one.clone()), "Equals".to_owned(), false);
                self.call(&callee, &[], &call)?
            }
            ("Array.Exists" | "Array.Find" | "Array.FindAll" | "Array.TrueForAll", [list, lambda]) => {
                let method = name.trim_start_matches("Array.").to_owned();
                self.call(
                    &Expr::Member(Box::new(list.clone()), method, false),
                    &[],
                    std::slice::from_ref(lambda),
                )?
            }
            ("Array.IndexOf", [list, item]) => {
                format!("{}.indexOf({})", self.expression(list)?, self.expression(item)?)
            }
            _ => return Ok(None),
        }))
    }

    /// `string.Format("{0}/{1}", a, b)`.
    fn formatted(self, format: &str, values: &[Expr]) -> Result<String, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let number: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    let value = number.parse::<usize>().ok().and_then(|at| values.get(at));
                    let value = value.ok_or_else(|| format!("the format item `{{{number}}}`"))?;
                    parts.extend([quoted(&std::mem::take(&mut literal)), self.expression(value)?]);
                }
                c => literal.push(c),
            }
        }
        parts.push(quoted(&literal));
        Ok(format!("concat({})", parts.join(", ")))
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

    /// Members with a translation of their own: `Groups[1].Value`, `Success`, elements of XML.
    pub fn special_member(self, owner: &Expr, name: &str) -> Result<Option<String>, String> {
        if let Some(found) = self.renamed_member(owner, name)? {
            return Ok(Some(found));
        }
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

    /// Members with another name in CEL.
    fn renamed_member(self, owner: &Expr, name: &str) -> Result<Option<String>, String> {
        Ok(Some(match name {
            "AbsolutePath" => format!("{}.Path", self.expression(owner)?),
            "AbsoluteUri" | "OriginalString" => format!("string({})", self.expression(owner)?),
            "PathAndQuery" => {
                let url = self.expression(owner)?;
                format!("concat({url}.Path, {url}.QueryString)")
            }
            "TotalSeconds" => format!("{}.getSeconds()", self.expression(owner)?),
            "TotalMinutes" => format!("{}.getMinutes()", self.expression(owner)?),
            "TotalHours" => format!("{}.getHours()", self.expression(owner)?),
            "InnerText" | "InnerXml" => match method_call(owner) {
                Some((document, "SelectSingleNode", [place])) => {
                    format!("{}.text({})", self.expression(document)?, self.expression(place)?)
                }
                _ => return Err(format!("the member `{name}`")),
            },
            _ => return Ok(None),
        }))
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
