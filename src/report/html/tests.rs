//! The page holds together: well-formed, self-contained, and no name in it can become markup.

use super::super::{self as report, Format, fixture};
use super::*;

/// Names of the elements that have no end.
const VOID: [&str; 2] = ["meta", "br"];

/// Every start and end tag in order; panics where they do not nest, or where an attribute is not quoted.
fn nests(page: &str, name: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    for part in body.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{name}: a tag without an end: {part}"));
        let word = tag.split_whitespace().next().unwrap_or_default();
        if let Some(end) = word.strip_prefix('/') {
            assert_eq!(open.pop(), Some(end), "{name}: </{end}> closes another one");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{name}: quotes in <{tag}>");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{name}: <{word}>");
            if !VOID.contains(&word) {
                open.push(word);
            }
        }
    }
    assert!(open.is_empty(), "{name}: never closed: {open:?}");
}

#[test]
fn every_page_is_well_formed_and_asks_nobody() {
    for (name, state) in fixture::all() {
        let page = render(&state);
        // The style sheet has `>` and quotes of its own.
        let page = page.replace(STYLE, "");
        nests(&page, name);
        let lower = page.to_lowercase();
        for word in ["<script", "<link", "<img", "<iframe", "<base", " src=", " href=", "@import", "url("] {
            assert!(!lower.contains(word), "{name} has {word}");
        }
        assert!(page.len() < 200_000, "{name}: {} bytes", page.len());
    }
    let style = STYLE.to_lowercase();
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn a_check_that_never_lost_its_steady_state_says_so_and_has_no_moment_of_recovery() {
    let [held, many] = [fixture::held(), fixture::many()].map(|state| render(&state));
    assert!(held.contains("Recovery time") && held.contains("<span class=\"tag\">never lost</span>"), "one of two");
    let checks: Vec<bool> = held.split("<article").skip(1).map(|check| check.contains("recovered +")).collect();
    assert_eq!(checks[..2], [true, false], "checkout has recovered, and there was always a shop that ran");
    assert!(!many.contains("Recovery time") && !many.contains("recovered +"));
    assert!(many.contains("steady state was never lost"));
}

#[test]
fn no_handler_comes_out_of_a_name() {
    let page = render(&fixture::hostile());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("<script"));
}

#[test]
fn headings_go_down_one_step_at_a_time() {
    for (name, state) in fixture::all() {
        let page = render(&state);
        let levels: Vec<u32> =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10)).collect();
        assert_eq!(levels.iter().filter(|l| **l == 1).count(), 1, "{name}: one heading is the first");
        assert_eq!(levels[0], 1, "{name}");
        assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{name}: {levels:?}");
    }
}

#[test]
fn ids_are_unique_and_what_is_referred_to_is_there() {
    for (name, state) in fixture::all() {
        let page = render(&state);
        let mut ids: Vec<&str> =
            page.split(" id=\"").skip(1).filter_map(|p| p.split_once('"').map(|(id, _)| id)).collect();
        for list in page.split("aria-labelledby=\"").skip(1) {
            let list = list.split_once('"').unwrap().0;
            assert!(list.split(' ').all(|id| ids.contains(&id)), "{name}: {list}");
        }
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}");
    }
}

#[test]
fn the_verdict_comes_first_and_in_words() {
    for (state, word) in [
        (fixture::held(), "Held"),
        (fixture::broken(), "Broken"),
        (fixture::no_verdict(), "No verdict"),
        (fixture::left_behind(), "Rollback incomplete"),
        (fixture::unfinished(), "Unfinished"),
    ] {
        let page = render(&state);
        let heading = format!("<h1>{word}</h1>");
        let at = page.find(&heading).unwrap_or_else(|| panic!("{heading}"));
        assert!(at < page.find("<h2").unwrap());
        assert!(at < page.find("class=\"chart").unwrap());
    }
}

#[test]
fn the_page_answers_the_questions_of_a_game_day() {
    let page = render(&fixture::broken());
    for text in [
        "Checkout goes on for customers while the store does not answer.",
        "hypothesis-broken",
        "17 ms",
        "76 of 75",
        "all processes of it are frozen",
        "observed again, no differences",
        "by the <b>runner</b>",
        "spared: other service",
        "squall run experiments/freeze-the-store.yaml --seed 42",
        "recovered +7.120 s",
        "process <code>4242</code>",
    ] {
        assert!(page.contains(text), "the page lacks {text:?}");
    }
    let page = render(&fixture::left_behind());
    assert!(page.find("docker unpause store-1").unwrap() < page.find("Steady state").unwrap());
    assert!(render(&fixture::by_guard()).contains("by the <b>guard</b>"));
}

#[test]
fn secrets_stay_templates_and_the_experiment_can_be_read_again() {
    let page = render(&fixture::held());
    assert!(page.contains("Bearer ${SHOP_TOKEN}"));
    assert!(page.contains("fault:\n  kill:"), "the fault is a key, not a YAML tag");
}

#[test]
fn zones_are_a_map_with_a_failover_clock() {
    let page = render(&fixture::zone());
    for text in [
        "zone b: no power (2 of 3)",
        "<title>shop-2, shop: killed</title>",
        "<title>shop-4, shop: was down</title>",
        "served by the others +4.361 s",
        "the zone serves again +13.155 s",
        "17 failed until then, none for 1.00 s after it",
        "when its time is over, it comes back one by one, every 1s",
        "recovered +11.935 s",
    ] {
        assert!(page.contains(text), "the page lacks {text:?}");
    }
    assert!(!render(&fixture::unfinished()).contains("Who answered"), "its answers do not tell, and no zone went out");
}

#[test]
fn each_of_several_faults_has_a_bar_and_a_shade() {
    let page = render(&fixture::compound());
    // Drawn for wide and for narrow pages.
    for (fault, label) in [(0, "1 latency"), (1, "2 pause")] {
        assert_eq!(page.matches(&format!("<g class=\"laid f{fault}\">")).count(), 2, "{label}");
        assert!(page.contains(&format!("fault {label} is on")), "{label}");
    }
    assert!(!render(&fixture::held()).contains("class=\"laid"), "a single fault is the phase");
}

#[test]
fn a_rehearsed_expectation_does_not_hold_and_does_not_break() {
    for (state, word) in [(fixture::held(), "~ would hold"), (fixture::broken(), "~ would break")] {
        for format in [Format::Html, Format::Markdown] {
            let (real, rehearsed) =
                (report::render(&state, format), report::render(&fixture::rehearsal(state.clone()), format));
            assert!(rehearsed.contains(word) && !real.contains("would "), "{}", format.file());
            for told in ["✓ held", "✅ held", "✗ broken", "❌ broken"] {
                assert!(!rehearsed.contains(told), "{told} in {}", format.file());
            }
        }
    }
}
