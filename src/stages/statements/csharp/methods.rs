//! The methods of .NET that are translated, with their form in CEL.

/// A static method: the name in C#, and CEL with `$0`, `$1`... for its arguments.
pub(super) const STATIC: &[(&str, usize, &str)] = &[
    ("Convert.ToBase64String", 1, "base64.encode($0)"),
    ("Convert.FromBase64String", 1, "base64.decode($0)"),
    ("Convert.ToInt32", 1, "int($0)"),
    ("Convert.ToInt64", 1, "int($0)"),
    ("Convert.ToString", 1, "text($0)"),
    ("Convert.ToBoolean", 1, "bool($0)"),
    ("Convert.ToDouble", 1, "double($0)"),
    ("Encoding.UTF8.GetBytes", 1, "bytes($0)"),
    ("Encoding.ASCII.GetBytes", 1, "bytes($0)"),
    ("Encoding.UTF8.GetString", 1, "string($0)"),
    ("Encoding.ASCII.GetString", 1, "string($0)"),
    ("Uri.EscapeDataString", 1, "url.encode($0)"),
    ("Uri.UnescapeDataString", 1, "url.decode($0)"),
    ("WebUtility.UrlEncode", 1, "url.encode($0)"),
    ("WebUtility.UrlDecode", 1, "url.decode($0)"),
    ("WebUtility.HtmlEncode", 1, "html.encode($0)"),
    ("Regex.Replace", 3, "regex.replace($0, $1, $2)"),
    ("Regex.IsMatch", 2, "$0.matches($1)"),
    ("string.IsNullOrEmpty", 1, "(coalesce($0, \"\") == \"\")"),
    ("string.IsNullOrWhiteSpace", 1, "isBlank($0)"),
    ("string.Join", 2, "$1.join($0)"),
    ("JObject.Parse", 1, "json.parse($0)"),
    ("JArray.Parse", 1, "json.parse($0)"),
    ("JToken.Parse", 1, "json.parse($0)"),
    ("JsonConvert.DeserializeObject", 1, "json.parse($0)"),
    ("JsonConvert.SerializeObject", 1, "json.stringify($0)"),
    ("JObject.FromObject", 1, "$0"),
    ("XElement.Parse", 1, "xml.parse($0)"),
    ("XDocument.Parse", 1, "xml.parse($0)"),
    ("Guid.NewGuid", 0, "uuid()"),
    ("int.Parse", 1, "int($0)"),
    ("long.Parse", 1, "int($0)"),
    ("double.Parse", 1, "double($0)"),
    ("bool.Parse", 1, "bool($0)"),
    ("DateTime.Parse", 1, "timestamp($0)"),
    ("DateTimeOffset.FromUnixTimeSeconds", 1, "time.fromUnix(int($0))"),
    (
        "DateTimeOffset.FromUnixTimeMilliseconds",
        1,
        "(time.fromUnix(int($0) / 1000) + duration(concat(int($0) % 1000, \"ms\")))",
    ),
    ("DateTimeOffset.Parse", 1, "timestamp($0)"),
    ("Convert.ToDateTime", 1, "timestamp($0)"),
    ("Math.Max", 2, "math.greatest($0, $1)"),
    ("Math.Min", 2, "math.least($0, $1)"),
    ("Math.Abs", 1, "math.abs($0)"),
    ("Math.Round", 1, "math.round($0)"),
    ("Math.Floor", 1, "math.floor($0)"),
    ("Math.Ceiling", 1, "math.ceil($0)"),
];

/// A method of a value, in the same way; `$0` is the value.
pub(super) const METHODS: &[(&str, usize, &str)] = &[
    ("ToUpper", 0, "$0.upper()"),
    ("ToUpperInvariant", 0, "$0.upper()"),
    ("ToLower", 0, "$0.lower()"),
    ("ToLowerInvariant", 0, "$0.lower()"),
    ("Trim", 0, "$0.trim()"),
    ("TrimStart", 0, "$0.trimStart()"),
    ("TrimStart", 1, "$0.trimStart($1)"),
    ("TrimEnd", 0, "$0.trimEnd()"),
    ("TrimEnd", 1, "$0.trimEnd($1)"),
    ("PadLeft", 1, "$0.padLeft($1)"),
    ("PadLeft", 2, "$0.padLeft($1, $2)"),
    ("PadRight", 1, "$0.padRight($1)"),
    ("PadRight", 2, "$0.padRight($1, $2)"),
    ("Contains", 1, "$0.contains($1)"),
    ("StartsWith", 1, "$0.startsWith($1)"),
    ("EndsWith", 1, "$0.endsWith($1)"),
    ("Equals", 1, "($0 == $1)"),
    ("Replace", 2, "$0.replace($1, $2)"),
    ("Split", 1, "$0.split($1)"),
    ("Substring", 1, "$0.substring($1)"),
    ("Substring", 2, "$0.substring($1, $1 + $2)"),
    ("IndexOf", 1, "$0.indexOf($1)"),
    ("LastIndexOf", 1, "$0.lastIndexOf($1)"),
    ("AsJwt", 0, "$0.AsJwt()"),
    ("AsBasic", 0, "$0.AsBasic()"),
    ("ContainsKey", 1, "$0.ContainsKey($1)"),
    ("GetValueOrDefault", 1, "$0.GetValueOrDefault($1)"),
    ("GetValueOrDefault", 2, "$0.GetValueOrDefault($1, $2)"),
    ("SelectToken", 1, "json.select($0, $1.startsWith(\"$\") ? $1 : \"$.\" + $1)"),
    ("First", 0, "first($0)"),
    ("FirstOrDefault", 0, "first($0)"),
    ("Last", 0, "last($0)"),
    ("LastOrDefault", 0, "last($0)"),
    ("Single", 0, "first($0)"),
    ("SingleOrDefault", 0, "first($0)"),
    ("Any", 0, "any($0)"),
    ("Count", 0, "size($0)"),
    ("Skip", 1, "$0.slice($1, size($0))"),
    ("Take", 1, "$0.slice(0, $1)"),
    ("Distinct", 0, "$0.distinct()"),
    ("Reverse", 0, "$0.reverse()"),
    ("ToArray", 0, "$0"),
    ("ToList", 0, "$0"),
    ("AsEnumerable", 0, "$0"),
    ("AsFormUrlEncodedContent", 0, "$0.AsForm()"),
    ("AsFormUrlEncodedContent", 1, "$0.AsForm()"),
    ("ToObject", 0, "$0"),
    ("ToUnixTimeSeconds", 0, "time.unix($0)"),
    ("ToUnixTimeMilliseconds", 0, "time.unixMillis($0)"),
    ("ToUniversalTime", 0, "$0"),
    ("AddMilliseconds", 1, "($0 + duration(concat($1, \"ms\")))"),
    ("AddSeconds", 1, "($0 + duration(concat($1, \"s\")))"),
    ("AddMinutes", 1, "($0 + duration(concat($1, \"m\")))"),
    ("AddHours", 1, "($0 + duration(concat($1, \"h\")))"),
    ("AddDays", 1, "($0 + duration(concat(($1) * 24, \"h\")))"),
    ("Subtract", 1, "($0 - $1)"),
];

/// LINQ with a lambda: `$0` the value, `$1` the name, `$2` the body.
pub(super) const QUERIES: &[(&str, &str)] = &[
    ("Select", "$0.map($1, $2)"),
    ("Where", "$0.filter($1, $2)"),
    ("Any", "$0.exists($1, $2)"),
    ("All", "$0.all($1, $2)"),
    ("First", "first($0.filter($1, $2))"),
    ("FirstOrDefault", "first($0.filter($1, $2))"),
    ("Single", "first($0.filter($1, $2))"),
    ("SingleOrDefault", "first($0.filter($1, $2))"),
    ("Last", "last($0.filter($1, $2))"),
    ("LastOrDefault", "last($0.filter($1, $2))"),
    ("Find", "first($0.filter($1, $2))"),
    ("FindAll", "$0.filter($1, $2)"),
    ("Exists", "$0.exists($1, $2)"),
    ("TrueForAll", "$0.all($1, $2)"),
    ("Count", "size($0.filter($1, $2))"),
];

/// The bytes of `Guid.Parse($0)`: the first three groups are little-endian.
pub(super) const GUID_BYTES: &str = "cel.bind(guidDigits, text($0).replace(\"-\", \"\"), hex.decode(concat(\
    guidDigits.substring(6, 8), guidDigits.substring(4, 6), guidDigits.substring(2, 4), guidDigits.substring(0, 2), \
    guidDigits.substring(10, 12), guidDigits.substring(8, 10), guidDigits.substring(14, 16), \
    guidDigits.substring(12, 14), guidDigits.substring(16, 32))))";

/// The pattern of `time.format` for one of .NET, such as `yyyy-MM-dd`; `None`: it has other parts.
pub(super) fn date_pattern(format: &str) -> Option<String> {
    const PARTS: [(&str, &str); 6] =
        [("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")];
    let (mut pattern, mut rest) = (String::new(), format);
    while let Some(c) = rest.chars().next() {
        match PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
            Some((part, instead)) => {
                pattern.push_str(instead);
                rest = &rest[part.len()..];
            }
            None if "-:/. TZ".contains(c) => {
                pattern.push(c);
                rest = &rest[c.len_utf8()..];
            }
            None => return None,
        }
    }
    format.contains("yyyy").then_some(pattern)
}

/// Replaces `$0`, `$1`... by values.
pub(super) fn fill(template: &str, values: &[String]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        match rest[at + 1..].chars().next().and_then(|c| c.to_digit(10)) {
            Some(digit) => {
                text.push_str(values.get(digit as usize).map_or("", String::as_str));
                rest = &rest[at + 2..];
            }
            None => {
                text.push('$');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

/// A class without its namespaces, with the spelling of keywords.
pub(super) fn short_class(path: &str) -> String {
    let short = match path.rsplit_once('.') {
        Some((class, last @ ("UTF8" | "ASCII"))) => return format!("{}.{last}", short_class(class)),
        Some((_, last)) => last,
        None => path,
    };
    match short {
        "String" => "string".to_owned(),
        "Int32" => "int".to_owned(),
        "Int64" => "long".to_owned(),
        "Boolean" => "bool".to_owned(),
        other => other.to_owned(),
    }
}
