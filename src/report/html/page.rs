//! What all pages share: their frame, and the parts that look the same on each.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::exit::Verdict;

pub(in crate::report) const STYLE: &str = include_str!("style.css");

/// A page: no script, no request to anywhere.
pub(in crate::report) struct Page {
    /// Its name in a browser's tab.
    pub(in crate::report) title: String,
    /// What it looks like, by the verdict.
    pub(in crate::report) class: String,
    /// Styles of its own.
    pub(in crate::report) style: &'static str,
    /// Which run or game day it is about, at its top.
    pub(in crate::report) which: Markup,
    /// All between top and bottom.
    pub(in crate::report) main: Markup,
    /// What it was written from.
    pub(in crate::report) written_from: Markup,
}

impl Page {
    /// Its text.
    pub(in crate::report) fn render(self) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Squall" }
                    style { (PreEscaped(STYLE)) (PreEscaped(self.style)) }
                }
                body class=(self.class) {
                    header.masthead {
                        span.brand { (mark()) "Squall" }
                        span.run { (self.which) }
                    }
                    main { (self.main) }
                    footer {
                        p { "Written by squall " (env!("CARGO_PKG_VERSION")) " from " (self.written_from) }
                    }
                }
            }
        }
        .into_string()
    }
}

pub(in crate::report) fn class(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("unfinished", Verdict::word)
}

/// Three gusts of wind.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" {
            path d="M3 8h10a3 3 0 1 0-3-3M3 12h15a3 3 0 1 1-3 3M3 16h7a2.5 2.5 0 1 1-2.5 2.5" {}
        }
    }
}

/// A verdict as a sign in a circle.
pub(in crate::report) fn sign(verdict: Option<Verdict>) -> Markup {
    let sign = match verdict {
        Some(Verdict::Held) => "M6 12.5l4 4 8-9",
        Some(Verdict::Broken) => "M7 7l10 10M17 7L7 17",
        Some(Verdict::NoVerdict) => "M9 9.2a3 3 0 1 1 4.4 2.7c-1 .6-1.4 1.1-1.4 2.3M12 17.6v.1",
        Some(Verdict::LeftBehind) => "M12 6v7.5M12 17.6v.1",
        Some(Verdict::Rehearsed | Verdict::RehearsedBroken) => "M6 13.5c2-4.5 4-4.5 6-1.5s4 3 6-1.5",
        None => "M12 7v5l3.5 2",
    };
    html! {
        svg.sign viewBox="0 0 24 24" aria-hidden="true" {
            circle cx="12" cy="12" r="11" {}
            path d=(sign) {}
        }
    }
}

/// A text with what stands between backticks as code.
pub(in crate::report) fn ticked(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // A tick without its partner is only a tick.
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (i, part) in parts.iter().enumerate() {
                @if i % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
    }
}

/// The key numbers: name, value, note.
pub(in crate::report) fn key_figures(cells: &[(&str, String, String)]) -> Markup {
    html! {
        @if !cells.is_empty() {
            section.figures aria-label="Key figures" {
                dl {
                    @for (name, value, note) in cells {
                        div { dt { (name) } dd.long[value.chars().count() > 8] { (value) span.note { (note) } } }
                    }
                }
            }
        }
    }
}

/// What a person must do now, before anything else on the page: what is left, and the command that rolls it back.
pub(in crate::report) fn still_in_place(left: &[(String, Option<&str>)]) -> Markup {
    html! {
        @if !left.is_empty() {
            section.alarm {
                h2 { "Still in place" }
                p { "Squall tried and could not roll this back. " code { "squall recover" } " tries again; by hand:" }
                ul {
                    @for (what, command) in left {
                        li {
                            (what)
                            @if let Some(command) = command { pre { code { (command) } } }
                        }
                    }
                }
            }
        }
    }
}
