//! What processes of an instance are called, and which of them are meant. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::glob::glob;

/// Processes of an instance that are called the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Called {
    /// What they call themselves, at most 15 bytes of it.
    pub own: String,
    /// The name of the file that they run, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The title that they have given themselves in the place of their arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the instance ends with it: the main process is an init or a shell that has nothing else to wait for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leads: bool,
    /// Whether it is none of the service's: the engine has started it beside the main process (`docker exec`, a health check), or
    /// such a process has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session: bool,
    /// How many.
    pub count: usize,
}

impl Called {
    /// Whether what they call themselves, or what they run, is meant by a text in which `*` stands for any text.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        glob(name, &self.own) || self.program.as_deref().is_some_and(|program| glob(name, program))
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{} × ", self.count)?;
        }
        // Only 15 bytes are kept of what they call themselves.
        let whole = self.program.as_deref().filter(|program| program.starts_with(&self.own));
        f.write_str(whole.unwrap_or(&self.own))?;
        self.title.as_ref().map_or(Ok(()), |title| write!(f, " (`{title}`)"))?;
        f.write_str(if self.session { " (a session)" } else { "" })
    }
}

/// Which processes of an instance are meant: all that is given must fit. Its main process never is, nor is a session of
/// somebody in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Which {
    /// What they call themselves or what they run; `*` stands for any text.
    pub name: String,
    /// Their whole title; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the one is meant as well with which the instance ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub main: bool,
}

impl Which {
    /// Those of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), title: None, main: false }
    }

    /// Whether these processes are meant.
    #[must_use]
    pub fn means(&self, called: &Called) -> bool {
        !called.session && self.fits(called)
    }

    fn fits(&self, called: &Called) -> bool {
        let title = |wanted: &String| called.title.as_ref().is_some_and(|title| glob(wanted, title));
        called.is_called(&self.name) && self.title.as_ref().is_none_or(title)
    }

    /// Why these must not be targeted of all that there are: there is none, or the instance would end with one.
    #[must_use]
    pub fn refuses<'a>(&self, all: impl Iterator<Item = &'a Called>) -> Option<String> {
        let (meant, sessions): (Vec<&Called>, Vec<&Called>) =
            all.filter(|called| self.fits(called)).partition(|called| self.means(called));
        if meant.is_empty() {
            let but = if sessions.is_empty() {
                ""
            } else {
                ", except in sessions: what `docker exec` or a health check starts is no process of the service, and is not targeted"
            };
            return Some(format!("it has no process {self} beside its main one{but}"));
        }
        let leads = meant.iter().find(|called| called.leads && !self.main)?;
        Some(format!(
            "its process {leads} is among {self}, and it ends with that one, which its main process only waits for: leave it out by \
             `title` or another `name`, or say `main: true`"
        ))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.title {
            Some(title) if self.name == "*" => write!(f, "with the title `{title}`"),
            Some(title) => write!(f, "`{}` with the title `{title}`", self.name),
            None => write!(f, "`{}`", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(own: &str, program: Option<&str>, title: Option<&str>, leads: bool) -> Called {
        let text = |t: Option<&str>| t.map(str::to_owned);
        Called { own: own.to_owned(), program: text(program), title: text(title), leads, session: false, count: 1 }
    }

    #[test]
    fn names_programs_and_titles_are_told_apart() {
        let sender =
            called("postgres", None, Some("postgres: walsender repl 10.0.0.5(4711) streaming 0/3136F98"), false);
        let (worker, applet) = (
            called("a-worker-with-a", Some("a-worker-with-a-name"), None, false),
            called("sleep", Some("busybox"), None, false),
        );
        let which = |name: &str, title: Option<&str>| Which { title: title.map(str::to_owned), ..Which::named(name) };
        for (which, process, want) in [
            (which("postgres", None), &sender, true),
            (which("3136F98", None), &sender, false),
            (which("*", Some("postgres: walsender*")), &sender, true),
            (which("*", Some("*3136F98")), &sender, true),
            (which("*", Some("3136F98")), &sender, false),
            (which("nginx", Some("postgres: walsender*")), &sender, false),
            (which("a-worker-with-a-name", None), &worker, true),
            (which("*", Some("*")), &worker, false),
            (which("busybox", None), &applet, true),
            (which("sleep", None), &applet, true),
        ] {
            assert_eq!(which.means(process), want, "{which}: {process}");
        }
        assert_eq!((worker.to_string().as_str(), applet.to_string().as_str()), ("a-worker-with-a-name", "sleep"));
    }

    #[test]
    fn the_one_that_the_instance_ends_with_must_be_meant() {
        let all =
            [called("postgres", None, None, true), called("postgres", None, Some("postgres: checkpointer"), false)];
        let why = Which::named("postgres").refuses(all.iter()).unwrap();
        assert!(why.contains("it ends with that one") && why.contains("`main: true`"), "{why}");
        assert_eq!(Which { main: true, ..Which::named("postgres") }.refuses(all.iter()), None);
        let title = Some("postgres: check*".to_owned());
        assert_eq!(Which { title, ..Which::named("*") }.refuses(all.iter()), None);
        assert!(Which::named("nginx").refuses(all.iter()).unwrap().ends_with("no process `nginx` beside its main one"));
    }

    #[test]
    fn sessions_are_not_meant_and_are_told() {
        let session = |own| Called { session: true, ..called(own, None, None, false) };
        let why = Which::named("psql").refuses([session("psql"), session("sh")].iter()).unwrap();
        assert!(why.contains("no process `psql` beside its main one, except in sessions"), "{why}");
        let both = [called("worker", None, None, false), session("worker")];
        assert_eq!(Which::named("work*").refuses(both.iter()), None);
        assert_eq!(both.map(|p| Which::named("*").means(&p)), [true, false]);
        assert_eq!(session("worker").to_string(), "worker (a session)");
    }
}
