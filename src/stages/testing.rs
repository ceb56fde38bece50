//! Options of features from JSON, for tests.

use crate::config::{
    Diagnostics, Sources, Spanned,
    de::{self, Options as ReadOptions},
    options::{GlobalGroup, Options, merge},
    parse::{Dialect, parse},
};
use serde::de::DeserializeOwned;

/// A value as a document would set it.
fn read<T: DeserializeOwned + Default>(text: &str) -> Spanned<T> {
    let mut diagnostics = Diagnostics::default();
    let dialect = Dialect { single_quotes: false };
    let file = Sources::default().add("test.json".to_owned(), None, text.to_owned(), dialect);
    let tree = parse(file, text, dialect, &mut diagnostics).expect("JSON");
    let value = de::read(&tree, &mut diagnostics, ReadOptions::default());
    assert!(diagnostics.list.is_empty(), "{:?}", diagnostics.list);
    Spanned::new(value, tree.span)
}

/// The options that apply to a route of this key: its own over those of `GlobalConfiguration`.
pub fn merged<T>(global: Option<&str>, own: Option<&str>, key: Option<&str>) -> Option<T>
where
    T: Options + DeserializeOwned,
    T::Global: DeserializeOwned + Default,
{
    let global = global.map(read::<T::Global>);
    let own = own.map(|own| {
        let Spanned { value, span } = read::<T>(own);
        Spanned::new(Box::new(value), span)
    });
    merge(&own, GlobalGroup::new(&global).as_ref(), key).map(|options| options.into_owned())
}
