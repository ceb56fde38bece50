use super::*;
use proptest::prelude::*;

fn trie(names: &[&str]) -> NameTrie<String> {
    let mut trie = NameTrie::default();
    names.iter().for_each(|name| drop(trie.insert(name, (*name).to_owned())));
    trie
}

fn found(names: &[&str], path: &str) -> Option<(String, usize)> {
    let trie = trie(names);
    trie.find(path.as_bytes(), |_| true).map(|found| (found.value.clone(), found.segments))
}

#[test]
fn the_longest_name_by_whole_segments_is_found() {
    let names = ["A/S", "A/S/api", "A/S/api/deep/er", "My App/Sérvice"];
    for (path, name, segments) in [
        ("/A/S", "A/S", 2),
        ("/A/S/", "A/S", 2),
        ("/A/S//x", "A/S", 2),
        ("/A/S/apix", "A/S", 2),
        ("/A/S/api/x", "A/S/api", 3),
        ("/A/S/api/deep/x", "A/S/api", 3),
        ("/A/S/api/deep/er/y", "A/S/api/deep/er", 5),
        ("/%41/S/x", "A/S", 2),
        ("/My%20App/S%C3%A9rvice/x", "My App/Sérvice", 2),
        ("/A/S/x$y/api", "A/S", 2),
        ("/A/S/%24/api", "A/S", 2),
    ] {
        assert_eq!(found(&names, path), Some((name.to_owned(), segments)), "{path}");
    }
    for path in
        ["/", "", "//A/S", "/A", "/A/", "/a/S", "/A/s", "/AX/S", "/A/S~", "/A%2FS/x", "/$A/S", "/A//S"]
    {
        assert_eq!(found(&names, path), None, "{path}");
    }
}

#[test]
fn a_hidden_name_does_not_exist() {
    let trie = trie(&["A/S", "A/S/api"]);
    let found = trie.find(b"/A/S/api/x", |name| name != "A/S/api").map(|found| found.segments);
    assert_eq!(found, Some(2));
    assert_eq!((trie.len(), trie.get("A/S").map(String::as_str), trie.get("A")), (2, Some("A/S"), None));
    assert_eq!(trie.values().count(), 2);
}

#[test]
fn segments_are_dropped_from_the_raw_path() {
    for (path, segments, rest) in [
        ("/A/S", 2, ""),
        ("/A/S/", 2, "/"),
        ("/A/S//x", 2, "//x"),
        ("/%41/S/a%2Fb", 2, "/a%2Fb"),
        ("/x/y", 0, "/x/y"),
        ("/", 0, "/"),
    ] {
        assert_eq!(after_segments(path.as_bytes(), segments), rest.as_bytes(), "{path}");
    }
}

#[test]
fn patterns_allow_a_name_everything_below_or_everything() {
    let filter = |allowed: &[&str], hidden: &[&str]| NameFilter {
        allowed: allowed.iter().map(|text| NamePattern::parse(text).unwrap()).collect(),
        hidden: hidden.iter().map(|text| NamePattern::parse(text).unwrap()).collect(),
    };
    for (allowed, hidden, name, allows) in [
        (&["*"][..], &[][..], "A/S", true),
        (&["A/*"], &[], "A/S/deep", true),
        (&["A/*"], &[], "AB/S", false),
        (&["A/S"], &[], "A/S", true),
        (&["fabric:/A/S"], &[], "A/S", true),
        (&["A/S"], &[], "A/S/deep", false),
        (&["A/*"], &["A/Secret"], "A/Secret", false),
        (&["*"], &["A/*"], "A/S", false),
        (&[], &[], "A/S", false),
    ] {
        assert_eq!(filter(allowed, hidden).allows(name), allows, "{allowed:?} {hidden:?} {name}");
    }
    for text in ["", "A*", "/*", "A//B", "A/$/B", "*/A", "A/**"] {
        assert_eq!(NamePattern::parse(text), None, "{text}");
    }
}

/// The definition: of all prefixes of decoded segments that are names, the longest.
fn naive(names: &[String], path: &str) -> Option<(String, usize)> {
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/')?.split('/') {
        let decoded = String::from_utf8_lossy(&percent_decoded(segment.as_bytes(), false)).into_owned();
        if decoded.is_empty() || decoded.contains(['$', '+', '|', '~', '/']) {
            break;
        }
        segments.push(decoded);
    }
    let prefixes = (1..=segments.len().min(MAX_NAME_SEGMENTS)).rev();
    let mut prefixes = prefixes.map(|count| (segments[..count].join("/"), count));
    prefixes.find(|(prefix, _)| names.contains(prefix))
}

proptest! {
    #[test]
    fn the_trie_finds_what_a_naive_search_finds(
        names in proptest::collection::vec("[ab]{1,2}(/[ab%]{1,2}){0,3}", 0..12),
        path in "(/[ab$%~4125]{0,3}){0,6}",
    ) {
        let trie = trie(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let found = trie.find(path.as_bytes(), |_| true).map(|found| (found.value.clone(), found.segments));
        prop_assert_eq!(found, naive(&names, &path));
    }

    #[test]
    fn what_is_dropped_and_what_is_left_are_the_path(path in "(/[a-c%2]{0,3}){1,6}", segments in 0_usize..7) {
        let rest = after_segments(path.as_bytes(), segments);
        let dropped = &path[..path.len() - rest.len()];
        let expected = segments.min(path.matches('/').count());
        prop_assert_eq!(dropped.matches('/').count(), expected);
        prop_assert!(rest.is_empty() || rest[0] == b'/');
    }
}
