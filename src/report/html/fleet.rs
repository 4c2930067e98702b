//! The instances on the page: who was targeted and who was spared, and each change with its proofs.

use maud::{Markup, html};

use super::super::{facts, words};
use super::still_in_place;
use crate::engine::Outcome;
use crate::model::instance::Rollback;
use crate::record::event::Spared;
use crate::record::state::{ChangeState, Evidence, Injected, RolledBack, RunState, Verification};

/// From how many rows on the rest is folded away.
const SHOWN: usize = 12;

/// What a person must do now, before anything else on the page.
pub(super) fn by_hand(state: &RunState) -> Markup {
    let left = state.left_in_place().into_iter().map(|left| (left.to_string(), left.by_hand));
    still_in_place(&left.collect::<Vec<_>>())
}

pub(super) fn radius(state: &RunState) -> Markup {
    let (first, rest) = state.spared.split_at(state.spared.len().min(SHOWN));
    let (targeted, more) = state.targeted.split_at(state.targeted.len().min(SHOWN));
    let targeted_row = |i: &crate::model::instance::Instance| {
        html! {
            tr.targeted {
                th scope="row" { (i.name) }
                td { (i.service) }
                td { (i.zone.as_deref().unwrap_or("–")) }
                td { span.no { "● targeted" } }
            }
        }
    };
    html! {
        @if state.times.targeted.is_some() {
            section {
                h2 { "Blast radius" }
                p.muted {
                    (words::count(state.targeted.len() as u64, "instance")) " targeted, "
                    (words::thousands(state.spared.len() as u64)) " spared"
                    @if let Some(x) = facts::experiment(state) { ". " (limits(&x.blast_radius)) }
                }
                div.card {
                    (table(&html! {
                        @for instance in targeted { (targeted_row(instance)) }
                        @for spared in first { (spared_row(spared)) }
                    }))
                    @if more.len() + rest.len() > 0 {
                        details {
                            summary { (more.len() + rest.len()) " more" }
                            (table(&html! {
                                @for instance in more { (targeted_row(instance)) }
                                @for spared in rest { (spared_row(spared)) }
                            }))
                        }
                    }
                }
            }
        }
    }
}

fn table(rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Instances" {
            table {
                thead { tr {
                    th scope="col" { "Instance" }
                    th scope="col" { "Service" }
                    th scope="col" { "Zone" }
                    th scope="col" { "Targeted or spared, and why" }
                } }
                tbody { (rows) }
            }
        }
    }
}

fn spared_row(spared: &Spared) -> Markup {
    html! {
        tr {
            th scope="row" { (spared.name) }
            td { (spared.service) }
            td { (spared.zone.as_deref().unwrap_or("–")) }
            td { span.muted { "○ spared: " (spared.why) } }
        }
    }
}

/// The limits of the file in a sentence.
fn limits(radius: &crate::experiment::BlastRadius) -> String {
    let mut parts = Vec::new();
    parts.extend(radius.max_instances.map(|n| format!("at most {}", words::count(n as u64, "instance"))));
    parts.extend(radius.max_percent.map(|p| format!("at most {p} of a service")));
    parts.extend(radius.max_zones.map(|n| format!("at most {}", words::count(n as u64, "zone"))));
    parts.extend(radius.max_nodes.map(|n| format!("at most {}", words::count(n as u64, "node"))));
    parts.extend(radius.min_healthy.map(|n| format!("{n} healthy left alone")));
    parts.extend((!radius.protect.is_empty()).then(|| format!("never {}", radius.protect.join(", "))));
    if parts.is_empty() { String::new() } else { format!("Limits: {}.", parts.join("; ")) }
}

pub(super) fn changes(state: &RunState) -> Markup {
    let (first, rest) = state.changes.split_at(state.changes.len().min(SHOWN));
    html! {
        @if !state.changes.is_empty() {
            section {
                h2 { "Changes, and their rollback" }
                div.changes { @for change in first { (one(state, change)) } }
                @if !rest.is_empty() {
                    details.more {
                        summary { (rest.len()) " more" }
                        div.changes { @for change in rest { (one(state, change)) } }
                    }
                }
            }
        }
    }
}

fn one(state: &RunState, change: &ChangeState) -> Markup {
    let (before, to, back) = words::values(&change.change);
    html! {
        article.card.change {
            h3 { (change.change.name) }
            ol.flow aria-label="Before, while the fault was on, after" {
                li { span.label { "before" } (before) }
                li.on { span.label { "set to" } (to) }
                li { span.label { "back to" } (back) }
            }
            dl.proofs {
                @if let Some(fault) = facts::fault_of(state, &change.change) {
                    div { dt { "Fault" } dd { (super::ticked(&fault)) } }
                }
                (mechanism(state, change))
                (injection(state, change))
                (verification(state, change))
                (effect(change))
                (measured(change))
                (rollback(state, change))
                (undo(state, change))
            }
        }
    }
}

fn injection(state: &RunState, change: &ChangeState) -> Markup {
    html! {
        div {
            dt { "Injected" }
            @match (&change.injected, &change.inject_error) {
                (Some(Injected { at, outcome: Outcome::Done, took }), _) => {
                    dd { (words::relative(state, *at)) ", took " (words::span(*took)) }
                }
                (Some(Injected { outcome: Outcome::Already, .. }), _) => dd { span.no { "✗ it was so already" } },
                (Some(Injected { outcome: Outcome::Gone, .. }), _) => dd { span.no { "✗ the instance was gone" } },
                (None, Some(error)) => dd { span.no { "✗ " (error) } },
                (None, None) if change.injecting.is_some() => dd { span.no { "begun, end not recorded" } },
                (None, None) => dd { span.muted { "never begun" } },
            }
        }
    }
}

fn verification(state: &RunState, change: &ChangeState) -> Markup {
    html! {
        div {
            dt { "Injection" }
            @match &change.verification {
                Some(Verification { at, verified: true, proof }) if change.evidence() == Some(Evidence::Claimed) => {
                    dd { span.muted { "claimed" } " " (words::relative(state, *at)) ": " (proof) }
                }
                Some(Verification { at, verified: true, proof }) => {
                    dd { span.ok { "✓ verified" } " " (words::relative(state, *at)) ": " (proof) }
                }
                Some(Verification { at, verified: false, proof }) => {
                    dd { span.no { "✗ none" } " " (words::relative(state, *at)) ": " (proof) }
                }
                None => dd { span.muted { "not verified" } },
            }
        }
    }
}

/// Whether it had an effect on what goes on at its target.
fn effect(change: &ChangeState) -> Markup {
    html! {
        @if let Some(effect) = &change.effect {
            div {
                dt { "Effect" }
                @if effect.is_affected() { dd { span.ok { "✓" } " " (effect) } }
                @else if effect.is_unaffected() { dd { span.no { "✗ none" } ": " (effect) } }
                @else { dd { span.muted { "cannot be known" } ": " (effect) } }
            }
        }
    }
}

/// Who disturbs traffic.
fn mechanism(state: &RunState, change: &ChangeState) -> Markup {
    html! {
        @if let Some(by) = state.mechanism(&change.change) {
            div { dt { "Mechanism" } dd { (by) } }
        }
    }
}

/// What a disturbance of traffic did, beside what it was to do; what the instance saw itself of its machine.
fn measured(change: &ChangeState) -> Markup {
    html! {
        @if let Some(counted) = &change.measured {
            div { dt { "Measured" } dd { (counted) } }
        }
        @for (when, what) in [("before", &change.sees.before), ("meanwhile", &change.sees.during), ("after", &change.sees.after)] {
            @if let Some(what) = what {
                div { dt { "It saw " (when) } dd { (what) } }
            }
        }
    }
}

fn rollback(state: &RunState, change: &ChangeState) -> Markup {
    html! {
        div {
            dt { "Rolled back" }
            @match &change.rolled_back {
                Some(RolledBack { at, outcome, by, took }) => dd {
                    (words::relative(state, *at)) " by the " b { (by) } ", took " (words::span(*took))
                    @match outcome {
                        Outcome::Done => {},
                        Outcome::Already => " (it was so already)",
                        Outcome::Gone => " (the instance is gone)",
                    }
                },
                None if change.change.back == Rollback::Nothing => dd { span.muted { "momentary: nothing to restore" } },
                None if change.stuck.is_some() => dd { span.no { "✗ no: still in place" } },
                None => dd { span.muted { "not yet" } },
            }
            @for error in &change.rollback_errors { dd.error { (error) } }
        }
    }
}

fn undo(state: &RunState, change: &ChangeState) -> Markup {
    let restored = state.restored.iter().find(|r| r.instance == change.change.name);
    html! {
        div {
            dt { "Undo" }
            @match restored {
                Some(restored) if !restored.differs() && change.is_claimed_back() => {
                    dd { span.muted { "claimed" } ": its undo command ended with exit status 0; what can be observed is as before" }
                }
                Some(restored) if !restored.differs() => {
                    dd { span.ok { "✓ verified" } ": observed again, no differences" }
                }
                Some(restored) => dd { span.no { "✗ differs" } ": " (restored.what_differs()) },
                None => dd { span.muted { "not compared" } },
            }
        }
    }
}
