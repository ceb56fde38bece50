//! JSONPath and composition: an expression over a document, and bodies put together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::plan::aggregate::{
    compose::{self, Body, PartBody, Representation},
    json_path::JsonPath,
    values,
};

fuzz_target!(|data: (&str, &[u8])| {
    let (expression, body) = data;
    let document = serde_json::from_slice::<serde_json::Value>(body);
    if let (Ok(path), Ok(document)) = (JsonPath::parse(expression), &document) {
        for ocelot in [false, true] {
            let _ = values::extract(&path, document, ocelot, 100);
        }
    }
    assert!(document.is_err() || compose::is_json(body));
    if compose::is_json(body) {
        let bytes = bytes::Bytes::copy_from_slice(body);
        let bodies = [Body::Single(bytes.clone()), Body::List(vec![bytes.clone(), bytes]), Body::Missing];
        let parts = ["a", "b\"\\", "c"].into_iter().zip(bodies).map(|(key, body)| PartBody { key, body });
        let whole = compose::compose(&Representation::compose_object(), &parts.collect::<Vec<_>>(), &[], usize::MAX);
        assert!(whole.is_ok_and(|whole| compose::is_json(&whole)));
    }
});
