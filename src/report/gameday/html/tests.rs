//! The page is whole, asks for nothing from anywhere, and says first what matters most.

use super::super::facts::Facts;
use super::super::fixture;
use super::*;

fn pages() -> Vec<(&'static str, String)> {
    let all = fixture::all();
    all.iter().map(|(name, record, previous)| (*name, render(&Facts::of(record, previous.as_ref())))).collect()
}

fn page(name: &str) -> String {
    pages().into_iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn the_page_stands_alone_and_nothing_in_it_comes_out_of_a_name() {
    for (name, page) in pages() {
        let lower = page.replace(crate::report::html::STYLE, "").replace(STYLE, "").to_lowercase();
        for word in ["<script", "<link", "<img", "<iframe", "<base", " src=", " href=", "@import", "url(", " onload="] {
            let told = lower.replace("&lt;b onload=&quot;", "").replace("&quot;&gt;&lt;img src=x&gt;", "");
            assert!(!told.contains(word), "{name} has {word}");
        }
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

#[test]
fn headings_go_down_one_step_at_a_time_and_ids_are_unique() {
    for (name, page) in pages() {
        let levels: Vec<u32> =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10)).collect();
        assert_eq!(levels.iter().filter(|l| **l == 1).count(), 1, "{name}");
        assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{name}: {levels:?}");
        let mut ids: Vec<&str> =
            page.split(" id=\"").skip(1).filter_map(|p| p.split_once('"').map(|(id, _)| id)).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{name}");
    }
}

#[test]
fn it_answers_the_questions_of_a_head_of_engineering() {
    let page = page("quarterly");
    let mut last = 0;
    for text in [
        "Shop: autumn game day",
        "1 of 4 scenarios held, 1 broke, 1 came to no verdict, 1 not run.",
        "Learn whether checkout survives",
        "Payments team",
        "Ben, Chloé",
        "2026-12-15",
        "Error budget spent",
        "What held, and what broke",
        "The store freezes",
        "What is to be done",
        "Page on checkout",
        "no owner yet",
        "Gaps found",
        "How fast people and Squall were",
        "✗ over 1 min",
        "Since the last game day",
        "That of 2026-08-20",
        "Scenario by scenario",
        "One red spike on the dashboard",
    ] {
        let at = page[last..].find(text).unwrap_or_else(|| panic!("after {last}: the page lacks {text:?}"));
        last += at;
    }
}

#[test]
fn what_is_left_behind_comes_before_the_figures() {
    let page = page("left-behind");
    assert!(page.find("docker unpause store-1").unwrap() < page.find("Key figures").unwrap());
    assert!(page.contains("suggested"));
}
