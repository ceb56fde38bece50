use crate::config::{DotnetEnvironment, Environment, InMemoryFiles, Loaded, Node, Request, render};
use crate::plan::document::{load, load_texts};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn load(&self, names: &[&str]) -> Loaded {
        let paths = names.iter().map(|name| self.path().join(name)).collect();
        load(
            &Request { paths, base_dir: self.path().into(), ..Request::default() },
            Environment::of_process(),
        )
    }
}

pub(super) fn reported(loaded: &Loaded) -> String {
    render::text(&loaded.diagnostics, &loaded.sources, render::Style::default())
}

pub(super) fn clean(loaded: Loaded) -> Loaded {
    assert!(loaded.diagnostics.list.is_empty(), "{}", reported(&loaded));
    loaded
}

pub(super) fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.sorted().iter().map(|d| d.code.0).collect()
}

/// The `Key` of every route, in order.
pub(super) fn keys(loaded: &Loaded) -> Vec<String> {
    let key =
        |route: &Node| route.get_ignore_case("Key").and_then(Node::as_str).unwrap_or_default().to_owned();
    loaded
        .root
        .as_ref()
        .unwrap()
        .get_ignore_case("Routes")
        .map_or(&[][..], Node::items)
        .iter()
        .map(key)
        .collect()
}

fn route(key: &str) -> String {
    format!("{{ \"Routes\": [ {{ \"Key\": \"{key}\" }} ] }}")
}

#[test]
fn without_names_gateway_json_comes_before_ocelot_json() {
    let both = Folder::with(&[("gateway.json", &route("ours")), ("ocelot.json", &route("theirs"))]);
    let loaded = clean(both.load(&[]));
    assert_eq!((keys(&loaded), loaded.ocelot), (vec!["ours".to_owned()], false));
    let theirs = Folder::with(&[("ocelot.json", &route("theirs"))]);
    let loaded = clean(theirs.load(&[]));
    assert_eq!((keys(&loaded), loaded.ocelot), (vec!["theirs".to_owned()], true));
}

#[test]
fn missing_files_are_reported_and_watched() {
    let loaded = Folder::with(&[]).load(&[]);
    assert_eq!(codes(&loaded), ["MG0005"]);
    assert!(loaded.root.is_none());
    assert!(loaded.watched.iter().any(|path| path.ends_with("gateway.json")));
}

#[test]
fn unreadable_files_are_diagnostics() {
    let folder = Folder::with(&[]);
    fs::write(folder.path().join("bytes.json"), b"{\n \"a\": \"\xff\" }").unwrap();
    assert_eq!(codes(&folder.load(&["gone.json"])), ["MG0001"]);
    let loaded = folder.load(&["bytes.json"]);
    assert!(reported(&loaded).contains("is not UTF-8: invalid byte in line 2"), "{}", reported(&loaded));
    let large = fs::File::create(folder.path().join("large.json")).unwrap();
    large.set_len(crate::config::files::MAX_FILE + 1).unwrap();
    assert_eq!(codes(&folder.load(&["large.json"])), ["MG0002"]);
}

#[test]
fn the_files_of_a_directory_are_merged_in_the_order_of_their_names() {
    let folder = Folder::with(&[
        ("ocelot.b.json", &route("b")),
        ("Ocelot.C.json", &route("c")),
        ("ocelot.a.JSON", &route("a")),
        ("ocelot.orders.v2.json", &route("v2")),
        ("ocelot.json", &route("primary")),
        ("ocelotx.json", &route("x")),
        ("other.json", &route("other")),
    ]);
    let loaded = clean(folder.load(&["."]));
    assert_eq!(keys(&loaded), ["a", "b", "c", "v2"]);
    assert!(loaded.ocelot);
}

#[test]
fn in_a_directory_global_configuration_comes_from_the_global_file_only() {
    let global =
        "{ \"GlobalConfiguration\": { \"BaseUrl\": \"http://a\" }, \"Routes\": [{ \"Key\": \"g\" }] }";
    let other =
        "{ \"GlobalConfiguration\": { \"BaseUrl\": \"http://b\" }, \"Routes\": [{ \"Key\": \"o\" }] }";
    let folder = Folder::with(&[("gateway.global.json", global), ("gateway.orders.json", other)]);
    let loaded = folder.load(&["."]);
    assert_eq!(codes(&loaded), ["MG0211"]);
    assert!(!loaded.diagnostics.has_errors());
    assert_eq!(keys(&loaded), ["g", "o"]);
    let url = loaded
        .root
        .as_ref()
        .unwrap()
        .get_ignore_case("GlobalConfiguration")
        .unwrap()
        .get_ignore_case("baseurl")
        .unwrap();
    assert_eq!(url.as_str(), Some("http://a"));
    assert!(loaded.sources.name(url.span.file).ends_with("gateway.global.json"));
}

#[test]
fn a_directory_with_only_the_main_file_equals_that_file() {
    let main = "{ \"GlobalConfiguration\": { \"BaseUrl\": \"http://a\" } }";
    let loaded = clean(Folder::with(&[("gateway.json", main)]).load(&["."]));
    assert!(loaded.root.unwrap().get_ignore_case("GlobalConfiguration").is_some());
}

#[test]
fn a_main_file_next_to_parts_and_a_second_file_set_are_reported() {
    let folder = Folder::with(&[("gateway.json", "{}"), ("gateway.a.json", "{}"), ("ocelot.json", "{}")]);
    assert_eq!(codes(&folder.load(&["."])), ["MG0212", "MG0212"]);
    assert_eq!(codes(&Folder::with(&[("other.json", "{}")]).load(&["."])), ["MG0005"]);
}

#[test]
fn listed_files_are_merged_in_the_given_order() {
    let folder = Folder::with(&[
        ("z.json", &route("z")),
        ("a.json", "{ \"GlobalConfiguration\": {}, \"Routes\": [{ \"Key\": \"a\" }], \"Limits\": {} }"),
    ]);
    assert_eq!(keys(&clean(folder.load(&["z.json", "a.json"]))), ["z", "a"]);
}

#[test]
fn a_section_may_be_in_one_file_only() {
    let files = [
        ("a.json", "{ \"Limits\": {}, \"GlobalConfiguration\": {} }"),
        ("b.json", "{ \"limits\": {}, \"GlobalConfiguration\": {}, \"x-a\": 1 }"),
    ];
    let texts = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let loaded = load_texts(&texts, Environment::of_process());
    assert_eq!(codes(&loaded), ["MG0210", "MG0210"]);
    assert!(
        reported(&loaded).contains("it is first defined at a.json:1:3; remove one of them"),
        "{}",
        reported(&loaded)
    );
}

#[test]
fn one_invalid_file_leaves_no_tree() {
    let folder = Folder::with(&[("gateway.a.json", "{ \"Routes\": [ }"), ("gateway.b.json", "{}")]);
    let loaded = folder.load(&["."]);
    assert!(loaded.root.is_none() && loaded.diagnostics.has_errors());
    assert_eq!(loaded.watched.len(), 4, "the directory, both files and the policies");
}

#[test]
fn single_quotes_are_accepted_in_ocelot_files_only() {
    let text = "{ 'Routes': [ { Key: 'a' } ] }";
    let of = |name: &str, text: &str, ocelot| {
        let files = [(name, text)];
        load_texts(
            &InMemoryFiles { files: &files, ocelot, ..InMemoryFiles::default() },
            Environment::of_process(),
        )
    };
    assert_eq!(keys(&clean(of("ocelot.json", text, false))), ["a"]);
    assert_eq!(keys(&clean(of("conf.json", text, true))), ["a"]);
    assert_eq!(codes(&of("conf.json", text, false)), ["MG0020", "MG0017", "MG0020"]);
    let asks = "{ 'GlobalConfiguration': { 'compatibility': 'OCELOT' }, \"Routes\": [ { Key: 'a' } ] }";
    let loaded = clean(of("conf.json", asks, false));
    assert!(loaded.ocelot);
    let span = loaded.root.as_ref().unwrap().get_ignore_case("Routes").unwrap().span;
    assert_eq!(loaded.sources.pointer_of(span), "/Routes");
}

#[test]
fn placeholders_are_interpolated_after_the_merge() {
    let variable = |name: &str| (name == "KEY").then(|| "filled".to_owned());
    let environment = Environment { variable: &variable, ..Environment::of_process() };
    let files = [("a.json", "{ \"Routes\": [ { \"Key\": \"${KEY}\" }, { \"Key\": \"${NONE}\" } ] }")];
    let loaded = load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, environment);
    assert_eq!(keys(&loaded), ["filled", ""]);
    assert_eq!(codes(&loaded), ["MG0201"]);
}

#[test]
fn files_of_placeholders_are_watched_even_before_they_exist() {
    let folder = Folder::with(&[("gateway.json", "{ \"Routes\": [ { \"Key\": \"${file:/gone/key}\" } ] }")]);
    let loaded = folder.load(&[]);
    assert_eq!(codes(&loaded), ["MG0202"]);
    assert!(loaded.watched.contains(&PathBuf::from("/gone/key")), "{:?}", loaded.watched);
}

#[test]
fn policies_are_next_to_the_main_file_or_in_the_configured_directory() {
    let main = "{ \"Routes\": [ { \"Policies\": [\"edge\"] } ] }";
    let folder = Folder::with(&[
        ("conf/gateway.json", main),
        ("conf/policies/edge.json", "{ \"Timeout\": 1 }"),
        ("elsewhere/edge.json", "{ \"Timeout\": 2 }"),
    ]);
    let timeout = |policies: Option<PathBuf>| {
        let paths = vec![folder.path().join("conf/gateway.json")];
        let loaded =
            clean(load(&Request { paths, policies, ..Request::default() }, Environment::of_process()));
        let routes = loaded.root.unwrap();
        format!(
            "{:?}",
            routes.get_ignore_case("Routes").unwrap().items()[0].get_ignore_case("Timeout").unwrap().value
        )
    };
    assert_eq!(timeout(None), "Number(\"1\")");
    assert_eq!(timeout(Some(folder.path().join("elsewhere"))), "Number(\"2\")");
}

#[test]
fn a_configured_policies_directory_must_exist() {
    let folder = Folder::with(&[("gateway.json", "{}")]);
    let policies = Some(folder.path().join("gone"));
    let request = Request { base_dir: folder.path().into(), policies, ..Request::default() };
    assert_eq!(codes(&load(&request, Environment::of_process())), ["MG0001"]);
}

#[test]
fn the_working_directory_has_a_readable_name() {
    let environment = DotnetEnvironment::default();
    let options = crate::config::files::FindOptions { ocelot: false, environment: &environment };
    let files = crate::config::files::find(&[], Path::new(""), options, &mut Default::default());
    assert!(files.watched.iter().all(|path| path.components().count() == 1), "{:?}", files.watched);
}

/// A configuration with most kinds of values.
const SAMPLE: &str = r#"{ "$schema": "s", // note
  "Listeners": [{ "Name": "a", "Address": "127.0.0.1:8080" }], "Limits": { "MaxRequestBodySize": "4MiB" },
  "GlobalConfiguration": { "Policies": ["p"], "Timeout": "1s", "Metadata": { "a:b": 1 } },
  "Routes": [{ "UpstreamPathTemplate": "/a/{b}", "UpstreamHttpMethod": ["GET"], "Priority": "2",
    "DownstreamHostAndPorts": [{ "Host": "${HOST:-é}", "Port": 80 }], "QoSOptions": { "FailureRatio": 0.5 } }],
}"#;

proptest::proptest! {
    #[test]
    fn no_typo_causes_a_panic(
        at in 0usize..700, length in 0usize..12, insert in "[\\[\\]{}\",:'/*\\\\a1${é \n-]{0,3}", in_policy: bool,
    ) {
        let from = SAMPLE.floor_char_boundary(at.min(SAMPLE.len()));
        let to = SAMPLE.floor_char_boundary((from + length).min(SAMPLE.len()));
        let typed = [&SAMPLE[..from], &insert, &SAMPLE[to..]].concat();
        let (main, policy) = if in_policy { (SAMPLE, typed.as_str()) } else { (typed.as_str(), "{ \"Timeout\": 1 }") };
        let texts = InMemoryFiles { files: &[("gateway.json", main)], policies: &[("p", policy)], ..InMemoryFiles::default() };
        let mut loaded = load_texts(&texts, Environment::of_process());
        let options = loaded.options();
        if let Some(root) = &loaded.root {
            let _: crate::plan::document::Document = crate::config::de::read(root, &mut loaded.diagnostics, options);
        }
        let rendered = reported(&loaded);
        proptest::prop_assert!(loaded.root.is_some() || rendered.contains("error["), "{}", rendered);
        let _ = render::json(&loaded.diagnostics, &loaded.sources);
    }
}

#[test]
fn a_repeated_unknown_setting_is_reported_once_with_a_count() {
    let route = r#"{ "UpstreamPathTemplat": "/a", "Key": "k" }"#;
    let text = format!(r#"{{ "Routes": [{route}, {route}, {route}], "Unknown": 1 }}"#);
    let mut loaded = Folder::with(&[("gateway.json", &text)]).load(&["gateway.json"]);
    let options = loaded.options();
    let root = loaded.root.take().unwrap();
    crate::plan::document::read(&root, &mut loaded.diagnostics, options);
    let unknown: Vec<_> = loaded.diagnostics.list.iter().filter(|d| d.code.0 == "MG0102").collect();
    assert_eq!(unknown.len(), 2, "{}", reported(&loaded));
    assert!(
        unknown.iter().any(|d| d.help.contains(&"2 more in other places".to_owned())),
        "{}",
        reported(&loaded)
    );
}
