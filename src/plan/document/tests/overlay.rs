//! `ocelot.ENVIRONMENT.json` and environment variables laid over `ocelot.json`; encodings; `Metadata`.

use super::load::{Folder, clean, codes, keys, reported};
use crate::config::{DotnetEnvironment, Environment, Loaded, Node, Request, de};
use crate::plan::document::{Document, load};
use std::fs;

/// Loads files of a folder with these environment variables.
fn load_with(folder: &Folder, names: &[&str], variables: &[(&str, &str)]) -> Loaded {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let dotnet = DotnetEnvironment::from_variables(variables);
    let paths = names.iter().map(|name| folder.path().join(name)).collect();
    let request = Request { paths, dotnet, base_dir: folder.path().into(), ..Request::default() };
    load(&request, Environment::of_process())
}

/// The value at a path of names and indexes, as JSON text.
fn value_at(loaded: &Loaded, path: &str) -> String {
    node_at(loaded, path).map_or_else(String::new, Node::to_json)
}

fn node_at<'n>(loaded: &'n Loaded, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(loaded.root.as_ref()?, |node, step| match step.parse::<usize>() {
        Ok(index) => node.items().get(index),
        Err(_) => node.get_ignore_case(step),
    })
}

fn document(loaded: &mut Loaded) -> Document {
    let options = loaded.options();
    de::read(loaded.root.as_ref().unwrap(), &mut loaded.diagnostics, options)
}

const TEST: (&str, &str) = ("ASPNETCORE_ENVIRONMENT", "Test");
const TWO_ROUTES: &str = r#"{ "Routes": [ { "Key": "a", "UpstreamHost": "x" }, { "Key": "b" } ] }"#;

#[test]
fn a_file_of_the_environment_is_laid_over_its_file_by_name_and_index() {
    let upper =
        "\u{feff}{ // ours\r\n \"routes\": [ { \"upstreamhost\": \"y\", }, {}, { \"Key\": \"c\" } ] }";
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.Test.json", upper)]);
    let loaded = clean(load_with(&folder, &["ocelot.json"], &[TEST]));
    assert_eq!(keys(&loaded), ["a", "b", "c"]);
    assert_eq!(value_at(&loaded, "Routes.0.UpstreamHost"), "\"y\"");
    let span = node_at(&loaded, "Routes.0.UpstreamHost").unwrap().span;
    assert!(
        loaded.sources.location(span).ends_with("ocelot.Test.json:2:32"),
        "{}",
        loaded.sources.location(span)
    );
    assert_eq!(loaded.sources.pointer_of(span), "/routes/0/upstreamhost");
    for name in ["Other", "../Test", ""] {
        let loaded = clean(load_with(&folder, &["ocelot.json"], &[("DOTNET_ENVIRONMENT", name)]));
        assert_eq!(keys(&loaded), ["a", "b"], "{name}");
    }
}

#[test]
fn without_a_variable_the_environment_is_production() {
    let upper = r#"{ "Routes": [ { "Key": "p" } ] }"#;
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.Production.json", upper)]);
    for names in [&[][..], &["ocelot.json"], &["."], &["ocelot.json", "ocelot.Production.json"]] {
        assert_eq!(keys(&clean(load_with(&folder, names, &[]))), ["p", "b"], "{names:?}");
    }
    let native = Folder::with(&[("gateway.json", TWO_ROUTES), ("gateway.Production.json", upper)]);
    assert_eq!(keys(&clean(load_with(&native, &["gateway.json"], &[]))), ["a", "b"]);
}

#[test]
fn a_file_of_the_environment_is_watched_before_it_exists() {
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES)]);
    let loaded = clean(load_with(&folder, &["ocelot.json"], &[TEST]));
    assert!(loaded.watched.contains(&folder.path().join("ocelot.Test.json")), "{:?}", loaded.watched);
}

#[test]
fn a_file_of_the_environment_is_found_in_another_case() {
    let upper = r#"{ "Routes": [ { "Key": "lower" } ] }"#;
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.test.json", upper)]);
    assert_eq!(keys(&clean(load_with(&folder, &["ocelot.json"], &[TEST]))), ["lower", "b"]);
}

#[test]
fn dotnet_environment_takes_precedence_and_the_other_file_is_reported() {
    let of = |key: &str| format!(r#"{{ "Routes": [ {{ "Key": "{key}" }} ] }}"#);
    let (d, a) = (of("d"), of("a"));
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.D.json", &d), ("ocelot.A.json", &a)]);
    let both = [("DOTNET_ENVIRONMENT", "D"), ("ASPNETCORE_ENVIRONMENT", "A")];
    let loaded = load_with(&folder, &["ocelot.json"], &both);
    assert_eq!((keys(&loaded)[0].as_str(), codes(&loaded)), ("d", vec!["MG0212"]));
}

#[test]
fn in_a_directory_the_file_of_the_environment_is_laid_over_the_merged_files() {
    let upper = r#"{ "Routes": [ {}, { "Key": "t" } ], "GlobalConfiguration": { "BaseUrl": "http://t" } }"#;
    let part = r#"{ "Routes": [ { "Key": "KEY" } ] }"#;
    let (one, two) = (part.replace("KEY", "one"), part.replace("KEY", "two"));
    let folder =
        Folder::with(&[("ocelot.a.json", &one), ("ocelot.z.json", &two), ("ocelot.Test.json", upper)]);
    let loaded = clean(load_with(&folder, &["."], &[TEST]));
    assert_eq!(keys(&loaded), ["one", "t"]);
    assert_eq!(value_at(&loaded, "GlobalConfiguration.BaseUrl"), "\"http://t\"");
    let merged = load_with(&folder, &["."], &[]);
    assert_eq!(keys(&merged), ["one", "", "t", "two"], "without a variable it is a part");
}

#[test]
fn a_list_of_files_has_the_file_of_the_environment_of_each() {
    let upper = r#"{ "Routes": [ {}, { "Key": "t" } ] }"#;
    let other = r#"{ "Routes": [ { "Key": "other" } ] }"#;
    let folder =
        Folder::with(&[("more.json", other), ("ocelot.json", TWO_ROUTES), ("ocelot.Test.json", upper)]);
    let loaded = clean(load_with(&folder, &["more.json", "ocelot.json"], &[TEST]));
    assert_eq!(keys(&loaded), ["other", "a", "t"]);
}

#[test]
fn null_and_single_values_do_not_replace_objects_and_lists() {
    let base =
        r#"{ "Routes": [ { "QoSOptions": { "Timeout": 1 }, "UpstreamHttpMethod": ["GET"], "Key": "a" } ] }"#;
    let upper = r#"{ "Routes": [ { "QoSOptions": null, "UpstreamHttpMethod": "POST", "Key": null } ] }"#;
    let folder = Folder::with(&[("ocelot.json", base), ("ocelot.Test.json", upper)]);
    let loaded = load_with(&folder, &["ocelot.json"], &[TEST]);
    assert_eq!(codes(&loaded), ["MG0213", "MG0213"]);
    let route = r#"{"QoSOptions":{"Timeout":1},"UpstreamHttpMethod":["GET"],"Key":null}"#;
    assert_eq!(value_at(&loaded, "Routes.0"), route);
}

#[test]
fn a_list_as_the_file_of_the_environment_is_an_error() {
    let folder = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.Test.json", "[]")]);
    let loaded = load_with(&folder, &["ocelot.json"], &[TEST]);
    assert_eq!(codes(&loaded), ["MG0101"], "{}", reported(&loaded));
    let broken = Folder::with(&[("ocelot.json", TWO_ROUTES), ("ocelot.Test.json", "{ \"Routes\": ")]);
    assert!(load_with(&broken, &["ocelot.json"], &[TEST]).root.is_none());
}

#[test]
fn variables_are_laid_over_by_name_and_index() {
    let base = r#"{ "Routes": [ { "Key": "a" } ], "GlobalConfiguration": {} }"#;
    let upper = r#"{ "Routes": [ { "Key": "file", "Priority": 1 } ] }"#;
    let folder = Folder::with(&[("ocelot.json", base), ("ocelot.Test.json", upper)]);
    let variables = [
        TEST,
        ("Routes__0__Key", "changed"),
        ("routes__0__UPSTREAMHOST", "y"),
        ("Routes:0:Timeout", "5"),
        ("Routes__10__Key", "ten"),
        ("Routes__9__Key", "nine"),
        ("Routes__9__UpstreamHttpMethod__0", "GET"),
        ("GlobalConfiguration__RateLimitOptions__Limit", "7"),
        ("Routes", "ignored"),
        ("Other__0__Key", "ignored"),
    ];
    let loaded = clean(load_with(&folder, &["ocelot.json"], &variables));
    assert_eq!(keys(&loaded), ["changed", "nine", "ten"]);
    assert_eq!(value_at(&loaded, "Routes.0.UpstreamHost"), "\"y\"");
    assert_eq!(value_at(&loaded, "Routes.0.Timeout"), "\"5\"");
    assert_eq!(value_at(&loaded, "Routes.0.Priority"), "1");
    assert_eq!(value_at(&loaded, "Routes.1.UpstreamHttpMethod"), "[\"GET\"]");
    assert_eq!(value_at(&loaded, "GlobalConfiguration.RateLimitOptions.Limit"), "\"7\"");
}

#[test]
fn variables_alone_are_a_configuration() {
    let folder = Folder::with(&[("ocelot.json", "{}")]);
    let variables = [("Routes__0__Key", "a"), ("Routes__0__DownstreamHostAndPorts__0__Host", "h")];
    let loaded = clean(load_with(&folder, &["ocelot.json"], &variables));
    assert_eq!(value_at(&loaded, "Routes"), r#"[{"DownstreamHostAndPorts":[{"Host":"h"}],"Key":"a"}]"#);
}

#[test]
fn the_children_of_a_section_hide_its_own_value() {
    let folder = Folder::with(&[("ocelot.json", "{}")]);
    let variables = [("Routes__0__QoSOptions", "x"), ("Routes__0__QoSOptions__Timeout", "1")];
    let loaded = clean(load_with(&folder, &["ocelot.json"], &variables));
    assert_eq!(value_at(&loaded, "Routes.0.QoSOptions"), r#"{"Timeout":"1"}"#);
}

#[test]
fn a_diagnostic_about_a_variable_has_its_name_and_pointer_and_not_its_value() {
    let folder = Folder::with(&[("ocelot.json", r#"{ "Routes": [ { "Key": "a" } ] }"#)]);
    let variables = [("Routes__0__Prioritty", "1"), ("Routes__0__Priority", "hunter2")];
    let mut loaded = load_with(&folder, &["ocelot.json"], &variables);
    document(&mut loaded);
    let text = reported(&loaded);
    assert!(text.contains("--> environment variable Routes__0__Priority  (/Routes/0/Priority)"), "{text}");
    assert!(text.contains("--> environment variable Routes__0__Prioritty  (/Routes/0/Prioritty)"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn placeholders_are_interpolated_in_overlays_and_not_in_variables() {
    let base = r#"{ "Routes": [ { "Key": "${HOME:-none}" }, {} ] }"#;
    let upper = r#"{ "Routes": [ {}, { "Key": "${MARGAY_UNSET_HERE:-default}" } ] }"#;
    let folder = Folder::with(&[("ocelot.json", base), ("ocelot.Test.json", upper)]);
    let variables = [TEST, ("Routes__0__Key", "${HOME}")];
    let loaded = clean(load_with(&folder, &["ocelot.json"], &variables));
    assert_eq!(keys(&loaded), ["${HOME}", "default"]);
}

#[test]
fn variables_are_reported_where_they_are_not_read() {
    let native = Folder::with(&[("gateway.json", TWO_ROUTES)]);
    let loaded = load_with(&native, &["gateway.json"], &[("Routes__0__Key", "changed")]);
    assert_eq!((keys(&loaded), codes(&loaded)), (vec!["a".to_owned(), "b".to_owned()], vec!["MG0214"]));
    assert!(!loaded.diagnostics.has_errors());
    clean(load_with(&native, &["gateway.json"], &[("Limits__Other", "1")]));
}

#[test]
fn a_file_in_utf_16_is_read() {
    let text = "{ \"Routes\": [ { \"Key\": \"\u{e9}\u{1f600}\" } ] }";
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let folder = Folder::with(&[]);
    fs::write(folder.path().join("gateway.json"), [&[0xfe, 0xff], bytes.as_slice()].concat()).unwrap();
    assert_eq!(keys(&clean(folder.load(&["gateway.json"]))), ["\u{e9}\u{1f600}"]);
}

#[test]
fn invalid_bytes_are_a_warning_in_ocelot_files() {
    let folder = Folder::with(&[]);
    for (name, has_errors) in [("ocelot.json", false), ("gateway.json", true)] {
        fs::write(folder.path().join(name), b"{ \"Routes\": [] /* \xe9 */ }").unwrap();
        let loaded = folder.load(&[name]);
        assert_eq!((codes(&loaded), loaded.diagnostics.has_errors()), (vec!["MG0003"], has_errors), "{name}");
    }
}

#[test]
fn objects_and_lists_in_metadata_are_their_json_text() {
    let text = r#"{ "Routes": [ { "Metadata": { "n": 1, "place": { "lat": 1.50, "deep": ["a\"", null, true] } } } ] }"#;
    let folder = Folder::with(&[("gateway.json", text)]);
    let mut loaded = clean(folder.load(&["gateway.json"]));
    let document = document(&mut loaded);
    assert!(!loaded.diagnostics.has_errors(), "{}", reported(&loaded));
    let metadata = document.routes.unwrap().value.remove(0).value.metadata.unwrap().value;
    let texts: Vec<_> = metadata.iter().map(|(_, text)| text.as_ref().unwrap().0.as_str()).collect();
    assert_eq!(texts, ["1", r#"{"lat":1.50,"deep":["a\"",null,true]}"#]);
}
