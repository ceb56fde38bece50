//! Documents out of their own settings and the options of the features that they carry, as the table of stages places
//! them.

/// Declares a document of one kind: `route`, `policy`, `global`, `aggregate`, `dynamic`. Its own settings come first.
macro_rules! document {
    ($kind:ident: $(#[$attribute:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        $crate::stages::table::with_stages! {
            document_fields { $kind [$(#[$attribute])*] $name [$($fields)*] }
        }
    };
}

/// Adds the fields of one line of the table after the other, then emits the struct.
macro_rules! document_fields {
    ({ $kind:ident [$($attributes:tt)*] $name:ident [$($fields:tt)*] }) => {
        $($attributes)*
        pub struct $name { $($fields)* }
    };
    // A stage without options.
    ({ $($document:tt)* } $stage:tt; $($lines:tt)*) => {
        document_fields! { { $($document)* } $($lines)* }
    };
    (
        { global $attributes:tt $name:ident [$($fields:tt)*] }
        ($feature:ident :: $constant:ident, $setting:literal, $reason:literal) => {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident $documents:tt
        };
        $($lines:tt)*
    ) => {
        document_fields! {
            { global $attributes $name [
                $($fields)*
                $(#[doc = $doc])* $(#[cfg($($cfg)*)] #[schemars($($schemars)*)])?
                #[serde(rename = $setting)]
                pub $field: Setting<<$crate::stages::$field::$options as $crate::config::options::Options>::Global>,
            ] }
            $($lines)*
        }
    };
    ({ route $($document:tt)* } $($lines:tt)*) => { document_fields! { @own { route $($document)* } $($lines)* } };
    ({ policy $($document:tt)* } $($lines:tt)*) => { document_fields! { @own { policy $($document)* } $($lines)* } };
    ({ aggregate $($document:tt)* } $stage:tt => { $(#$doc:tt)* $field:ident: $options:ident [aggregate $($more:tt)*] }; $($lines:tt)*) => {
        document_fields! { @own { aggregate $($document)* } $stage => { $(#$doc)* $field: $options [aggregate $($more)*] }; $($lines)* }
    };
    ({ dynamic $($document:tt)* } $stage:tt => { $(#$doc:tt)* $field:ident: $options:ident [$aggregate:tt dynamic] }; $($lines:tt)*) => {
        document_fields! { @own { dynamic $($document)* } $stage => { $(#$doc)* $field: $options [$aggregate dynamic] }; $($lines)* }
    };
    // A document without these options.
    ({ $($document:tt)* } $stage:tt => $feature:tt; $($lines:tt)*) => {
        document_fields! { { $($document)* } $($lines)* }
    };
    (
        @own { $kind:ident $attributes:tt $name:ident [$($fields:tt)*] }
        ($feature:ident :: $constant:ident, $setting:literal, $reason:literal) => {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident $documents:tt
        };
        $($lines:tt)*
    ) => {
        document_fields! {
            { $kind $attributes $name [
                $($fields)*
                $(#[doc = $doc])* $(#[cfg($($cfg)*)] #[schemars($($schemars)*)])?
                #[serde(rename = $setting)]
                pub $field: BoxedSetting<$crate::stages::$field::$options>,
            ] }
            $($lines)*
        }
    };
}
