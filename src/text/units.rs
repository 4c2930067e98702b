//! Numbers as people read them: spans of time, shares, rates and counts, each in one form everywhere.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::text::visible;

/// A span of time with three digits that matter: `0.4 ms`, `17 ms`, `1.24 s`, `20.0 s`, `2 min 5 s`, `1 h 5 min`, `2 h`.
#[must_use]
pub fn span(d: Duration) -> String {
    span_ms(d.as_secs_f64() * 1000.0)
}

/// The same, from milliseconds.
#[must_use]
pub fn span_ms(ms: f64) -> String {
    match ms {
        ms if ms < 0.05 => "0 ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms < 59_950.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms < 3_599_500.0 => {
            let seconds = (ms / 1000.0).round();
            with_rest((seconds / 60.0).floor(), "min", seconds % 60.0, "s")
        }
        ms => {
            let minutes = (ms / 60_000.0).round();
            with_rest((minutes / 60.0).floor(), "h", minutes % 60.0, "min")
        }
    }
}

fn with_rest(whole: f64, unit: &str, rest: f64, below: &str) -> String {
    if rest == 0.0 { format!("{whole:.0} {unit}") } else { format!("{whole:.0} {unit} {rest:.0} {below}") }
}

/// A span of time of which its largest unit says enough: `12 s`, `5 min`, `3 h`, `40 d`.
#[must_use]
pub fn about(d: Duration) -> String {
    match d.as_secs() {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// A span of time that somebody has set, exactly: `300 ms`, `1.5 s`, `1 min 30 s`.
#[must_use]
pub fn exact(d: Duration) -> String {
    let (seconds, nanos) = (d.as_secs(), d.subsec_nanos());
    if seconds == 0 && nanos > 0 {
        return format!("{} ms", trimmed(f64::from(nanos) / 1e6, 6));
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min")];
    let mut shown: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    let rest = Duration::new(seconds % 60, nanos).as_secs_f64();
    if rest > 0.0 || shown.is_empty() {
        shown.push(format!("{} s", trimmed(rest, 6)));
    }
    shown.join(" ")
}

/// A share of a whole (0 to 1): `83.8%`, `99.96%`, `100%`. What is not all never reads as all, and what is not nothing not as nothing.
#[must_use]
pub fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let whole = |digits| {
        let shown = rounded(percent, digits);
        (percent < 100.0 && shown >= 100.0) || (percent > 0.0 && shown <= 0.0)
    };
    let digits = (1..6).find(|digits| !whole(*digits)).unwrap_or(6);
    format!("{}%", trimmed(percent, digits))
}

/// A part of a whole.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "fewer than a float can count")]
pub fn part(part: u64, whole: u64) -> String {
    share(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

/// How often: `123/s`, `12.3/s`, `1.5/s`; below one a second `30/m`, as in files.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 100.0 => format!("{r:.0}/s"),
        r if r >= 1.0 || r * 60.0 < 0.05 => format!("{}/s", trimmed(r, 1)),
        r => format!("{}/m", trimmed(r * 60.0, 1)),
    }
}

/// A share beside its bound: with as many digits as it takes to be on the same side of it as it is.
#[must_use]
pub fn share_beside(ratio: f64, bound: f64) -> String {
    let (percent, bound) = (ratio * 100.0, bound * 100.0);
    match side(percent, bound, 1) {
        1 => share(ratio),
        digits => format!("{}%", trimmed(percent, digits)),
    }
}

/// A rate beside its bound.
#[must_use]
pub fn rate_beside(per_second: f64, bound: f64) -> String {
    // In the unit of the bound.
    let (times, unit) = if bound >= 1.0 { (1.0, "s") } else { (60.0, "m") };
    let (value, bound) = (per_second * times, bound * times);
    format!("{}/{unit}", trimmed(value, side(value, bound, 1)))
}

/// A span beside its bound.
#[must_use]
pub fn span_beside(d: Duration, bound: Duration) -> String {
    let digits = |unit: f64, shown: usize| side(d.as_secs_f64() * unit, bound.as_secs_f64() * unit, shown);
    let (ms, s) = (d.as_secs_f64() * 1000.0, d.as_secs_f64());
    // As `span` rounds them.
    let (unit, value, usual) = match ms {
        ms if ms < 9.95 => ("ms", ms, 1),
        ms if ms < 999.5 => ("ms", ms, 0),
        ms if ms < 9_995.0 => ("s", s, 2),
        ms if ms < 59_950.0 => ("s", s, 1),
        _ => return span(d),
    };
    match digits(if unit == "ms" { 1000.0 } else { 1.0 }, usual) {
        enough if enough == usual => span(d),
        enough => format!("{} {unit}", trimmed(value, enough)),
    }
}

/// How many digits it takes, from so many on, until a number is on the same side of its bound as it is.
fn side(value: f64, bound: f64, from: usize) -> usize {
    // A hair apart is equal: 6.52033 s in microseconds is no 6.52033.
    let against = |x: f64| if (x - bound).abs() < 1e-9 { Some(Ordering::Equal) } else { x.partial_cmp(&bound) };
    let real = against(value);
    (from..9).find(|digits| against(rounded(value, *digits)) == real || real.is_none()).unwrap_or(9)
}

fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().unwrap_or(value)
}

/// A number with at most so many digits after the point, and none that is needless.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number and what it counts: `1 sample`, `2,000 samples`, `3 processes`.
#[must_use]
pub fn count(n: impl TryInto<u64>, one: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    if n == 1 { format!("1 {one}") } else { format!("{} {}", thousands(n), plural(one)) }
}

fn plural(one: &str) -> String {
    if one.ends_with(['s', 'x']) || one.ends_with("ch") || one.ends_with("sh") {
        return format!("{one}es");
    }
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{one}s"),
    }
}

/// The first of some names, and how many more there are: `shop-1, shop-2 and 3 more`.
#[must_use]
pub fn few(names: &[impl AsRef<str>], most: usize) -> String {
    let mut first = String::new();
    for (i, name) in names.iter().take(most).enumerate() {
        first.push_str(if i == 0 { "" } else { ", " });
        first.push_str(name.as_ref());
    }
    match names.len().saturating_sub(most) {
        0 => first,
        more => format!("{first} and {} more", thousands(more as u64)),
    }
}

/// How often something happened: `once`, `3 times`.
#[must_use]
pub fn times(n: impl TryInto<u64>) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => "once".to_owned(),
        n => format!("{} times", thousands(n)),
    }
}

/// A number that can be read: `12,345`.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What happened how often, the most frequent first: `connection refused 14, timeout 2, and 3 others`.
#[must_use]
pub fn top(by_kind: &BTreeMap<String, u64>, most: usize) -> String {
    let mut kinds: Vec<_> = by_kind.iter().filter(|(_, n)| **n > 0).collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let rest: u64 = kinds.iter().skip(most).map(|(_, n)| **n).sum();
    let mut shown: Vec<String> =
        kinds.iter().take(most).map(|(kind, n)| format!("{} {n}", visible::brief(kind))).collect();
    shown.extend((rest > 0).then(|| format!("and {}", count(rest, "other"))));
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_have_the_digits_that_matter() {
        for (ms, want) in [
            (0.0, "0 ms"),
            (0.42, "0.4 ms"),
            (7.0, "7.0 ms"),
            (9.99, "10 ms"),
            (17.4, "17 ms"),
            (999.6, "1.00 s"),
            (1240.0, "1.24 s"),
            (20_000.0, "20.0 s"),
            (59_960.0, "1 min"),
            (125_000.0, "2 min 5 s"),
            (3_900_000.0, "1 h 5 min"),
            (7_200_000.0, "2 h"),
        ] {
            assert_eq!(span_ms(ms), want, "{ms}");
        }
    }

    #[test]
    fn a_long_span_is_told_by_its_largest_unit() {
        for (s, want) in [(59, "59 s"), (3599, "59 min"), (172_799, "47 h"), (172_800, "2 d")] {
            assert_eq!(about(Duration::from_secs(s)), want);
        }
    }

    #[test]
    fn what_was_set_is_exact() {
        for (ms, want) in
            [(0, "0 s"), (300, "300 ms"), (1500, "1.5 s"), (2000, "2 s"), (90_000, "1 min 30 s"), (7_200_000, "2 h")]
        {
            assert_eq!(exact(Duration::from_millis(ms)), want);
        }
    }

    #[test]
    fn a_single_failure_never_reads_as_all() {
        let told = [1.0, 0.99999, 0.8378, 0.5, 0.0004, 0.0].map(share);
        assert_eq!(told, ["100%", "99.999%", "83.8%", "50%", "0.04%", "0%"]);
        assert_eq!([(0, 0), (0, 7), (1, 3), (7, 7)].map(|(a, b)| part(a, b)), ["0%", "0%", "33.3%", "100%"]);
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(
            [512.3, 12.34, 4.0, 0.5, 1.0 / 60.0, 0.0].map(rate),
            ["512/s", "12.3/s", "4/s", "30/m", "1/m", "0/s"]
        );
    }

    #[test]
    fn counts_have_their_grammar() {
        assert_eq!(count(1_u64, "change"), "1 change");
        assert_eq!(count(2_usize, "change"), "2 changes");
        assert_eq!(count(0_u64, "process"), "0 processes");
        assert_eq!(count(1_234_567_u64, "try"), "1,234,567 tries");
        assert_eq!(count(3_u64, "day"), "3 days");
    }

    #[test]
    fn what_happened_most_comes_first_and_the_rest_is_counted() {
        let kinds = [("a", 1), ("b", 5), ("c", 3), ("d", 1)].map(|(kind, n)| (kind.to_owned(), n)).into();
        assert_eq!(top(&kinds, 3), "b 5, c 3, a 1, and 1 other");
        assert_eq!(top(&BTreeMap::new(), 3), "");
    }

    #[test]
    fn a_hair_is_no_side() {
        let (d, limit) = (Duration::from_micros(6_520_331), Duration::from_micros(6_520_330));
        assert_eq!(span_beside(d, limit), "6.520331 s");
    }

    proptest! {
        /// What is shown is on the side of its bound on which it is.
        #[test]
        fn what_is_shown_contradicts_no_bound(parts in 0_u64..=10_000, bound in 0_u64..=10_000, us in 1_u64..50_000_000, off in -3_i64..4) {
            let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().unwrap();
            let (ratio, limit) = (parts as f64 / 1e4, bound as f64 / 1e4);
            // A hair, for 27.4 % is 27.400000000000002.
            prop_assert_eq!(number(&share_beside(ratio, limit)) >= limit * 100.0 - 1e-9, parts >= bound);
            let (d, limit) = (Duration::from_micros(us), Duration::from_micros(us.saturating_add_signed(off)));
            let shown = span_beside(d, limit);
            let unit = if shown.ends_with("ms") { 1000.0 } else { 1.0 };
            prop_assert_eq!(number(&shown) > limit.as_secs_f64() * unit + 1e-9, d > limit, "{} {:?}", shown, limit);
        }
    }
}
