//! Who sent something.

/// Who sent something that was refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sender {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`, where it could be read.
    pub instance: Option<String>,
}

impl Sender {
    /// What it takes to remember, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.service.len() + self.instance.as_ref().map_or(0, String::len)
    }
}
