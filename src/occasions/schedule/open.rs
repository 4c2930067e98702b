//! The time at which something may start: certain hours, without certain days.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Hours;
use crate::model::quantity::{Days, TimeOfDay, Weekdays};

/// No schedule has a longer gap: what is not open for so long is never open.
const HORIZON: i32 = 3 * 366;

/// The time at which something may start.
#[derive(Debug, Clone)]
pub struct Open {
    zone: TimeZone,
    hours: Hours,
    blackout: Vec<Days>,
}

impl Open {
    pub(super) fn new(zone: TimeZone, hours: Option<Hours>, blackout: Vec<Days>) -> Self {
        let whole = Hours { days: Weekdays::ALL, from: TimeOfDay::BEGIN, to: TimeOfDay::END };
        Self { zone, hours: hours.unwrap_or(whole), blackout }
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The day on which a moment is.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// Whether something may start at a moment.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> bool {
        self.on(self.day(at)).is_some_and(|(from, to)| (from..to).contains(&at))
    }

    /// From when to when on a day; nothing where it is not open at all.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.hours.days.contain(day.weekday()) || self.blackout.iter().any(|days| days.contain(day)) {
            return None;
        }
        let from = self.hours.from.on(day, &self.zone)?.timestamp();
        let to = self.hours.to.on(day, &self.zone)?.timestamp();
        (from < to).then_some((from, to))
    }

    /// The open spans from a moment on, day by day.
    fn spans(&self, from: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let first = self.day(from);
        (0..HORIZON)
            .map_while(move |n| first.checked_add(jiff::Span::new().days(n)).ok())
            .filter_map(|day| self.on(day))
            .filter(move |(_, to)| *to > from)
            .map(move |(begin, to)| (begin.max(from), to))
    }

    /// The moment at which so much open time has passed since another; nothing where it never does.
    #[must_use]
    pub fn after(&self, from: Timestamp, wait: SignedDuration) -> Option<Timestamp> {
        let mut rest = wait;
        for (begin, to) in self.spans(from) {
            let here = to.duration_since(begin);
            if rest < here {
                return begin.checked_add(rest).ok();
            }
            rest -= here;
        }
        None
    }

    /// How much open time there is between two moments.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp) -> SignedDuration {
        let spans = self.spans(from).take_while(|(begin, _)| *begin < to);
        spans.fold(SignedDuration::ZERO, |sum, (begin, end)| sum + end.min(to).duration_since(begin))
    }

    /// The begin of the first day after that of a moment, at which it is open.
    pub(super) fn tomorrow(&self, at: Timestamp) -> Option<Timestamp> {
        let next = TimeOfDay::END.on(self.day(at), &self.zone)?.timestamp();
        self.after(next, SignedDuration::ZERO)
    }
}
