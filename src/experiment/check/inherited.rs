//! Bounds of `expect` that go on to hold beside what `during` says, where they are the stricter ones: what `during` allows would
//! then decide nothing, and it would not be seen why.

use super::{Found, Mistake, Timing};
use crate::experiment::probe::Class;
use crate::experiment::{During, Expect, Rate, Share, allowed, samples};

/// A bound that `during` states, and one that it inherits and that breaks first.
struct Overruled {
    stated: &'static str,
    inherited: &'static str,
    why: String,
}

/// `stated` is what `during` says itself, `expect` what stays in force beside it, less what it replaces or switches off.
pub(super) fn check(
    found: &mut Found<'_>,
    [section, name]: [&str; 2],
    (expect, stated): (&Expect, &Expect),
    rate: Rate,
    timing: Timing,
) {
    for overruled in overruled(expect, stated, rate, timing) {
        let written = |key: &'static str| found.document.entry(&[section, name, "during", key]).is_some();
        if written(overruled.inherited) {
            continue;
        }
        let Overruled { stated, inherited, why } = overruled;
        let at = found.document.value_at(&[section, name, "during", stated]);
        let other = found.document.value_at(&[section, name, "expect", inherited]);
        let mistake =
            Mistake::warning(&at, format!("`{inherited}` of `expect` stays in force, and breaks first: {why}"))
                .help(format!("say `{inherited}` in `during` as well: another bound, or `{inherited}: off`"));
        let given = found.document.entry(&[section, name, "expect", inherited]).is_some();
        found.add(if given { mistake.also(&other, "inherited") } else { mistake });
    }
}

fn overruled(expect: &Expect, stated: &Expect, rate: Rate, timing: Timing) -> Vec<Overruled> {
    let n = samples(rate, timing.duration.0);
    let may = |share: f64| allowed(n, share);
    let mut all = Vec::new();
    if let Some(success) = stated.success {
        for (quantile, key, _) in expect.latencies().into_iter().filter(|(q, ..)| may(*q) < may(success.0)) {
            let why = format!("a failed answer counts as slow, and at most {} of {n} may be slow", may(quantile));
            all.push(Overruled { stated: "success", inherited: key, why });
        }
    }
    for (quantile, key, bound) in stated.latencies() {
        let stricter = expect.latencies().into_iter().filter(|(q, _, b)| *q > quantile && *b <= bound);
        all.extend(stricter.map(|(_, other, b)| Overruled {
            stated: key,
            inherited: other,
            why: format!("it has more answers within {b}"),
        }));
    }
    if let (Some(outage), Some(success)) = (stated.max_outage, expect.success)
        && may(success.0) < samples(rate, outage.0)
    {
        let why = format!(
            "at most {} of {n} may fail, and an outage of {outage} is {}",
            may(success.0),
            samples(rate, outage.0)
        );
        all.push(Overruled { stated: "max-outage", inherited: "success", why });
    }
    all
}

/// Shares of failures that `during` allows or wants, where fewer may fail: unless it says which statuses are good, they have failed.
pub(super) fn shares(found: &mut Found<'_>, [section, name]: [&str; 2], during: &During, expect: &Expect, n: u64) {
    let contract = during.contract();
    let Some(success) = expect.success.filter(|_| during.success.is_none() && !contract.answers) else { return };
    let may_fail = allowed(n, success.0);
    for (class, share) in contract.shares.iter().filter(|(class, _)| *class != Class::Success) {
        let meant = match share {
            Share::AtMost(_) => allowed(n, share.keep()),
            Share::AtLeast(_) => n - allowed(n, share.keep()),
        };
        if meant <= may_fail {
            continue;
        }
        let at = found.document.value_at(&[section, name, "during", class.key()]);
        let why = format!("what is {} has failed, and at most {may_fail} of {n} may fail", class.key());
        found.add(
            Mistake::warning(&at, format!("`success` of `expect` stays in force, and breaks first: {why}")).help(
                "say `success` in `during` as well: another bound, or `success: off`; or which statuses are good: `status: [200, 503]`",
            ),
        );
    }
}
