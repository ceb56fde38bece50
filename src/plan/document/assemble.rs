//! Assembles documents from their own settings and the options of the features that they carry, as placed by the
//! table of stages and the table of cluster options.

/// Declares a document of one kind: `route`, `policy`, `global`, `aggregate`, `dynamic`, `cluster`, `transport`. Its own
/// settings come first, with `use GROUP;` in the place of settings that other documents have too, then the options of clusters, then
/// those of stages.
macro_rules! document {
    ($kind:ident: $(#[$attribute:meta])* pub struct $name:ident { $($settings:tt)* }) => {
        own_settings! { { $kind [$(#[$attribute])*] $name [] } $($settings)* }
    };
}

/// Adds the settings up to the next `use`, and those of its group.
macro_rules! own_settings {
    (
        { $kind:ident $attributes:tt $name:ident [$($fields:tt)*] }
        $($(#[$attribute:meta])* pub $field:ident: $type:ty,)*
        use $group:ident;
        $($rest:tt)*
    ) => {
        $group! {
            own_settings {
                $kind $attributes $name [$($fields)* $($(#[$attribute])* pub $field: $type,)*]
            }
            $($rest)*
        }
    };
    (
        { $kind:ident $attributes:tt $name:ident [$($fields:tt)*] }
        $($(#[$attribute:meta])* pub $field:ident: $type:ty,)*
    ) => {
        $crate::plan::clusters::with_cluster_options! {
            document_fields {
                [$crate::plan::clusters] $kind $attributes $name
                [$($fields)* $($(#[$attribute])* pub $field: $type,)*]
            }
        }
    };
}

/// Adds the field of one entry of a table after the other, then emits the struct.
macro_rules! document_fields {
    ({ [$crate_:tt::plan::clusters] $kind:ident $attributes:tt $name:ident $fields:tt }) => {
        $crate::stages::table::with_stages! {
            document_fields { [$crate::stages] $kind $attributes $name $fields }
        }
    };
    ({ $root:tt $kind:ident [$($attributes:tt)*] $name:ident [$($fields:tt)*] }) => {
        $($attributes)*
        pub struct $name { $($fields)* }
    };
    // A stage without options.
    ({ $($document:tt)* } $setting:literal $stage:tt; $($entries:tt)*) => {
        document_fields! { { $($document)* } $($entries)* }
    };
    (
        { [$($root:tt)*] global $attributes:tt $name:ident [$($fields:tt)*] }
        $setting:literal $stage:tt => {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident $documents:tt
        };
        $($entries:tt)*
    ) => {
        document_fields! {
            { [$($root)*] global $attributes $name [
                $($fields)*
                $(#[doc = $doc])* $(#[cfg($($cfg)*)] #[schemars($($schemars)*)])?
                #[serde(rename = $setting)]
                pub $field: Setting<<$($root)*::$field::$options as $crate::config::options::Options>::Global>,
            ] }
            $($entries)*
        }
    };
    ({ $root:tt route $($document:tt)* } $($entries:tt)*) => {
        document_fields! { @own { $root route $($document)* } $($entries)* }
    };
    ({ $root:tt policy $($document:tt)* } $($entries:tt)*) => {
        document_fields! { @own { $root policy $($document)* } $($entries)* }
    };
    (
        { $root:tt aggregate $($document:tt)* }
        $setting:literal $stage:tt => { $(#$doc:tt)* $field:ident: $options:ident [aggregate $dynamic:tt $cluster:tt] };
        $($entries:tt)*
    ) => {
        document_fields! {
            @own { $root aggregate $($document)* }
            $setting $stage => { $(#$doc)* $field: $options [aggregate $dynamic $cluster] };
            $($entries)*
        }
    };
    (
        { $root:tt dynamic $($document:tt)* }
        $setting:literal $stage:tt => { $(#$doc:tt)* $field:ident: $options:ident [$aggregate:tt dynamic $cluster:tt] };
        $($entries:tt)*
    ) => {
        document_fields! {
            @own { $root dynamic $($document)* }
            $setting $stage => { $(#$doc)* $field: $options [$aggregate dynamic $cluster] };
            $($entries)*
        }
    };
    (
        { $root:tt cluster $($document:tt)* }
        $setting:literal $stage:tt => { $(#$doc:tt)* $field:ident: $options:ident [$aggregate:tt $dynamic:tt cluster] };
        $($entries:tt)*
    ) => {
        document_fields! {
            @own { $root cluster $($document)* }
            $setting $stage => { $(#$doc)* $field: $options [$aggregate $dynamic cluster] };
            $($entries)*
        }
    };
    // Connections and datagrams that are forwarded as they are have few of the options.
    ({ $root:tt transport $($document:tt)* } "LoadBalancerOptions" $($entries:tt)*) => {
        document_fields! { @own { $root transport $($document)* } "LoadBalancerOptions" $($entries)* }
    };
    ({ $root:tt transport $($document:tt)* } "HealthCheckOptions" $($entries:tt)*) => {
        document_fields! { @own { $root transport $($document)* } "HealthCheckOptions" $($entries)* }
    };
    ({ $root:tt transport $($document:tt)* } "TlsOptions" $($entries:tt)*) => {
        document_fields! { @own { $root transport $($document)* } "TlsOptions" $($entries)* }
    };
    ({ $root:tt transport $($document:tt)* } "SecurityOptions" $($entries:tt)*) => {
        document_fields! { @own { $root transport $($document)* } "SecurityOptions" $($entries)* }
    };
    // A document without these options.
    ({ $($document:tt)* } $setting:literal $stage:tt => $feature:tt; $($entries:tt)*) => {
        document_fields! { { $($document)* } $($entries)* }
    };
    (
        @own { [$($root:tt)*] $kind:ident $attributes:tt $name:ident [$($fields:tt)*] }
        $setting:literal $stage:tt => {
            $(#[doc = $doc:literal])* $(#[cfg($($cfg:tt)*)] #[schemars($($schemars:tt)*)])?
            $field:ident: $options:ident $documents:tt
        };
        $($entries:tt)*
    ) => {
        document_fields! {
            { [$($root)*] $kind $attributes $name [
                $($fields)*
                $(#[doc = $doc])* $(#[cfg($($cfg)*)] #[schemars($($schemars)*)])?
                #[serde(rename = $setting)]
                pub $field: BoxedSetting<$($root)*::$field::$options>,
            ] }
            $($entries)*
        }
    };
}
