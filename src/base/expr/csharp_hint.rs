//! C# in an expression: policies of Azure API Management are written in it.

/// Marks of C#, and what replaces them.
const MARKS: [(&str, &str); 16] = [
    (".StartsWith(", "`s.startsWith(x)`"),
    (".EndsWith(", "`s.endsWith(x)`"),
    (".Contains(", "`s.contains(x)`"),
    (".ToString(", "`text(x)`"),
    (".ToLower", "`s.lower()`"),
    (".ToUpper", "`s.upper()`"),
    (".Replace(", "`s.replace(a, b)`"),
    (".Split(", "`s.split(x)`"),
    ("(string)", "`text(x)`"),
    ("(int)", "`int(x)`"),
    ("(bool)", "`bool(x)`"),
    ("As<JObject>", "`AsJson()`"),
    ("As<string>", "`AsString()`"),
    ("JObject", "`json.parse(s)` or a map such as {'a': 1}"),
    ("$\"", "`concat('a', x, 'b')`"),
    ("??", "`coalesce(a, b)`"),
];

/// How to write C# in CEL.
pub(super) fn csharp_hint(source: &str) -> Option<String> {
    let found: Vec<&str> =
        MARKS.iter().filter(|(mark, _)| source.contains(mark)).map(|(_, instead)| *instead).collect();
    let is_csharp = !found.is_empty() || source.contains("new ") || source.contains("var ");
    is_csharp.then(|| match found.as_slice() {
        [] => "expressions are written in CEL; C# is translated in XML documents only".to_owned(),
        found => format!("this looks like C#; in CEL write {}", found.join(", ")),
    })
}
