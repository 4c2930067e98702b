//! Words as a person would type them to a shell. Nothing here is ever given to one by Squall itself.

use crate::model::instance::Command;
use crate::model::quantity::{Piece, pieces};

/// A word that a shell takes as it stands.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.contains(char::is_control) {
        // On one line, as bash, zsh and ksh read it.
        let escaped = word.chars().map(|c| match c {
            '\n' => "\\n".to_owned(),
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        });
        return format!("$'{}'", escaped.collect::<String>());
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
            Piece::Variable(variable) => match (variable.file(), variable.default) {
                (Some(path), None) => format!("\"$(cat {})\"", quote(path)),
                (Some(path), Some(default)) => {
                    format!("\"$(cat {} 2>/dev/null || printf %s {})\"", quote(path), quote(default))
                }
                (None, None) => format!("\"${{{}}}\"", variable.name),
                (None, Some(default)) => format!("\"${{{}:-{}}}\"", variable.name, within_quotes(default)),
            },
        })
        .collect()
}

/// A text between double quotes.
fn within_quotes(text: &str) -> String {
    text.chars().flat_map(|c| r#""$`\"#.contains(c).then_some('\\').into_iter().chain([c])).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell makes of a template.
    fn shell(of: &str) -> String {
        let script = format!("printf %s {}", template(of));
        let run =
            std::process::Command::new("sh").args(["-c", &script]).env("SET", "it's").env_remove("UNSET").output();
        String::from_utf8(run.unwrap().stdout).unwrap()
    }

    #[test]
    fn a_shell_fills_in_what_squall_would() {
        for (template, value) in [
            ("a b'c", "a b'c"),
            ("<${SET}>", "<it's>"),
            ("${SET:-x}", "it's"),
            ("${UNSET:-x y}", "x y"),
            (r#"${UNSET:-"$HOME`id`\}"#, r#""$HOME`id`\"#),
            ("${file:/no/such/file:-x y}", "x y"),
        ] {
            assert_eq!(shell(template), value, "{template}");
        }
    }
}
