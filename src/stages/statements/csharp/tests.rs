use super::translate;
use crate::base::expr::{Expression, NoContext, to_json};

#[track_caller]
fn value(csharp: &str) -> String {
    let cel = translate(csharp).unwrap();
    let source = cel.strip_prefix("@(").unwrap().strip_suffix(')').unwrap().to_owned();
    let expression = Expression::compile(&source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    to_json(&expression.evaluate(&NoContext).unwrap_or_else(|error| panic!("{source}: {error:?}")))
        .unwrap()
        .to_string()
}

#[test]
fn expressions_have_the_values_of_csharp() {
    for (csharp, expected) in [
        (r#"@("a" + 1 + "b")"#, "\"a1b\""),
        (r#"@($"id={1 + 2} {"x".ToUpper()}")"#, "\"id=3 X\""),
        (r#"@(string.Join("+", "3,1,2".Split(',').Select(x => x + "!")))"#, "\"3!+1!+2!\""),
        (r#"@(new [] {"GET", "POST"}.Contains("GET") ? "in" : "out")"#, "\"in\""),
        (r#"@("abcdef".Substring(1, 3))"#, "\"bcd\""),
        (r#"@(Regex.Match("v12-x", "v([0-9]+)").Groups[1].Value)"#, "\"12\""),
        (r#"@(JObject.Parse("{\"k\": [1,2]}")["k"].ToString())"#, "\"[1,2]\""),
        (r#"@((string)JObject.Parse("{}")["none"] ?? "default")"#, "\"default\""),
        (r#"@(Convert.ToBase64String(Encoding.UTF8.GetBytes("user:pass")))"#, "\"dXNlcjpwYXNz\""),
        (r#"@("a b c".Split(' ').Any(s => s == "b"))"#, "true"),
        (r#"@(string.Format("{0}/{1}{{", "a", 1 + 1))"#, "\"a/2{\""),
        (r#"@(string.Concat("a", 1, "b"))"#, "\"a1b\""),
        (
            r#"@(Convert.ToBase64String(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff").ToByteArray()))"#,
            "\"MyIRAFVEd2aImaq7zN3u/w==\"",
        ),
        (r#"@(new DateTime(2024, 2, 3).ToString("yyyy-MM-ddTHH:mm:ssZ"))"#, "\"2024-02-03T00:00:00Z\""),
        (r#"@(Array.Exists(new [] {"a", "b"}, x => x == "b"))"#, "true"),
        (r#"@(new Uri("https://h.example/a/b?c=1").AbsolutePath)"#, "\"/a/b\""),
        (r#"@(new DateTime(1970, 1, 2).ToString("R"))"#, "\"Fri, 02 Jan 1970 00:00:00 GMT\""),
        (r#"@(new DateTime(1970, 1, 1).AddSeconds(5).ToUnixTimeSeconds())"#, "5"),
        (r#"@((1 == 1).ToString() == "True")"#, "true"),
        (r#"@(JObject.Parse("{\"k\": 7}").Value<int>("k") + 1)"#, "8"),
    ] {
        assert_eq!(value(csharp), expected, "{csharp}");
    }
}

#[test]
fn blocks_have_the_values_of_csharp() {
    for (csharp, expected) in [
        (r#"@{ var n = 1; n = n + 2; string s = "n=" + n; return s; }"#, "\"n=3\""),
        (
            r#"@{ var path = "/orders/1"; if (path.StartsWith("/orders")) { return "orders"; } return "else"; }"#,
            "\"orders\"",
        ),
        (
            r#"@{ var o = new JObject(); o["k"] = "v"; o.Add(new JProperty("l", 2)); return o.ToString(); }"#,
            r#""{\"k\":\"v\",\"l\":2}""#,
        ),
        (
            r#"@{ var o = JObject.Parse("{\"a\": 1, \"b\": 2}"); o.Property("a").Remove(); return o.ToString(); }"#,
            r#""{\"b\":2}""#,
        ),
        ("@{ // a comment with } and \"quotes\"\n return 1; }", "1"),
    ] {
        assert_eq!(value(csharp), expected, "{csharp}");
    }
}

#[test]
fn deep_expressions_are_errors() {
    for csharp in [
        format!("@({}1{})", "(".repeat(5000), ")".repeat(5000)),
        format!("@({}true)", "!".repeat(9000)),
        format!("@({}1)", "1+".repeat(7000)),
        format!("@(x{})", "[0]".repeat(5000)),
        format!("@{{ {}return 1;{} }}", "{ ".repeat(5000), " }".repeat(5000)),
        format!("@{{ {}return a; }}", "var a = 1; ".repeat(1000)),
        format!("@({}1{})", "$\"{".repeat(2000), "}\"".repeat(2000)),
    ] {
        assert!(translate(&csharp).is_err(), "{}", &csharp[..40]);
    }
}

#[test]
fn what_cannot_be_translated_is_an_error() {
    for csharp in [
        "@{ for (;;) { } }",
        "@(new WebClient())",
        "@(x.Frobnicate())",
        "@(1 +)",
        "@{ try { } }",
        r"@('\)",
        r"@('\é')",
        "@('\\",
    ] {
        assert!(translate(csharp).is_err(), "{csharp}");
    }
}
