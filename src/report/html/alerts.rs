//! Alerts on the page: whether each fired and was resolved in time.

use maud::{Markup, html};

use super::super::facts;
use crate::record::state::RunState;

pub(super) fn section(state: &RunState) -> Markup {
    let rows = facts::alerts(state);
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Alerts" }
                article.card {
                    div.scroll tabindex="0" role="region" aria-label="Expected alerts" {
                        table.standings {
                            thead { tr {
                                th scope="col" { "Alert" }
                                th scope="col" { "Expected" }
                                th scope="col" { "Bound" }
                                th scope="col" { "Measured" }
                                th scope="col" { "Result" }
                            } }
                            tbody {
                                @for row in rows { tr {
                                    th scope="row" { (row.alert) @if let Some(labels) = labels(state, &row.alert) { " " code { (labels) } } }
                                    td { (row.expectation) }
                                    td { (row.bound) }
                                    td { (row.measured) }
                                    td {
                                        @match row.held {
                                            Some(held) => (super::checks::came_out(state, held.into())),
                                            None => span.muted { "not judged" },
                                        }
                                    }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The alert's labels, as the file has them.
fn labels(state: &RunState, name: &str) -> Option<String> {
    Some(facts::experiment(state)?.alerts.get(name)?.alert.to_string())
}
