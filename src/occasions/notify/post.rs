//! What is posted for a message, variables filled in: to be sent as it is, and never shown.

use crate::model::quantity::{Absent, Text, fill};

/// A request.
pub(super) struct Post {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// Knows the variables.
pub(super) type Lookup<'a> = &'a (dyn Fn(&str) -> Result<String, Absent> + Sync);

/// A text with its variables filled in.
///
/// # Errors
/// In a sentence: which variable is missing.
pub(super) fn filled(text: &Text, lookup: Lookup<'_>) -> Result<String, String> {
    fill(&text.0, lookup).map_err(|missing| format!("{missing}: set it and try again"))
}

/// The first characters of a text, where it is too long for a recipient.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
