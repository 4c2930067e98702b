//! Tables that fit a terminal, and the small texts in their cells.

use std::time::Duration;

use jiff::Timestamp;
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

use crate::text::units::about;
use crate::text::visible;

/// A terminal's width that everybody has.
pub(super) const WIDTH: usize = 80;

const GAP: usize = 2;

/// One column: its head, then its cells.
pub(super) fn column<T>(head: &str, rows: &[T], cell: impl Fn(&T) -> String) -> Vec<String> {
    std::iter::once(head.to_owned()).chain(rows.iter().map(|row| visible::line(&cell(row)).into_owned())).collect()
}

/// A table at most [`WIDTH`] wide. What does not fit is cut from the columns in `first`, in this order, each to no less
/// than the number beside it.
pub(super) fn table(mut columns: Vec<Vec<String>>, first: &[(usize, usize)]) -> String {
    let width = |column: &[String]| column.iter().map(|c| c.chars().count()).max().unwrap_or(0);
    for (i, least) in first {
        let total: usize = columns.iter().map(|c| width(c) + GAP).sum();
        let room = width(&columns[*i]).saturating_sub(total.saturating_sub(WIDTH + GAP)).max(*least);
        columns[*i].iter_mut().for_each(|cell| *cell = cut(cell, room));
    }
    let mut builder = Builder::default();
    for column in columns {
        builder.push_column(column);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The ids of runs, to tell which end of one means it alone.
pub(super) struct Ids<'a> {
    forwards: Vec<&'a str>,
    backwards: Vec<String>,
}

impl<'a> Ids<'a> {
    pub(super) fn of(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut forwards: Vec<&str> = ids.collect();
        let mut backwards: Vec<String> = forwards.iter().map(|id| reversed(id)).collect();
        forwards.sort_unstable();
        backwards.sort_unstable();
        Self { forwards, backwards }
    }

    /// The end of an id, where it means this run alone: every command takes it. Else the whole.
    pub(super) fn short<'b>(&self, id: &'b str) -> &'b str {
        let end = id.rsplit('-').next().unwrap_or(id);
        let from = self.forwards.partition_point(|other| *other < end);
        let begins = self.forwards.get(from).is_some_and(|other| other.starts_with(end));
        let dne = reversed(end);
        let from = self.backwards.partition_point(|other| *other < dne);
        let ends = self.backwards[from..].iter().take(2).take_while(|other| other.starts_with(&dne)).count();
        if !begins && ends == 1 { end } else { id }
    }
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// A text in at most so many characters.
pub(super) fn cut(text: &str, room: usize) -> String {
    let text = visible::line(text);
    if text.chars().count() <= room {
        return text.into_owned();
    }
    text.chars().take(room - 1).chain(['…']).collect()
}

/// From one moment to a later one; nothing where the clock was set back.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How long ago.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    match between(at, now) {
        d if d < Duration::from_mins(1) => "now".to_owned(),
        d => format!("{} ago", about(d)),
    }
}

/// The newest values as a small chart, from nothing to the largest of them.
pub(super) fn spark(values: &[f64], newest: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(newest)..];
    let top = values.iter().copied().fold(0.0, f64::max);
    let bar = |v: &f64| BARS.into_iter().rev().enumerate().find(|(i, _)| *v > top * (7.0 - *i as f64) / 8.0);
    values.iter().map(|v| bar(v).map_or(BARS[0], |(_, bar)| bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_id_means_one_run() {
        let all = ["2026-a-7f3a", "2026-b-7f3a", "2026-b-9c2e", "9c2e-x-1111"];
        let ids = Ids::of(all.into_iter());
        assert_eq!(all.map(|id| ids.short(id)), ["2026-a-7f3a", "2026-b-7f3a", "2026-b-9c2e", "1111"]);
        let all = ["2026-a-2026", "2026-b-7f3a", "2026-c-17f3a"];
        let ids = Ids::of(all.into_iter());
        assert_eq!(all.map(|id| ids.short(id)), ["2026-a-2026", "2026-b-7f3a", "17f3a"]);
    }

    #[test]
    fn a_cell_shows_what_would_steer_a_terminal() {
        let column = column("NAME", &["a\x1b[2Jb\nc"], |name| (*name).to_owned());
        let table = table(vec![column], &[]);
        assert_eq!(table.lines().last(), Some("a\\x1b[2Jb c"), "{table}");
        assert_eq!(cut("a\x1b[2Jbcd", 8), "a\\x1b[2…");
    }

    #[test]
    fn a_spark_shows_the_newest_beside_the_largest() {
        assert_eq!(spark(&[9.0, 0.0, 1.0, 4.0, 8.0], 4), "▁▁▄█");
        assert_eq!(spark(&[5.0, 5.0], 4), "██");
        assert_eq!(spark(&[0.0], 4), "▁");
        assert_eq!(spark(&[], 4), "");
    }
}
