//! The record on the page: warnings, the timeline, how to repeat the run, and the experiment itself.

use maud::{Markup, html};

use super::super::timeline::{self, Kind};
use super::super::{facts, words};
use crate::experiment::Experiment;
use crate::record::event::GuardKind;
use crate::record::state::{GuardState, RunState};

pub(super) fn warnings(state: &RunState) -> Markup {
    html! {
        @let warned = state.warned();
        @if !warned.is_empty() {
            section.warnings {
                h2 { "Warnings" }
                ul { @for warning in &warned { li { (super::ticked(warning)) } } }
            }
        }
    }
}

pub(super) fn timeline(state: &RunState) -> Markup {
    let moments = timeline::moments(state);
    html! {
        @if !moments.is_empty() {
            section {
                h2 { "Timeline" }
                ol.card.timeline {
                    @for moment in moments {
                        li class=(class(moment.kind)) {
                            span.rel { (words::relative(state, moment.at)) }
                            span.what { (super::ticked(&moment.text)) }
                            time.utc datetime=(moment.at) { (words::utc(moment.at)) }
                        }
                    }
                }
            }
        }
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Fault => "fault",
        Kind::Proof => "proof",
        Kind::Alarm => "alarmed",
        Kind::Good => "good",
    }
}

pub(super) fn repeat(state: &RunState) -> Markup {
    let Some(started) = &state.started else { return html! {} };
    html! {
        section {
            h2 { "Repeat this run" }
            @if let Some(command) = facts::repeat(state) { pre { code { (command) } } }
            dl.meta {
                div { dt { "Run" } dd { code { (started.run) } } }
                div { dt { "Began" } dd { @if let Some(at) = state.began { (words::day(at)) } } }
                div { dt { "By" } dd { (started.owner) } }
                div { dt { "Engine" } dd { (started.engine.kind) " " (started.engine.version) " at " code { (started.engine.address) } } }
                div { dt { "Guard" } dd { (guard(state)) } }
                div { dt { "Squall" } dd { (started.version) } }
            }
        }
    }
}

fn guard(state: &RunState) -> Markup {
    html! {
        @match state.guards.last() {
            Some(GuardState { kind: GuardKind::None, .. }) => "none: the world was simulated",
            Some(GuardState { kind, id }) => { (kind) " " code { (id) } },
            None => "none: nothing was to be changed yet",
        }
        @if state.guards.len() > 1 { " (the last of " (state.guards.len()) ")" }
    }
}

pub(super) fn experiment(state: &RunState) -> Markup {
    let Some(started) = &state.started else { return html! {} };
    let yaml = yaml(&started.experiment).unwrap_or_else(|e| format!("cannot be written as YAML: {e}"));
    html! {
        section {
            h2 { "The experiment" }
            details.yaml {
                summary { code { (started.file) } }
                pre tabindex="0" { code { (yaml) } }
            }
        }
    }
}

/// The experiment as its file would have it: `kill: {}`, not the YAML tag `!kill`.
fn yaml(experiment: &Experiment) -> Result<String, serde_yaml::Error> {
    let mut text = Vec::new();
    serde_yaml::with::singleton_map_recursive::serialize(experiment, &mut serde_yaml::Serializer::new(&mut text))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
