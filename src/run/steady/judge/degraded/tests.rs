//! What a judge makes of answers under a contract.

use super::*;
use crate::experiment::probe::Failure;
use crate::experiment::{Expect, Percent, Rate, Share, Span};
use crate::record::event::Phase;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// 20 samples in 2 s, from 1 s on.
fn judge(contract: Contract) -> Judge {
    let length = ms(2000).saturating_sub(contract.lead());
    Judge::new("c", false, Phase::During, &Expect::default(), Rate(10.0), ms(1000), length).under(contract)
}

fn must_fail() -> Contract {
    Contract { must_fail: Some(Percent(1.0)), ..Contract::default() }
}

fn refused() -> Reply {
    Answer::Failed(Failure("connection refused".into())).into()
}

fn status(status: u16) -> Reply {
    let answer = match status {
        200 => Answer::Good { value: None, by: None },
        other => Answer::Failed(Failure(format!("status {other}"))),
    };
    Reply { status: Some(status), ..answer.into() }
}

fn show(judge: &mut Judge, n: u64, reply: &Reply) -> Option<Standing> {
    let due = ms(1000 + n * 100);
    judge.asked(n, due);
    judge.replied(n, due, due + ms(10), reply)
}

#[test]
fn what_must_fail_is_broken_by_the_first_answer() {
    let mut judge = judge(must_fail());
    assert_eq!(show(&mut judge, 0, &refused()), None);
    let broken = show(&mut judge, 1, &status(200)).unwrap();
    assert_eq!(
        (broken.expectation.as_str(), broken.bound.as_str(), broken.measured.as_str()),
        ("must-fail", "≥ 100%", "50%")
    );
    assert_eq!(broken.failures["answered with status 200"], 1);
}

#[test]
fn what_could_not_be_asked_is_no_failure_of_the_service() {
    let mut judge = judge(must_fail());
    for n in 0..20 {
        let ours = Answer::NotMeasured("no route from here".into());
        assert_eq!(show(&mut judge, n, &ours.into()), None);
    }
    let (judged, broken) = judge.finish(ms(3000), true);
    assert_eq!((judged.unmeasured, judged.failed, broken), (20, 0, None));
    assert!(judge.could_not_ask(), "that is no verdict");
    assert!(!judged.without_evidence().is_empty() && judged.answers.is_empty(), "{judged:?}");
}

#[test]
fn nothing_says_that_a_service_fails_while_the_fault_may_not_be_on() {
    let mut judge = judge(must_fail());
    judge.stop_time(ms(1000));
    assert_eq!(show(&mut judge, 0, &status(200)), None, "the fault is on its way in");
    judge.go_on(ms(1150));
    for n in 2..20 {
        assert_eq!(show(&mut judge, n, &refused()), None);
    }
    judge.asked(20, ms(3000));
    judge.roll_back(ms(3010));
    assert_eq!(judge.replied(20, ms(3000), ms(3020), &status(200)), None, "answered since it is rolled back");
    assert!(judge.is_settled() && judge.in_doubt(true).is_none());
    let (judged, broken) = judge.finish(ms(3010), true);
    assert_eq!((judged.samples, judged.failed, broken), (18, 0, None));
    assert_eq!(judged.answers, BTreeMap::from([("connection refused".to_owned(), 18)]));
    assert!(judged.standings[0].held && judged.without_evidence().is_empty());
}

#[test]
fn it_may_take_its_time_to_turn_and_no_longer() {
    for (turned_at, held) in [(4, true), (5, true), (6, false)] {
        let mut judge = judge(Contract { turns_within: Some(Span(ms(500))), ..must_fail() });
        judge.stop_time(ms(1000));
        judge.go_on(ms(1000));
        assert_eq!(judge.end(), ms(3000), "the fault is on for as long as was declared");
        let broken: Vec<Standing> =
            (0..20).filter_map(|n| show(&mut judge, n, &if n < turned_at { status(200) } else { refused() })).collect();
        assert_eq!(broken.is_empty(), held, "turned after {turned_at}00 ms");
        let (judged, _) = judge.finish(ms(3000), true);
        assert_eq!(judged.samples, 15, "what came before says nothing");
    }
}

#[test]
fn another_fault_may_come_before_it_has_turned() {
    let mut judge = judge(Contract { turns_within: Some(Span(ms(500))), ..must_fail() });
    judge.stop_time(ms(1000));
    judge.go_on(ms(1000));
    judge.stop_time(ms(1200));
    judge.go_on(ms(1300));
    assert_eq!(judge.end(), ms(3000), "it stood still already");
    judge.stop_time(ms(2000));
    judge.go_on(ms(2100));
    assert_eq!(judge.end(), ms(3100));
}

#[test]
fn shares_of_classes_are_budgets() {
    let shares = || {
        let few = (Class::ServerError, Share::AtMost(Percent(0.1)));
        let most = (Class::Success, Share::AtLeast(Percent(0.5)));
        Contract { shares: vec![few, most], ..Contract::default() }
    };
    let mut judge_of = judge(shares());
    for n in 0..20 {
        let reply = if n < 2 {
            status(503)
        } else if n < 10 {
            status(404)
        } else {
            status(200)
        };
        assert_eq!(show(&mut judge_of, n, &reply), None, "{n}");
    }
    let (judged, _) = judge_of.finish(ms(3000), true);
    let told: Vec<_> = judged.standings.iter().map(|s| (&s.expectation[..], &s.bound[..], &s.measured[..])).collect();
    assert_eq!(told, [("5xx", "≤ 10%", "10%"), ("2xx", "≥ 50%", "50%")]);
    assert_eq!(judged.answers["status 404"], 8);

    let mut again = judge(shares());
    let broken = (0..3).find_map(|n| show(&mut again, n, &status(500))).unwrap();
    assert_eq!((broken.expectation.as_str(), broken.spent, broken.budget), ("5xx", Some(3), Some(2)));
    let mut unknown = judge(shares());
    let unclear = Answer::Good { value: None, by: None }.into();
    assert!((0..20).any(|n| show(&mut unknown, n, &unclear).is_some()), "what is not told is no success");
    let few = vec![(Class::ServerError, Share::AtMost(Percent(0.1)))];
    let mut unknown = judge(Contract { shares: few, ..Contract::default() });
    assert!((0..20).any(|n| show(&mut unknown, n, &unclear).is_some()), "nor is it no error");
}
