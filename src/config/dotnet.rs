//! The environment variables that an application on .NET adds to `ocelot.json`: the name of the environment, which
//! selects `ocelot.ENVIRONMENT.json`, and values such as `Routes__0__DownstreamHostAndPorts__0__Host`.

/// The environment of a host without `DOTNET_ENVIRONMENT` and `ASPNETCORE_ENVIRONMENT`.
const DEFAULT_ENVIRONMENT: &str = "Production";
/// In the order of their precedence in `WebApplicationBuilder`.
const NAME_VARIABLES: [&str; 2] = ["DOTNET_ENVIRONMENT", "ASPNETCORE_ENVIRONMENT"];
/// Maximum number of names in a variable, as the depth of documents.
const MAX_DEPTH: usize = 32;
/// The sections of Ocelot.
const OCELOT_SECTIONS: [&str; 4] = ["Routes", "DynamicRoutes", "Aggregates", "GlobalConfiguration"];
/// Further sections that variables may set.
const OTHER_SECTIONS: [&str; 6] =
    ["Clusters", "AuthenticationSchemes", "Listeners", "Limits", "Administration", "ForwardedHeaders"];

/// The variables that .NET adds to `ocelot.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DotnetEnvironment {
    /// `DOTNET_ENVIRONMENT`.
    pub dotnet_name: Option<String>,
    /// `ASPNETCORE_ENVIRONMENT`.
    pub aspnetcore_name: Option<String>,
    /// Name and value of the variables that set a value of the document.
    pub variables: Vec<(String, String)>,
}

impl DotnetEnvironment {
    /// That of this process.
    pub fn of_process() -> DotnetEnvironment {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        DotnetEnvironment::from_variables(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// The part of these variables that concerns the configuration.
    pub fn from_variables(all: impl IntoIterator<Item = (String, String)>) -> DotnetEnvironment {
        let mut environment = DotnetEnvironment::default();
        for (name, value) in all {
            let is_blank = value.trim().is_empty();
            match NAME_VARIABLES.iter().position(|known| *known == name) {
                Some(0) if !is_blank => environment.dotnet_name = Some(value.trim().to_owned()),
                Some(_) if !is_blank => environment.aspnetcore_name = Some(value.trim().to_owned()),
                None if is_value_of_document(&name) => environment.variables.push((name, value)),
                _ => {}
            }
        }
        environment.variables.sort();
        environment
    }

    /// The name of the environment, if a variable sets it.
    pub fn explicit_name(&self) -> Option<&str> {
        self.dotnet_name.as_deref().or(self.aspnetcore_name.as_deref())
    }

    /// The name of the environment.
    pub fn name(&self) -> &str {
        self.explicit_name().unwrap_or(DEFAULT_ENVIRONMENT)
    }

    /// `ASPNETCORE_ENVIRONMENT`, if `DOTNET_ENVIRONMENT` overrides it with another name.
    pub fn overridden_name(&self) -> Option<&str> {
        let name = self.aspnetcore_name.as_deref()?;
        (!name.eq_ignore_ascii_case(self.name())).then_some(name)
    }

    /// The first variable that sets a value in a section of Ocelot.
    pub fn first_ocelot_variable(&self) -> Option<&str> {
        let names = self.variables.iter().map(|(name, _)| name.as_str());
        names.into_iter().find(|name| is_in(&OCELOT_SECTIONS, name))
    }
}

/// The names in a variable, from the section to the setting. .NET separates them with `:`, or with `__`, which shells
/// accept.
pub fn path_of_variable(name: &str) -> impl Iterator<Item = &str> {
    name.split("__").flat_map(|part| part.split(':'))
}

fn is_value_of_document(name: &str) -> bool {
    let length = path_of_variable(name).count();
    let has_path = (2..=MAX_DEPTH).contains(&length) && path_of_variable(name).all(|part| !part.is_empty());
    has_path && (is_in(&OCELOT_SECTIONS, name) || is_in(&OTHER_SECTIONS, name))
}

fn is_in(sections: &[&str], name: &str) -> bool {
    let first = path_of_variable(name).next().unwrap_or_default();
    sections.iter().any(|section| section.eq_ignore_ascii_case(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> DotnetEnvironment {
        DotnetEnvironment::from_variables(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn dotnet_environment_takes_precedence_and_the_default_is_production() {
        let both = environment(&[("ASPNETCORE_ENVIRONMENT", "A"), ("DOTNET_ENVIRONMENT", " D ")]);
        assert_eq!((both.name(), both.overridden_name()), ("D", Some("A")));
        let one = environment(&[("ASPNETCORE_ENVIRONMENT", "A"), ("DOTNET_ENVIRONMENT", " ")]);
        assert_eq!((one.name(), one.overridden_name()), ("A", None));
        let none = environment(&[]);
        assert_eq!((none.name(), none.explicit_name()), ("Production", None));
    }

    #[test]
    fn variables_that_begin_with_a_section_set_values() {
        let accepted = [
            "Routes__0__Key",
            "routes:0:key",
            "GLOBALCONFIGURATION__BaseUrl",
            "AuthenticationSchemes__a__Type",
        ];
        let ignored =
            ["Routes", "Other__0__Key", "Routes__", "Routes__0____Key", "ASPNETCORE_Routes__0__Key"];
        for (names, expected) in [(&accepted[..], true), (&ignored[..], false)] {
            for name in names {
                assert_eq!(!environment(&[(name, "x")]).variables.is_empty(), expected, "{name}");
            }
        }
    }
}
