//! Zones as a map, as SVG: a box for each with its instances and what became of them, and the lines between them. Pure; colours
//! come from the page's style sheet.

use maud::{Markup, html};

use super::super::zones::{InstanceOutcome, Member, Zone, Zones};
use super::{NARROW, Size, WIDE};
use crate::experiment::fault::OutageMode;

const GAP: f64 = 16.0;
/// From the line between the zones down to their boxes.
const STEM: f64 = 40.0;
const HEAD: f64 = 36.0;
const ROW: f64 = 22.0;
const FOOT: f64 = 10.0;
/// Left of the boxes, where their rows are joined.
const TRUNK: f64 = 14.0;
const CHAR: f64 = 7.4;
/// How many instances of a zone are named.
const SHOWN: usize = 8;

/// Both sizes.
pub(in super::super) fn draw(zones: &Zones<'_>) -> Markup {
    html! { (svg(zones, WIDE, 4)) (svg(zones, NARROW, 1)) }
}

fn svg(zones: &Zones<'_>, size: Size, columns: usize) -> Markup {
    let columns = zones.all.len().clamp(1, columns);
    let rows: Vec<&[Zone<'_>]> = zones.all.chunks(columns).collect();
    let left = if rows.len() > 1 { TRUNK } else { 0.0 };
    let width = (size.width - left - GAP * (columns - 1) as f64) / columns as f64;
    let heights: Vec<f64> = rows.iter().map(|row| row.iter().map(height).fold(0.0, f64::max)).collect();
    let top = |row: usize| 20.0 + heights[..row].iter().map(|h| STEM + h + GAP).sum::<f64>();
    let all: f64 = top(rows.len()) - GAP + 2.0;
    let (title, desc) = (format!("map{}t", size.class), format!("map{}d", size.class));
    let x = |column: usize| left + (width + GAP) * column as f64;
    html! {
        svg class=(format!("chart map {}", size.class)) viewBox=(format!("0 0 {} {all:.0}", size.width))
            role="img" aria-labelledby=(format!("{title} {desc}")) {
            title id=(title) { "Who is in which zone, and what became of them" }
            desc id=(desc) {
                @for zone in &zones.all {
                    (zone.title()) @if let Some(words) = zone.words() { ", " (words) } ": "
                    (zone.targeted()) " of " (zone.members.len()) " targeted. "
                }
            }
            text class="panel" x="0" y="10" { "the network between them" }
            @if rows.len() > 1 {
                path class="wire" d=(format!("M2 {:.1}V{:.1}", top(0), top(rows.len() - 1))) {}
            }
            @for (i, row) in rows.iter().enumerate() {
                @let y = top(i);
                @let from = if left > 0.0 { 2.0 } else { width / 2.0 };
                path class="wire" d=(format!("M{from:.1} {y:.1}H{:.1}", x(row.len() - 1) + width / 2.0)) {}
                @for (column, zone) in row.iter().enumerate() {
                    (stem(zone, x(column) + width / 2.0, y))
                    (boxed(zone, (x(column), y + STEM), (width, heights[i])))
                }
            }
        }
    }
}

/// How many lines a zone takes in its box.
fn height(zone: &Zone<'_>) -> f64 {
    let lines = zone.members.len().min(SHOWN) + usize::from(zone.members.len() > SHOWN);
    HEAD + ROW * lines as f64 + FOOT
}

/// The line from a zone to the others.
fn stem(zone: &Zone<'_>, x: f64, y: f64) -> Markup {
    let middle = y + STEM / 2.0;
    html! {
        @match zone.outage {
            Some(OutageMode::Isolate) => {
                path class="wire" d=(format!("M{x:.1} {y:.1}v9M{x:.1} {:.1}v-9", y + STEM)) {}
                path class="cut" d=(format!("M{:.1} {:.1}l10 10m0 -10l-10 10", x - 5.0, middle - 5.0)) {}
            }
            Some(OutageMode::Degrade) => {
                path class="bad" d=(format!("M{x:.1} {y:.1}v6l-6 4l12 7l-12 7l12 7l-6 4V{:.1}", y + STEM)) {}
            }
            Some(OutageMode::Power | OutageMode::Freeze) => {
                path class="wire faded" d=(format!("M{x:.1} {y:.1}v{STEM}")) {}
            }
            None => path class="wire" d=(format!("M{x:.1} {y:.1}v{STEM}")) {},
        }
    }
}

fn boxed(zone: &Zone<'_>, (x, y): (f64, f64), (width, height): (f64, f64)) -> Markup {
    let (shown, rest) = zone.members.split_at(zone.members.len().min(SHOWN));
    let words = zone.words().unwrap_or_default();
    let class = zone.outage.map(|mode| mode.to_string()).unwrap_or_default();
    let (right, bottom) = (x + width - 12.0, y + HEAD + ROW * shown.len() as f64);
    let title = fit(&zone.title(), width - 40.0 - words.chars().count() as f64 * CHAR);
    html! {
        g class=(format!("zone {class}")) {
            rect class="box" x=(format!("{:.1}", x + 0.5)) y=(format!("{y:.1}")) width=(format!("{:.1}", width - 1.0))
                height=(format!("{height:.1}")) rx="8" {}
            text class="name" x=(format!("{:.1}", x + 12.0)) y=(format!("{:.1}", y + 22.0)) { (title) }
            text class="state" x=(format!("{right:.1}")) y=(format!("{:.1}", y + 22.0)) text-anchor="end" { (words) }
            @for (i, member) in shown.iter().enumerate() {
                (line(member, (x, right), y + HEAD + ROW * i as f64))
            }
            @if !rest.is_empty() {
                text x=(format!("{:.1}", x + 28.0)) y=(format!("{:.1}", bottom + 14.0)) {
                    "and " (rest.len()) " more, " (rest.iter().filter(|m| m.fate.is_targeted()).count()) " of them targeted"
                }
            }
        }
    }
}

fn line(member: &Member<'_>, (x, right): (f64, f64), y: f64) -> Markup {
    let words = member.fate.words();
    let name = fit(member.name, right - x - 34.0 - words.chars().count() as f64 * CHAR);
    html! {
        g class=(format!("who {}", class(member.fate))) {
            title { (member.name) ", " (member.service) ": " (words) }
            circle cx=(format!("{:.1}", x + 17.0)) cy=(format!("{:.1}", y + 10.0)) r="4.5" {}
            text class="name" x=(format!("{:.1}", x + 28.0)) y=(format!("{:.1}", y + 14.0)) { (name) }
            text class="fate" x=(format!("{right:.1}")) y=(format!("{:.1}", y + 14.0)) text-anchor="end" { (words) }
        }
    }
}

fn class(fate: InstanceOutcome) -> &'static str {
    match fate {
        InstanceOutcome::Killed | InstanceOutcome::CutOff | InstanceOutcome::Targeted => "targeted",
        InstanceOutcome::Frozen => "frozen",
        InstanceOutcome::Degraded => "degraded",
        InstanceOutcome::Chosen | InstanceOutcome::Spared => "spared",
        InstanceOutcome::Down => "down",
    }
}

/// As much of a text as has room, with its end: that is where names differ.
fn fit(text: &str, room: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of characters")]
    let room = (room.max(0.0) / CHAR) as usize;
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - room.saturating_sub(1).min(length)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_room_keeps_its_end() {
        assert_eq!(fit("shop-1", 100.0), "shop-1");
        assert_eq!(fit("squall-demo-shop-1", 7.0 * CHAR), "…shop-1");
        assert_eq!(fit("shop-1", -5.0), "…");
    }
}
