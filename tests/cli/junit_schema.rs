//! What the schema of `JUnit` XML allows that Jenkins' xUnit plugin holds files against (`junit-10.xsd`): facts of it, as a
//! table. Others are looser: who reads only this reads them, too.
#![expect(clippy::unwrap_used, reason = "a file that is not as it should be fails the test")]

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// An element: attributes it must have, attributes it may have, and what may be in it.
struct Element {
    required: &'static [&'static str],
    optional: &'static [&'static str],
    children: &'static [&'static str],
}

const OUTCOME: Element = Element { required: &[], optional: &["type", "message"], children: &[] };
const TEXT: Element = Element { required: &[], optional: &[], children: &[] };

fn element(name: &str) -> Option<Element> {
    Some(match name {
        "testsuites" => Element {
            required: &[],
            optional: &["name", "time", "tests", "failures", "errors"],
            children: &["testsuite"],
        },
        "testsuite" => Element {
            required: &["name", "tests", "failures", "errors"],
            optional: &["group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"],
            children: &["testsuite", "properties", "testcase", "system-out", "system-err"],
        },
        "properties" => Element { required: &[], optional: &[], children: &["property"] },
        "property" => Element { required: &["name", "value"], optional: &[], children: &[] },
        "testcase" => Element {
            required: &["name"],
            optional: &["time", "classname", "group"],
            children: &["skipped", "error", "failure", "system-out", "system-err"],
        },
        "skipped" | "error" | "failure" => OUTCOME,
        "system-out" | "system-err" => TEXT,
        _ => return None,
    })
}

/// A suite as a pipeline reads it: its cases, each with the element that says how it came out, or `passed`.
pub(crate) type Suites = BTreeMap<String, Vec<(String, String)>>;

/// Reads a file and panics where the schema does not allow it, or its counts are not those of its cases.
#[track_caller]
pub(crate) fn suites(text: &str) -> Suites {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<String> = Vec::new();
    let mut suites = Suites::new();
    let mut counts: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut suite = String::new();
    loop {
        match reader.read_event().unwrap_or_else(|e| panic!("no XML: {e}\n{text}")) {
            Event::Start(start) => {
                let (name, attributes) = checked(&start, open.last());
                look(&name, &attributes, &mut suite, &mut suites, &mut counts);
                open.push(name);
            }
            Event::Empty(start) => {
                let (name, attributes) = checked(&start, open.last());
                look(&name, &attributes, &mut suite, &mut suites, &mut counts);
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty() && text.contains("<testsuites"), "{text}");
    for (name, attributes) in counts {
        let cases = &suites[&name];
        let count = |how: &str| cases.iter().filter(|(_, came)| came == how).count().to_string();
        assert_eq!(attributes["tests"], cases.len().to_string(), "{name}");
        assert_eq!(
            (&attributes["failures"], &attributes["errors"], &attributes["skipped"]),
            (&count("failure"), &count("error"), &count("skipped")),
            "{name}"
        );
    }
    suites
}

fn checked(start: &BytesStart<'_>, parent: Option<&String>) -> (String, BTreeMap<String, String>) {
    let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
    let allowed = element(&name).unwrap_or_else(|| panic!("the schema knows no <{name}>"));
    match parent {
        Some(parent) => assert!(element(parent).unwrap().children.contains(&name.as_str()), "<{name}> in <{parent}>"),
        None => assert_eq!(name, "testsuites", "the root"),
    }
    let attributes: BTreeMap<String, String> = start
        .attributes()
        .map(|a| a.unwrap())
        .map(|a| {
            (
                String::from_utf8(a.key.as_ref().to_vec()).unwrap(),
                a.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap().into_owned(),
            )
        })
        .collect();
    for required in allowed.required {
        assert!(attributes.contains_key(*required), "<{name}> lacks {required}");
    }
    for attribute in attributes.keys() {
        let known = allowed.required.contains(&attribute.as_str()) || allowed.optional.contains(&attribute.as_str());
        assert!(known, "<{name}> may not have {attribute}");
    }
    if let Some(time) = attributes.get("time") {
        assert!(time.parse::<f64>().is_ok_and(|t| t >= 0.0) && !time.contains('e'), "{time}");
    }
    (name, attributes)
}

fn look(
    name: &str,
    attributes: &BTreeMap<String, String>,
    suite: &mut String,
    suites: &mut Suites,
    counts: &mut Vec<(String, BTreeMap<String, String>)>,
) {
    match name {
        "testsuite" => {
            suite.clone_from(&attributes["name"]);
            assert!(suites.insert(suite.clone(), Vec::new()).is_none(), "two suites are called {suite}");
            counts.push((suite.clone(), attributes.clone()));
        }
        "testcase" => {
            let case = (attributes["name"].clone(), "passed".to_owned());
            suites.get_mut(suite).expect("in a suite").push(case);
        }
        "skipped" | "error" | "failure" => {
            let case = suites.get_mut(suite).and_then(|cases| cases.last_mut()).expect("in a case");
            name.clone_into(&mut case.1);
        }
        _ => {}
    }
}
