use super::*;

fn apply(transform: Transform, input: &str) -> String {
    String::from_utf8_lossy(&transform.apply(input.as_bytes())).into_owned()
}

#[test]
fn each_transformation_changes_a_value_as_documented() {
    for (name, input, expected) in [
        ("lowercase", "AbC", "abc"),
        ("uppercase", "AbC", "ABC"),
        ("urlDecode", "a%20b+c%zz%4", "a b c%zz%4"),
        ("urlDecodeUni", "%u003cb%uff1e%41+", "<b>A "),
        ("htmlEntityDecode", "&lt;a&gt;&#65;&#x42;&amp;&quot;&foo;", "<a>AB&\"&foo;"),
        ("jsDecode", r"\u0041\x42\103\n\q\", "ABC\nq\\"),
        ("cssDecode", r"\41 b\000042c\q", "AbBcq"),
        ("escapeSeqDecode", r"\x41\102\n\q", "AB\nq"),
        ("removeNulls", "a\0b", "ab"),
        ("replaceNulls", "a\0b", "a b"),
        ("removeWhitespace", " a\tb\n", "ab"),
        ("compressWhitespace", "a \t b", "a b"),
        ("replaceComments", "a/*x*/b/*y", "a b "),
        ("removeComments", "a/*x*/b<!-- y -->c--d", "abc"),
        ("removeCommentsChar", "a/*x*/b", "axb"),
        ("cmdLine", "C^M\"D  , ;x /a", "cmd x/a"),
        ("normalizePath", "/a/./b//../c/", "/a/c/"),
        ("normalizePath", "../a", "../a"),
        ("normalizePath", "/../../etc", "/etc"),
        ("normalizePathWin", "a\\..\\b", "b"),
        ("utf8toUnicode", "aé<", "a%u00e9<"),
        ("base64Decode", "YWJj", "abc"),
        ("base64Decode", "YW Jj", ""),
        ("base64DecodeExt", "YW Jj", "abc"),
        ("base64Encode", "abc", "YWJj"),
        ("hexDecode", "4142", "AB"),
        ("hexEncode", "AB", "4142"),
        ("length", "four", "4"),
        ("trim", " a ", "a"),
        ("trimLeft", " a ", "a "),
        ("trimRight", " a ", " a"),
    ] {
        let transform = Transform::from_name(name).unwrap();
        assert_eq!(apply(transform, input), expected, "{name} of {input}");
    }
}

#[test]
fn digests_are_those_of_the_empty_text() {
    let digest = |transform: Transform| apply(Transform::HexEncode, "") + &hex(&transform.apply(b""));
    assert_eq!(digest(Transform::Md5), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(digest(Transform::Sha1), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(hex(&Transform::Md5.apply(&[b'a'; 64])), "014842d480b571495a4a0363793f7367");
}

fn hex(bytes: &[u8]) -> String {
    String::from_utf8(Transform::HexEncode.apply(bytes).into_owned()).unwrap()
}

#[test]
fn a_value_without_a_trigger_is_not_changed() {
    let samples: [&[u8]; 6] =
        [b"plain", b"a b/c.d", b"%41&lt;\\x41", b"/* x */ -- #", b"AbC \xc3\xa9\0", b"..\\a\\"];
    for transform in Transform::ALL {
        let Some(triggers) = transform.triggers() else { continue };
        for sample in samples {
            let is_changed = *transform.apply(sample) != *sample;
            let has_trigger = ByteSet::scan(sample).is_meeting(&triggers);
            assert!(has_trigger || !is_changed, "{} of {sample:?}", transform.name());
        }
    }
}
