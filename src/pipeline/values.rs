//! Path values (placeholder until routing lands).
#[derive(Debug, Default)]
pub struct PathValues;
impl PathValues {
    pub fn clear(&mut self) {}
}
