//! Words as a person would type them to a shell. Nothing here is ever given to one by Squall itself.

use crate::experiment::quantity::{Piece, pieces};
use crate::instance::Command;

/// A word that a shell takes as it stands.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word in which the shell fills in the variables, as Squall would.
pub(super) fn template(word: &str) -> String {
    let pieces = pieces(word);
    if pieces.is_empty() {
        return quote("");
    }
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(text) => quote(text),
            Piece::Variable(name) => match name.strip_prefix("file:") {
                Some(path) => format!("\"$(cat {})\"", quote(path)),
                None => format!("\"${{{name}}}\""),
            },
        })
        .collect()
}

/// A command as somebody would type it, with its variables left to the shell.
pub(super) fn typed(command: &Command) -> String {
    command.run.iter().map(|part| template(part)).collect::<Vec<_>>().join(" ")
}

/// The same where it runs here, with whom it is for.
pub(super) fn typed_here(command: &Command) -> String {
    let there = command.directory.iter().map(|dir| format!("cd {} && ", quote(&dir.to_string_lossy())));
    let whom = command.variables.iter().map(|(variable, value)| format!("{variable}={} ", quote(value)));
    there.chain(whom).collect::<String>() + &typed(command)
}
