//! What a judge makes of single samples.

use super::*;
use crate::experiment::probe::Failure;
use crate::experiment::{Percent, ValueBound};
use crate::record::event::Judgement;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn judge(expect: &Expect) -> Judge {
    // 20 samples in 2 s.
    Judge::new("checkout", false, Phase::During, expect, Rate(10.0), ms(1000), ms(2000))
}

fn good(value: &str) -> Answer {
    Answer::Good { value: Some(value.to_owned()), by: None }
}

fn refused() -> Answer {
    Answer::Failed(Failure("connection refused".into()))
}

fn show(judge: &mut Judge, n: u64, answer: &Answer) -> Option<Standing> {
    let due = ms(1000 + n * 100);
    judge.asked(n, due);
    judge.answered(n, due, due + ms(10), answer)
}

#[test]
fn the_first_failure_beyond_the_budget_breaks_it_once() {
    let mut judge = judge(&Expect { success: Some(Percent(0.9)), ..Expect::default() });
    assert_eq!(show(&mut judge, 0, &refused()), None);
    assert_eq!(show(&mut judge, 1, &refused()), None);
    let broken = show(&mut judge, 2, &refused()).unwrap();
    assert_eq!((broken.expectation.as_str(), broken.bound.as_str(), broken.held), ("success", "≥ 90%", false));
    assert_eq!((broken.budget, broken.spent), (Some(2), Some(3)));
    assert_eq!(broken.failures["connection refused"], 3, "told wherever the breach is");
    assert_eq!(show(&mut judge, 3, &refused()), None, "it is said once");
    let (judged, again) = judge.finish(ms(3000), true);
    assert_eq!((judged.samples, judged.failed, again), (4, 4, None));
    assert!(!judged.standings[0].held);
    assert_eq!(judged.longest_outage_ms, 2000);
}

#[test]
fn other_phases_samples_are_not_judged() {
    let mut judge = judge(&Expect { success: Some(Percent(1.0)), ..Expect::default() });
    for due in [0, 999, 3000, 4000] {
        judge.asked(due, ms(due));
        assert_eq!(judge.answered(due, ms(due), ms(due + 1), &refused()), None);
    }
    assert_eq!(judge.finish(ms(3000), true).0.samples, 0);
    assert!(judge.could_not_ask(), "no sample at all is no evidence");
}

#[test]
fn a_question_in_flight_past_its_bound_counts() {
    let mut judge = judge(&Expect { max: Some(Span(ms(300))), ..Expect::default() });
    judge.asked(0, ms(1000));
    let deadline = judge.next_deadline().unwrap();
    assert_eq!(judge.tick(ms(1300)), None);
    assert_eq!(judge.tick(deadline).unwrap().measured, "no answer");
    assert!(deadline.abs_diff(ms(1300)) < ms(1));
    assert_eq!(judge.next_deadline(), None);
    assert!(!judge.is_settled());
}

#[test]
fn a_rate_is_judged_at_the_end() {
    let expect = Expect { rate: Some(Rate(9.0)), ..Expect::default() };
    for (failures, held) in [(2, true), (3, false)] {
        let mut judge = judge(&expect);
        for n in 0..20 {
            assert_eq!(show(&mut judge, n, &if n < failures { refused() } else { good("1") }), None);
        }
        let (judged, broken) = judge.finish(ms(3050), true);
        assert_eq!((judged.standings[0].held, broken.is_none()), (held, held), "{judged:?}");
        assert_eq!(judged.standings[0].measured, format!("{}/s", (20 - failures) as f64 / 2.0));
    }
}

#[test]
fn a_value_outside_its_bound_breaks_at_once_and_is_shown() {
    let mut judge = judge(&Expect {
        value: Some(ValueBound { at_least: Some(3.0), ..ValueBound::default() }),
        ..Expect::default()
    });
    assert_eq!(show(&mut judge, 0, &good("3")), None);
    let broken = show(&mut judge, 1, &good("2")).unwrap();
    assert_eq!((broken.measured.as_str(), broken.failures.len()), ("2", 0));
    show(&mut judge, 2, &good("3"));
    let standing = &judge.standings(ms(2000))[0];
    assert_eq!((standing.measured.as_str(), standing.number, standing.held), ("2", Some(2.0), false));
}

#[test]
fn a_long_value_is_short_in_sentences_and_whole_in_records() {
    let mut judge = judge(&Expect {
        value: Some(ValueBound { equals: Some("ready".into()), ..ValueBound::default() }),
        ..Expect::default()
    });
    let value = format!("{{\n\x1b{}", "x".repeat(5000));
    let broken = show(&mut judge, 0, &good(&value)).unwrap();
    assert!(broken.measured.starts_with("{ \\x1bxxx") && broken.measured.ends_with('…'), "{}", broken.measured);
    assert_eq!(broken.value, Some(crate::record::event::Excerpt { text: value[..4096].to_owned(), left_out: 907 }));
    assert_eq!(serde_json::to_value(&broken).unwrap()["value"]["left-out"], 907);
}

#[test]
fn what_could_not_be_asked_counts_for_nothing_but_is_told() {
    let mut judge = judge(&Expect { success: Some(Percent(1.0)), max: Some(Span(ms(1))), ..Expect::default() });
    assert_eq!(show(&mut judge, 0, &Answer::NotMeasured("no route from here".into())), None);
    let due = ms(1100);
    judge.asked(1, due);
    assert_eq!(judge.answered(1, due, due, &good("1")), None);
    assert!(judge.could_not_ask());
    let (judged, broken) = judge.finish(ms(3000), true);
    assert_eq!((judged.unmeasured, judged.failed, broken), (1, 0, None));
    assert_eq!(judged.unmeasured_why["no route from here"], 1);
    assert!(judged.standings.iter().all(|s| s.held));
}

#[test]
fn bad_counts_at_once_and_good_only_while_time_goes_on() {
    let mut judge = judge(&Expect { success: Some(Percent(0.9)), rate: Some(Rate(9.0)), ..Expect::default() });
    judge.stop_time(ms(1000));
    for n in 0..8 {
        assert_eq!(show(&mut judge, n, &good("1")), None);
    }
    judge.go_on(ms(1800));
    assert_eq!(judge.end(), ms(3800), "as much as was declared");
    for n in 8..28 {
        assert_eq!(show(&mut judge, n, &good("1")), None);
    }
    assert_eq!(show(&mut judge, 28, &refused()), None, "that is after the phase");
    let (judged, broken) = judge.finish(ms(3800), true);
    assert_eq!((judged.samples, judged.failed, judged.not_judged, broken), (20, 0, 8, None));

    let mut judge = self::judge(&Expect { success: Some(Percent(0.9)), ..Expect::default() });
    judge.stop_time(ms(1000));
    assert_eq!(show(&mut judge, 0, &refused()), None);
    assert_eq!(show(&mut judge, 1, &refused()), None);
    assert!(show(&mut judge, 2, &refused()).is_some(), "no injection is awaited");
    let mut none = self::judge(&Expect { success: Some(Percent(0.0)), ..Expect::default() });
    none.stop_time(ms(1000));
    assert!((0..90).all(|n| show(&mut none, n, &refused()).is_none()), "0 % cannot break");
    assert!(!none.has_evidence());
}

#[test]
fn an_outage_is_no_longer_than_the_fault() {
    for (is_rolled_back, is_broken) in [(true, false), (false, true)] {
        let mut judge = judge(&Expect { max_outage: Some(Span(ms(800))), ..Expect::default() });
        assert_eq!(show(&mut judge, 0, &good("1")), None);
        for n in 1..6 {
            assert_eq!(show(&mut judge, n, &refused()), None);
        }
        if is_rolled_back {
            judge.roll_back(ms(1600));
        }
        assert_eq!(judge.tick(ms(2500)).is_some(), is_broken, "since 1100 ms, at 2500 ms");
        let (judged, _) = judge.finish(ms(2500), !is_rolled_back);
        assert_eq!(judged.longest_outage_ms == 500, is_rolled_back, "{}", judged.longest_outage_ms);
    }
}

#[test]
fn what_is_open_at_the_rollback_is_no_evidence_and_what_hung_a_doubt() {
    let expect = Expect { success: Some(Percent(0.9)), ..Expect::default() };
    let mut judge = judge(&expect).with_usual(ms(50));
    for n in 0..20 {
        judge.asked(n, ms(1000 + n * 100));
    }
    for n in 3..19 {
        assert_eq!(judge.answered(n, ms(1000 + n * 100), ms(1010 + n * 100), &good("1")), None);
    }
    // Three have hung since the beginning; the last one has just been sent.
    judge.roll_back(ms(2940));
    for n in [0, 1, 2, 19] {
        assert_eq!(judge.answered(n, ms(1000 + n * 100), ms(2950), &good("1")), None);
    }
    assert!(judge.is_settled());
    let (judged, broken) = judge.finish(ms(2940), true);
    assert_eq!((judged.samples, judged.not_judged, broken), (16, 4, None));
    let doubt = judge.in_doubt(true).unwrap();
    assert_eq!((doubt.expectation.as_str(), doubt.hung, doubt.longest), ("success", 3, ms(1940)));
}

#[test]
fn an_answer_that_a_busy_machine_holds_up_is_no_doubt() {
    for (due, is_doubt) in [(2800, false), (2600, true)] {
        let mut judge = judge(&Expect { success: Some(Percent(1.0)), ..Expect::default() }).with_usual(ms(50));
        (0..10).for_each(|n| drop(show(&mut judge, n, &good("1"))));
        judge.asked(10, ms(due));
        judge.roll_back(ms(3000));
        judge.finish(ms(3000), true);
        assert_eq!(judge.in_doubt(true).is_some(), is_doubt, "due at {due} ms");
    }
    // In a short phase it explains less.
    let expect = Expect { success: Some(Percent(1.0)), ..Expect::default() };
    let mut judge =
        Judge::new("checkout", false, Phase::During, &expect, Rate(20.0), ms(1000), ms(200)).with_usual(ms(5));
    show(&mut judge, 0, &good("1"));
    judge.asked(1, ms(1100));
    judge.roll_back(ms(1200));
    judge.finish(ms(1200), true);
    assert!(judge.in_doubt(true).is_some());
}

/// In a phase of 2 s.
#[test]
fn one_who_watches_is_in_doubt_only_if_silent_for_most_of_the_phase() {
    for (due, of_system, of_watcher) in [(2600, true, false), (2050, true, false), (1950, true, true)] {
        let doubt = |silence_is_failure| {
            let mut judge = judge(&Expect { success: Some(Percent(1.0)), ..Expect::default() }).with_usual(ms(50));
            (0..9).for_each(|n| drop(show(&mut judge, n, &good("1"))));
            judge.asked(10, ms(due));
            judge.roll_back(ms(3000));
            judge.finish(ms(3000), true);
            judge.in_doubt(silence_is_failure).is_some()
        };
        assert_eq!((doubt(true), doubt(false)), (of_system, of_watcher), "due at {due} ms");
    }
}

#[test]
fn a_phase_that_is_cut_short_judges_nothing_that_did_not_break() {
    let expect = Expect { success: Some(Percent(0.9)), max: Some(Span(ms(300))), ..Expect::default() };
    for (whole, unjudged) in [(false, Some(Unjudged::CutShort)), (true, None)] {
        let mut judge = judge(&expect);
        for n in 0..20 {
            show(&mut judge, n, &good("1"));
        }
        show(&mut judge, 20, &refused());
        let end = if whole { ms(3000) } else { ms(2500) };
        assert!(judge.finish(end, whole).0.standings.iter().all(|s| s.unjudged == unjudged));
    }
    let mut judge = judge(&Expect { success: Some(Percent(0.9)), ..Expect::default() });
    (0..3).for_each(|n| drop(show(&mut judge, n, &refused())));
    let judged = judge.finish(ms(1300), false).0;
    assert_eq!((judged.standings[0].held, judged.standings[0].unjudged), (false, None), "a break stays one");
}

#[test]
fn an_unanswered_sample_is_the_budgets_matter_and_not_the_values() {
    let value = Some(ValueBound { at_least: Some(3.0), ..ValueBound::default() });
    let mut judge = judge(&Expect { success: Some(Percent(0.9)), value, ..Expect::default() });
    for n in 0..20 {
        assert_eq!(show(&mut judge, n, &if n < 2 { refused() } else { good("3") }), None);
    }
    assert!(judge.finish(ms(3000), true).0.standings.iter().all(|s| s.judgement() == Judgement::Held));
}

#[test]
fn no_value_at_all_is_no_evidence() {
    let value = Some(ValueBound { at_least: Some(3.0), ..ValueBound::default() });
    let mut judge = judge(&Expect { success: Some(Percent(0.1)), value, ..Expect::default() });
    (0..17).for_each(|n| drop(show(&mut judge, n, &refused())));
    let judged = judge.finish(ms(3000), true).0;
    assert_eq!(judged.standings[1].unjudged, Some(Unjudged::NoEvidence));
    assert!(judged.without_evidence().iter().any(|s| s.contains("no answer could have broken ≥ 3")), "{judged:?}");
}

#[test]
fn a_deviation_says_how_long_it_lasted() {
    let value = Some(ValueBound { at_least: Some(3.0), r#for: Some(Span(ms(500))), ..ValueBound::default() });
    let mut judge = judge(&Expect { value, ..Expect::default() });
    let broken = (0..20).find_map(|n| show(&mut judge, n, &good("2"))).unwrap();
    assert_eq!(
        (broken.measured.as_str(), broken.bound.as_str()),
        ("2 for 510 ms", "≥ 3, or outside for at most 500 ms")
    );
}

#[test]
fn what_was_measured_of_a_whole_phase_contradicts_no_judgement() {
    // One sample less than planned, or one more: the budget is that of the plan.
    for (samples, failed) in [(19, 2), (20, 2), (21, 2), (19, 3), (21, 3)] {
        let mut judge = judge(&Expect { success: Some(Percent(0.9)), p90: Some(Span(ms(300))), ..Expect::default() });
        for n in 0..samples {
            let due = ms(1000 + n * 95);
            judge.asked(n, due);
            judge.answered(n, due, due + ms(10), &if n < failed { refused() } else { good("1") });
        }
        let judged = judge.finish(ms(3000), true).0;
        for s in judged.standings {
            let meets = match s.expectation.as_str() {
                "success" => s.number.unwrap() >= 0.9,
                _ => s.number.is_some_and(|ms| ms <= 300.0),
            };
            assert_eq!(meets, s.held, "{samples} {failed} {s:?}");
        }
    }
}
