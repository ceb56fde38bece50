//! Bodies of the media type `application/x-www-form-urlencoded`.

use crate::base::percent::percent_encoded;

/// The media type of a form.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The parameters of a request to an authorization server.
#[derive(Clone, Default)]
pub struct Form(String);

impl Form {
    /// Adds a parameter.
    pub fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0 += name;
        self.0.push('=');
        self.0 += &percent_encoded(value);
    }

    /// The same with a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Form {
        self.add(name, value);
        self
    }

    /// The encoded parameters; they contain secrets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let form = Form::default().with("a", "b c&d=é").with("e", "");
        assert_eq!(form.as_str(), "a=b%20c%26d%3D%C3%A9&e=");
    }
}
