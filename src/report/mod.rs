//! A run's reports: pure renderings of its state, the same from a fresh run and from an old journal.
//!
//! Knows no engine and no clock; the one place that touches the world is [`write_all`].

mod chart;
#[cfg(test)]
mod documented;
mod facts;
mod faults;
#[cfg(test)]
pub(crate) mod fixture;
pub mod follow;
pub mod gameday;
mod html;
mod json;
mod junit;
mod markdown;
pub mod series;
mod timeline;
mod words;
mod zones;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::record::state::RunState;
use crate::text::visible;

/// Makes of a table of formats their enum, their files and their renderings. A format is a module with a `render`, its `mod`, and a
/// line here: its name, its file beside the journal, how its text is shown (a `page` has no control characters), what it is.
macro_rules! formats {
    ($($format:ident => $module:ident, $file:literal, $shown:path: $about:literal,)+) => {
        /// The formats of a report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
        pub enum Format {
            $(#[doc = $about] #[value(help = None::<&str>)] $format,)+
        }

        impl Format {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$format),+];

            /// The file it goes to, beside the journal.
            #[must_use]
            pub fn file(self) -> &'static str {
                match self {
                    $(Self::$format => $file,)+
                }
            }
        }

        /// A run in a format. A run that is not over, or that died, has its reports too; they say so.
        #[must_use]
        pub fn render(state: &RunState, format: Format) -> String {
            match format {
                $(Format::$format => $shown($module::render(state)),)+
            }
        }
    };
}

formats! {
    Html => html, "report.html", page: "One page for people: no script, no request to anywhere.",
    Markdown => markdown, "report.md", page: "For a pull request.",
    Json => json, "report.json", std::convert::identity: "For programs; `docs/report-json.md` names every field.",
    Junit => junit, "junit.xml", page: "For pipelines that read `JUnit` XML.",
}

/// A page as people may see it.
fn page(text: impl AsRef<str>) -> String {
    visible::text(text.as_ref()).into_owned()
}

/// Writes every format into a directory; each file is whole or as it was. Their paths.
///
/// # Errors
/// Where a file cannot be written; the others are still tried.
pub fn write_all(state: &RunState, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    write_each(dir, Format::ALL.iter().map(|format| (*format, render(state, *format))))
}

fn write_each(dir: &Path, texts: impl IntoIterator<Item = (Format, String)>) -> anyhow::Result<Vec<PathBuf>> {
    // As open as the directory: what is written into another one than the state directory is for more people.
    let mode = std::fs::metadata(dir).map_or(0, |m| m.permissions().mode()) & 0o044 | 0o600;
    let written: Vec<anyhow::Result<PathBuf>> = texts
        .into_iter()
        .map(|(format, text)| {
            let path = dir.join(format.file());
            replace(&path, &text, mode).with_context(|| format!("cannot write the report {}", path.display()))?;
            Ok(path)
        })
        .collect();
    written.into_iter().collect()
}

/// Replaces a file that somebody has asked for; it is whole or as it was.
///
/// # Errors
/// Where it cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text, 0o644)
}

fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::model::instance::{Command, CommandLocation, Rollback, Setting};

    #[test]
    fn every_format_is_written_whole_and_as_open_as_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("report.md"), "an older one").unwrap();
        for (of_directory, of_file) in [(0o700, 0o600), (0o755, 0o644)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(of_directory)).unwrap();
            let paths = write_all(&fixture::held(), dir.path()).unwrap();
            assert_eq!(paths.len(), Format::ALL.len());
            for path in &paths {
                let text = std::fs::read_to_string(path).unwrap();
                assert!(text.contains("kill-one-replica"), "{}", path.display());
                let mode = std::fs::metadata(path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, of_file, "{}", path.display());
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing else is left there");
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_that_names_the_file() {
        let e = write_all(&fixture::held(), Path::new("/nonexistent/here")).unwrap_err();
        assert!(format!("{e:#}").contains("/nonexistent/here/report.html"), "{e:#}");
    }

    /// A command's exit status is what the command says, and not what was seen.
    #[test]
    fn of_a_command_no_format_says_more_than_it_said() {
        let mut state = fixture::held();
        let verified = |state: &RunState, format| render(state, format).matches("verified").count();
        assert!(verified(&state, Format::Html) > 0 && verified(&state, Format::Markdown) > 0);
        let ran = |program: &str| {
            Setting::Ran(Command {
                run: vec![program.to_owned()],
                place: CommandLocation::Target,
                timeout: Duration::from_secs(1),
                variables: BTreeMap::new(),
                directory: None,
            })
        };
        let change = &mut state.changes[0].change;
        (change.to, change.back) = (ran("break"), Rollback::To(ran("mend")));
        for format in [Format::Html, Format::Markdown] {
            let text = render(&state, format);
            let other = text.replace("rollback verified: 1 instance as before; 1 change only claimed", "");
            assert!(other.contains("claimed") && !other.contains("verified"), "{text}");
        }
        let junit = render(&state, Format::Junit);
        assert_eq!(junit.matches("<skipped message=\"claimed by the exit status of a command").count(), 1, "{junit}");
        assert_eq!(junit.matches("<skipped message=\"1 change only claimed").count(), 1, "{junit}");
        let json: serde_json::Value = serde_json::from_str(&render(&state, Format::Json)).unwrap();
        let change = &json["changes"][0];
        assert!(change["verification"]["claimed"] == true && change["rolled-back"]["claimed"] == true, "{change:#}");
    }

    /// Puts the fixtures where a browser can show them: `cargo test --lib paints_the_fixtures -- --ignored`.
    #[test]
    #[ignore = "for the eye: writes target/report-fixtures"]
    fn paints_the_fixtures() {
        for (name, state) in fixture::all() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/report-fixtures").join(name);
            std::fs::create_dir_all(&dir).unwrap();
            write_all(&state, &dir).unwrap();
        }
    }
}
