//! The mistakes of a registry file.

use super::document::RegistryFault;

/// How many mistakes are reported.
const MAX_REPORTED: usize = 20;

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<RegistryFault>,
    left_out: usize,
    has_errors: bool,
}

impl Faults {
    /// Reports a mistake.
    pub fn error(&mut self, place: &str, message: String) {
        self.has_errors = true;
        self.add(true, place, message);
    }

    /// Reports something that is probably not intended.
    pub fn warning(&mut self, place: &str, message: String) {
        self.add(false, place, message);
    }

    fn add(&mut self, is_error: bool, place: &str, message: String) {
        if self.list.len() >= MAX_REPORTED {
            self.left_out += 1;
            return;
        }
        self.list.push(RegistryFault { is_error, place: place.to_owned(), message });
    }

    /// Whether there is an error, and all mistakes.
    pub fn finish(mut self) -> (bool, Vec<RegistryFault>) {
        if self.left_out > 0 {
            let message = format!("{} more mistakes of this file are not listed", self.left_out);
            self.list.push(RegistryFault { is_error: self.has_errors, place: String::new(), message });
        }
        (self.has_errors, self.list)
    }
}
