//! `squall validate` and `squall schema`: every mistake at once, each where it stands; editors see the same format.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Squall, repository};

/// A good file; the mistakes below are slips in it.
const GOOD: &str = "\
version: 1
name: kill-one
hypothesis: Losing one goes unnoticed.
steady-state:
  checkout:
    http: http://127.0.0.1:8080/checkout
    rate: 50/s
    timeout: 1s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, max-outage: 2s }
target: { service: shop, pick: 1 }
fault:
  kill: { signal: SIGKILL }
blast-radius: { max-instances: 1 }
timing: { baseline: 3s, duration: 8s, recovery: 10s }
";

/// Its target and fault.
const SINGLE: &str = "target: { service: shop, pick: 1 }\nfault:\n  kill: { signal: SIGKILL }\n";

/// What the JSON Schema, too, must refuse.
const SHAPE: bool = true;
/// What only Squall can find.
const MEANING: bool = false;

/// Name, what is replaced by what, and who finds it.
type Slip = (&'static str, &'static [(&'static str, &'static str)], bool);

const SLIPS: &[Slip] = &[
    // YAML itself.
    ("bound-unquoted", &[("success: 99%", "success: >= 99%")], MEANING),
    ("bound-unquoted-block", &[("{ success: 99%, p95: 300ms }", "\n      success: >= 99%")], MEANING),
    ("tab", &[("    rate: 50/s", "\trate: 50/s")], MEANING),
    ("percent-first", &[("success: 99%", "success: %99")], MEANING),
    ("star-unquoted", &[("service: shop", "name: *shop")], MEANING),
    ("colon-without-space", &[("    rate: 50/s", "    rate:50/s")], MEANING),
    ("bracket-open", &[("pick: 1 }", "pick: 1")], MEANING),
    ("keys-twice", &[("    rate: 50/s", "    rate: 50/s\n    rate: 5/s"), ("fault:", "version: 1\nfault:")], MEANING),
    ("two-documents", &[("fault:", "---\nfault:")], MEANING),
    // Keys.
    (
        "keys-unknown",
        &[
            ("hypothesis:", "hypothesys:"),
            ("timeout:", "timeot:"),
            ("max-outage:", "max_outage:"),
            ("service:", "servise:"),
            ("signal:", "sig:"),
            ("max-instances:", "max-instance:"),
            ("baseline:", "base:"),
        ],
        SHAPE,
    ),
    (
        "keys-missing",
        &[
            ("hypothesis: Losing one goes unnoticed.\n", ""),
            ("fault:\n  kill: { signal: SIGKILL }\n", ""),
            ("blast-radius: { max-instances: 1 }\n", ""),
        ],
        SHAPE,
    ),
    (
        "keys-elsewhere",
        &[
            ("version: 1", "version: 1\nduration: 5s"),
            ("    timeout: 1s", "    p95: 1s"),
            ("http: http://127.0.0.1:8080/checkout", "http: { url: http://x/, timeout: 1s }"),
        ],
        SHAPE,
    ),
    ("key-without-value", &[("rate: 50/s", "rate:")], SHAPE),
    ("merge-key", &[("    rate: 50/s", "    <<: { rate: 50/s }")], SHAPE),
    // Names.
    ("fault-misspelt", &[("kill: { signal: SIGKILL }", "kil: { signal: sigkil, via: hosst }")], SHAPE),
    ("fault-misspelt-bare", &[("fault:\n  kill: { signal: SIGKILL }", "fault: pasue")], SHAPE),
    ("fault-nonsense", &[("kill: { signal: SIGKILL }", "explode: { loudly: true }")], SHAPE),
    ("fault-two", &[("kill: { signal: SIGKILL }", "kill: {}\n  stop: {}")], SHAPE),
    ("fault-bare-needs-more", &[("fault:\n  kill: { signal: SIGKILL }", "fault: exec")], SHAPE),
    (
        "traffic-misspelt",
        &[("kill: { signal: SIGKILL }", "latency: { delai: 1s, to: { sevice: b }, port: 65536, protocol: tpc }")],
        SHAPE,
    ),
    ("traffic-rate-in-bytes", &[("kill: { signal: SIGKILL }", "bandwidth: { rate: 1MB }")], SHAPE),
    ("traffic-lost-in-no-way", &[("fault:\n  kill: { signal: SIGKILL }", "fault: loss")], SHAPE),
    (
        "dns-answered-in-two-ways",
        &[("kill: { signal: SIGKILL }", "dns: { answer: timeout, address: 10.0.0.1 }")],
        SHAPE,
    ),
    (
        "traffic-contradictions",
        &[(
            "kill: { signal: SIGKILL }",
            "shape: { jitter: 1s, reorder: { percent: 0% }, to: { host: a, zone: b }, from: {}, protocol: icmp, port: 1 }",
        )],
        MEANING,
    ),
    ("probe-misspelt", &[("http: http://127.0.0.1:8080/checkout", "htpp: { urll: http://x/ }")], SHAPE),
    ("probe-two", &[("    rate: 50/s", "    tcp: x:80\n    rate: 50/s")], SHAPE),
    ("probe-none", &[("    http: http://127.0.0.1:8080/checkout\n", "")], SHAPE),
    // Kinds and quantities.
    (
        "kinds-wrong",
        &[
            ("version: 1", "version: one"),
            ("{ success: 95%, max-outage: 2s }", "95%"),
            ("{ service: shop, pick: 1 }", "shop"),
            ("{ max-instances: 1 }", "{ max-instances: 1.5, protect: a=b }"),
            ("timing: { baseline: 3s, duration: 8s, recovery: 10s }", "timing: [ 3s, 8s ]"),
        ],
        SHAPE,
    ),
    (
        "quantities-wrong",
        &[
            ("rate: 50/s", "rate: 50"),
            ("timeout: 1s", "timeout: 5"),
            ("{ success: 99%, p95: 300ms }", "{ success: 99, p95: '<= 300ms' }"),
            ("max-outage: 2s", "max-outage: soon"),
            ("pick: 1", "pick: half"),
            ("baseline: 3s", "baseline: 1M"),
        ],
        SHAPE,
    ),
    ("version-unknown", &[("version: 1", "version: 2")], SHAPE),
    ("name-wrong", &[("name: kill-one", "name: kill one")], SHAPE),
    // Meaning.
    ("variable-undefined", &[("pick: 1", "pick: '${NOPE}'"), ("service: shop", "service: '${NOR_THIS}'")], MEANING),
    ("during-without-expect", &[("{ success: 95%, max-outage: 2s }", "{ p99: 1s, max-outage: 2s }")], MEANING),
    ("limits-contradict", &[("pick: 1", "pick: 3")], MEANING),
    ("limits-none", &[("max-instances: 1", "protect: [ a=b ]")], MEANING),
    ("share-beyond-limit", &[("pick: 1", "pick: 50%"), ("max-instances: 1", "max-percent: 30%")], MEANING),
    ("share-of-nothing", &[("pick: 1", "pick: 0%")], MEANING),
    ("zones-beyond-limit", &[("pick: 1", "pick: { zones: 2 }"), ("max-instances: 1", "max-zones: 1")], MEANING),
    (
        "zone-outage-of-another-mode",
        &[(
            "kill: { signal: SIGKILL }",
            "zone-outage: { mode: power, direction: both, clients: keep, delay: 1s, loss: { percent: 5% } }",
        )],
        MEANING,
    ),
    (
        "zone-outage-of-no-line",
        &[("kill: { signal: SIGKILL }", "zone-outage: { mode: degrade, clients: cut, jitter: 1s }")],
        MEANING,
    ),
    (
        "zone-outage-back-in-two-ways",
        &[("kill: { signal: SIGKILL }", "zone-outage: { heal: self, return: { every: 0s } }")],
        MEANING,
    ),
    (
        "zone-outage-misspelt",
        &[("kill: { signal: SIGKILL }", "zone-outage: { mode: isolated, client: keep, return: 2s }")],
        SHAPE,
    ),
    ("target-everything", &[("{ service: shop, pick: 1 }", "{ pick: 1 }")], MEANING),
    ("url-wrong", &[("http://127.0.0.1:8080/checkout", "127.0.0.1:8080/checkout")], MEANING),
    ("address-wrong", &[("http: http://127.0.0.1:8080/checkout", "tcp: localhost")], MEANING),
    (
        "patterns-wrong",
        &[(
            "http: http://127.0.0.1:8080/checkout",
            "http: { url: http://x/, matches: '([0-9]+', method: 'GE T', status: 42 }",
        )],
        MEANING,
    ),
    ("value-of-nothing", &[("{ success: 99%, p95: 300ms }", "{ success: 99%, value: 3 }")], MEANING),
    (
        "value-bounds-nothing",
        &[("http: http://127.0.0.1:8080/checkout", "exec: [count]"), ("p95: 300ms", "value: { for: 2s }")],
        MEANING,
    ),
    (
        "engine-expects-nothing",
        &[("http: http://127.0.0.1:8080/checkout", "engine: { service: shop, count: running }")],
        MEANING,
    ),
    (
        "promql-wrong",
        &[("http: http://127.0.0.1:8080/checkout", "promql: { url: 'p:9090', query: ' ', headers: { 'a b': c } }")],
        MEANING,
    ),
    (
        "alert-has-no-value",
        &[
            ("http: http://127.0.0.1:8080/checkout", "alert: { prometheus: 'http://p', labels: { alertname: A } }"),
            ("p95: 300ms", "value: 3"),
        ],
        MEANING,
    ),
    (
        "alerts-wrong",
        &[(
            "timing:",
            "alerts:\n  checkout:\n    alert: { prometheus: 'ftp://p', labels: {}, firing: true }\n    fires-within: 20s\n  two:\n    alert: { labels: { a: b } }\n    fires-within: 0s\ntiming:",
        )],
        MEANING,
    ),
    (
        "commands-empty",
        &[
            ("http: http://127.0.0.1:8080/checkout", "exec: []"),
            ("kill: { signal: SIGKILL }", "exec: { run: [], undo: [''] }"),
        ],
        MEANING,
    ),
    ("phases-zero", &[("baseline: 3s, duration: 8s", "baseline: 0s, duration: 0s")], MEANING),
    ("recovery-short", &[("recovery: 10s", "recovery: 1s")], MEANING),
    ("too-many-in-flight", &[("rate: 50/s", "rate: 5000/s"), ("timeout: 1s", "timeout: 10s")], MEANING),
    ("names-twice", &[("timing:", "safety: { checkout: { tcp: x:80 } }\ntiming:")], MEANING),
    (
        "faults-both-forms",
        &[("blast-radius:", "faults: [{ fault: pause, target: { service: store } }]\nblast-radius:")],
        SHAPE,
    ),
    ("faults-none", &[(SINGLE, "faults: []\n")], MEANING),
    (
        "faults-beyond-the-phase",
        &[(
            SINGLE,
            "faults:\n  - { fault: pause, target: { service: a }, after: 8s }\n  - { fault: pause, target: { service: b }, after: 5s, for: 5s }\n  - { fault: { latency: { delay: 1s, jitter: 2s } }, target: {}, for: 0s }\n  - { fault: { latency: { jitter: 1s } }, target: { service: c, pick: 0% } }\n",
        )],
        MEANING,
    ),
    (
        "faults-again-and-again",
        &[(
            SINGLE,
            "faults:\n  - { fault: pause, target: { service: a }, every: 2s }\n  - { fault: pause, target: { service: b }, for: 2s, every: 2s }\n  - { fault: restart, target: { service: c }, after: 3s, every: 8s }\n  - { fault: restart, target: { service: d }, every: 50ms }\n  - { fault: restart, target: { service: e }, every: 0s }\n",
        )],
        MEANING,
    ),
    (
        "faults-of-two-hands",
        &[(
            SINGLE,
            "faults:\n  - { fault: { kill: { via: host, heal: self } }, target: { service: a }, for: 1s }\n  - { fault: pause, target: { service: b } }\n",
        )],
        MEANING,
    ),
    // Bounds that nothing can break.
    (
        "bounds-that-cannot-break",
        &[
            ("{ success: 99%, p95: 300ms }", "{ success: 99%, p95: 1s, rate: 1/m, max-outage: 3s }"),
            ("{ success: 95%, max-outage: 2s }", "{ success: 0%, max-outage: 8s }"),
            ("timing:", "no-worse-than: { failures: 100% }\ntiming:"),
        ],
        MEANING,
    ),
    ("bound-that-cannot-be-met", &[("p95: 300ms", "rate: 60/s")], MEANING),
    ("nothing-asked-in-a-phase", &[("rate: 50/s", "rate: 10/m")], MEANING),
    (
        "counts-that-cannot-break",
        &[
            ("http: http://127.0.0.1:8080/checkout", "engine: { service: shop, count: running }"),
            ("p95: 300ms", "value: { at-least: 0 }"),
            ("max-outage: 2s", "value: { at-most: -1 }"),
        ],
        MEANING,
    ),
    (
        "deviation-longer-than-its-phase",
        &[
            ("http: http://127.0.0.1:8080/checkout", "engine: { service: shop, count: healthy }"),
            ("p95: 300ms", "value: { at-least: 3, for: 1h }"),
        ],
        MEANING,
    ),
    (
        "patterns-that-match-everything",
        &[(
            "http: http://127.0.0.1:8080/checkout",
            "http: { url: http://x/, matches: '.*', contains: '', answered-by: { matches: '.*' } }",
        )],
        MEANING,
    ),
    (
        "value-that-is-anything",
        &[("http: http://127.0.0.1:8080/checkout", "exec: [count]"), ("p95: 300ms", "value: { matches: '.*' }")],
        MEANING,
    ),
    (
        "never-asked-in-time",
        &[
            ("rate: 50/s", "rate: 1/s"),
            (
                SINGLE,
                "faults:\n  - { fault: pause, target: { service: a }, after: 7500ms }\n  - { fault: pause, target: { service: b }, after: 7600ms, for: 200ms }\n",
            ),
        ],
        MEANING,
    ),
    (
        "fault-over-before-a-sample",
        &[
            ("rate: 50/s", "rate: 1/s"),
            (
                SINGLE,
                "faults:\n  - { fault: pause, target: { service: a } }\n  - { fault: pause, target: { service: b }, after: 2s, for: 200ms }\n",
            ),
        ],
        MEANING,
    ),
    ("ramp-longer-than-the-fault", &[("kill: { signal: SIGKILL }", "memory: { size: 64m, ramp: 1h }")], MEANING),
    (
        "ramps-longer-than-their-faults",
        &[(
            SINGLE,
            "faults:\n  - { fault: { latency: { delay: 10s } }, target: { service: a } }\n  - { fault: { disk-fill: { path: /, size: 1g, rate: 1MiB/s } }, target: { service: b } }\n  - { fault: { memory: { size: 64m, ramp: 3s } }, target: { service: c }, after: 4s, for: 2s }\n  - { fault: { zone-outage: { mode: degrade, delay: 8s } }, target: { pick: { zones: 1 } } }\n",
        )],
        MEANING,
    ),
    ("switched-off", &[("{ success: 95%, max-outage: 2s }", "{ success: off, p95: off, p99: off }")], MEANING),
    ("nothing-left-on", &[("{ success: 95%, max-outage: 2s }", "{ success: off, p95: off }")], MEANING),
    ("stop-in-fractions", &[("kill: { signal: SIGKILL }", "stop: { timeout: 1500ms }")], MEANING),
];

/// Slips that still leave a file to run.
const DOUBTS: &[Slip] = &[
    ("inherited-and-stricter", &[("success: 95%, max-outage: 2s", "success: 90%")], MEANING),
    ("inherited-success", &[("success: 95%, max-outage: 2s", "max-outage: 2s")], MEANING),
    (
        "quiet-alertmanager",
        &[("target:", "  quiet:\n    alert: { alertmanager: 'http://a', labels: { alertname: A } }\ntarget:")],
        MEANING,
    ),
    ("timeout-longer-than-fault", &[("timeout: 1s", "timeout: 10s")], MEANING),
    ("one-failure-aborts", &[("rate: 50/s", "rate: 5/s"), ("p95: 300ms", "p99.9: 300ms")], MEANING),
    (
        "fault-shorter-than-a-budget",
        &[(SINGLE, "faults:\n  - { fault: pause, target: { service: a }, for: 200ms, every: 4s }\n")],
        MEANING,
    ),
    (
        "unseen",
        &[("http: http://127.0.0.1:8080/checkout", "tcp: shop:80"), ("kill: { signal: SIGKILL }", "pause:")],
        MEANING,
    ),
];

fn slipped(slip: &Slip) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in slip.1 {
        assert!(text.contains(from), "{}: {from:?} is not in the file", slip.0);
        text = text.replacen(from, to, 1);
    }
    text
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(format!("validate-{name}"), text));
}

#[test]
fn a_good_file_is_fine() {
    Squall::new(["validate", "a.yaml"]).file("a.yaml", GOOD).run().exits(0).says("ok     a.yaml").without_complaint();
}

#[test]
fn a_command_line_without_files_is_invalid() {
    Squall::new(["validate"]).run().exits(2).complains("Usage");
}

#[test]
fn every_mistake_is_explained_where_it_stands() {
    for slip in SLIPS {
        let ended =
            Squall::new(["validate", "a.yaml"]).file("a.yaml", slipped(slip)).run().exits(2).says("wrong  a.yaml");
        assert!(ended.stderr.contains("--> a.yaml:"), "{}: no place in\n{}", slip.0, ended.stderr);
        snapshot(slip.0, &ended.stderr);
    }
}

#[test]
fn every_slip_of_a_file_is_reported_and_no_consequence() {
    for (name, replaced, _) in
        SLIPS.iter().filter(|s| s.0.starts_with("keys-un") || s.0.starts_with("quant") || s.0.starts_with("kinds"))
    {
        let ended = Squall::new(["validate", "a.yaml"]).file("a.yaml", slipped(&(name, replaced, SHAPE))).run();
        let errors = ended.stderr.lines().filter(|l| l.starts_with("error")).count();
        let more = usize::from(*name == "quantities-wrong" || *name == "kinds-wrong");
        assert_eq!(errors, replaced.len() + more, "{name}:\n{}", ended.stderr);
    }
}

#[test]
fn a_fault_comes_as_often_as_it_may_and_not_once_more() {
    for (every, code) in [("80ms", 0), ("79ms", 2)] {
        let faults = format!("faults:\n  - {{ fault: restart, target: {{ service: d }}, every: {every} }}\n");
        Squall::new(["validate", "a.yaml"]).file("a.yaml", GOOD.replacen(SINGLE, &faults, 1)).run().exits(code);
    }
}

#[test]
fn doubts_are_warnings() {
    for doubt in DOUBTS {
        let ended =
            Squall::new(["validate", "a.yaml"]).file("a.yaml", slipped(doubt)).run().exits(0).says("ok     a.yaml (");
        assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
        snapshot(doubt.0, &ended.stderr);
    }
}

#[test]
fn one_wrong_file_among_good_ones_decides_the_exit_code() {
    Squall::new(["validate", "a.yaml", "b.yaml", "c.yaml"])
        .file("a.yaml", GOOD)
        .file("b.yaml", "version: 1")
        .file("c.yaml", GOOD)
        .run()
        .exits(2)
        .says("ok     a.yaml\nwrong  b.yaml\nok     c.yaml\n");
}

#[test]
fn what_is_no_file_of_ours_says_so() {
    let bomb: String = (0..9)
        .map(|n| match n {
            0 => "l0: &l0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
            n => format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", ")),
        })
        .collect();
    let ended = Squall::new([
        "validate",
        ".",
        "missing.yaml",
        "empty.yaml",
        "latin.yaml",
        "utf16.yaml",
        "bomb.yaml",
        "deep.yaml",
    ])
    .file("empty.yaml", "")
    .file("latin.yaml", b"name: gr\xfc\xdfe\n")
    .file("utf16.yaml", b"\xff\xfen\0a\0")
    .file("bomb.yaml", bomb)
    .file("deep.yaml", "[".repeat(100_000))
    .run()
    .exits(2);
    snapshot("no-file-of-ours", &ended.stderr);
}

#[test]
fn a_huge_file_is_not_read() {
    let squall = Squall::new(["validate", "huge.yaml", "/dev/zero"]);
    let huge = std::fs::File::create(squall.dir().join("huge.yaml")).expect("a file");
    huge.set_len(100 * 1024 * 1024).expect("a hole of 100 MiB");
    squall
        .run()
        .exits(2)
        .complains("cannot read huge.yaml: it has 100 MiB, and a file of Squall's is at most 1 MiB")
        .complains("cannot read /dev/zero: it goes on beyond 1 MiB");
}

#[test]
fn variables_come_from_the_environment_and_from_files() {
    let file = GOOD.replace("8080/checkout", "${PORT}/${file:path}").replace("service: shop", "service: '${SERVICE}'");
    let call = || Squall::new(["validate", "a.yaml"]).file("a.yaml", &file).file("path", "checkout\n");
    call().env("PORT", "8080").env("SERVICE", "shop").run().exits(0);
    let with_env = || call().args(["--env"]);
    with_env().env("PORT", "8080").env("SERVICE", "shop").run().exits(0);
    with_env().env("SERVICE", "shop").run().exits(2).complains("`${PORT}`: no such variable");
    call().env("SERVICE", "shop").run().exits(0);
    call().env("PORT", "8080").run().exits(2).complains("`${SERVICE}`: no such variable");
    let secret = call().env("PORT", "hunter2").env("SERVICE", "shop").run().exits(2);
    assert!(!secret.stderr.contains("hunter2"), "{}", secret.stderr);
}

#[test]
fn a_default_stands_for_what_is_not_set() {
    let file = GOOD
        .replace("http://127.0.0.1:8080/checkout", "{ url: '${SHOP:-http://shop/}', body: '${file:order:-none}' }")
        .replace("service: shop", "service: '${SERVICE:-shop}'")
        .replace("pick: 1", "pick: '${PICK:-1}'");
    let call = || Squall::new(["validate", "--env", "a.yaml"]).file("a.yaml", &file);
    call().run().exits(0);
    call().env("PICK", "none").run().exits(2).complains("'${PICK:-1}'");
    call().env("SHOP", "ftp://shop/").run().exits(2).complains("is not a URL once its variables are filled in");
    let nested = file.replace("${SERVICE:-shop}", "${SERVICE:-${OTHER}}");
    Squall::new(["validate", "a.yaml"])
        .file("a.yaml", &nested)
        .run()
        .exits(2)
        .complains("a default is taken as it stands");
    let slip = file.replace("${SHOP:-", "${SHOP-");
    Squall::new(["validate", "a.yaml"]).file("a.yaml", &slip).run().exits(2).complains("write `${NAME}`");
}

#[test]
fn what_has_no_end_is_not_read_for_a_variable() {
    for path in ["/dev/zero", "pipe"] {
        let file = GOOD.replace("8080/checkout", &format!("8080/${{file:{path}}}"));
        let squall = Squall::new(["validate", "a.yaml"]).file("a.yaml", &file);
        let pipe = std::process::Command::new("mkfifo").arg(squall.dir().join("pipe")).status().expect("mkfifo");
        assert!(pipe.success());
        squall.run().exits(2).complains(&format!("`${{file:{path}}}` cannot be used")).complains("not a regular file");
    }
}

#[test]
fn messages_have_no_colours_when_nobody_looks() {
    let ended = Squall::new(["validate", "a.yaml"]).file("a.yaml", "version: 1").run();
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

fn schema(of: &str) -> Value {
    let printed = Squall::new(["schema", "--of", of]).run().exits(0).stdout;
    serde_json::from_str(&printed).expect("JSON")
}

/// A YAML text as JSON, the way editors see it.
fn json(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

/// Every example, by its name.
fn examples() -> BTreeMap<String, String> {
    std::fs::read_dir(repository("experiments"))
        .expect("the examples")
        .map(|entry| entry.expect("an example").path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).expect("a text")))
        .collect()
}

#[test]
fn every_example_is_good_and_without_doubts() {
    let examples = examples();
    assert!(examples.len() >= 6);
    Squall::new(["validate"].into_iter().chain(examples.keys().map(String::as_str))).run().exits(0).without_complaint();
}

#[test]
fn the_schema_accepts_what_squall_accepts() {
    let schema = schema("experiment");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Squall experiment");
    assert!(schema["$id"].is_string());
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (name, text) in examples() {
        let found: Vec<String> = validator.iter_errors(&json(&text).expect("YAML")).map(|e| e.to_string()).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
    for (from, to) in [
        ("http: http://127.0.0.1:8080/checkout", "http: { url: http://x/ }"),
        ("http: http://127.0.0.1:8080/checkout", "tcp: x:80"),
        ("http: http://127.0.0.1:8080/checkout", "exec: [a, b]"),
        ("fault:\n  kill: { signal: SIGKILL }", "fault: pause"),
        ("kill: { signal: SIGKILL }", "pause:"),
        ("fault:\n  kill: { signal: SIGKILL }", "fault: partition"),
        ("kill: { signal: SIGKILL }", "latency: { delay: 1s, port: 5432 }"),
        ("kill: { signal: SIGKILL }", "latency: { delay: 1s, to: { cidr: 'fd00::/64' }, port: [80, 8000-8099] }"),
        ("kill: { signal: SIGKILL }", "loss: { gilbert-elliott: { p: 1%, r: 10% } }"),
        ("kill: { signal: SIGKILL }", "shape: { loss: { percent: 0.4% }, bandwidth: { rate: 1.5mbit, burst: 64k } }"),
        ("kill: { signal: SIGKILL }", "dns: { names: '*.store', address: 10.0.0.9 }"),
        ("kill: { signal: SIGKILL }", "dns: { names: [a, b], answer: timeout }"),
        ("pick: 1", "labels: a=b"),
        ("pick: 1", "labels: [a=b], pick: 30%"),
        ("pick: 1", "pick: { zones: 1 }"),
        ("pick: 1", "project: shop"),
        ("pick: 1", "project: [shop, billing]"),
        ("rate: 50/s", "rate: '${RATE}'"),
        ("{ baseline: 3s, duration: 8s, recovery: 10s }", ""),
        ("p95: 300ms", "value: 3"),
    ] {
        let text = GOOD.replacen(from, to, 1).replace("{ success: 95%, max-outage: 2s }", "{ max-outage: 2s }");
        let found: Vec<String> = validator.iter_errors(&json(&text).expect("YAML")).map(|e| e.to_string()).collect();
        assert!(found.is_empty(), "{to}: {found:?}");
        if !to.starts_with("value") {
            Squall::new(["validate", "a.yaml"]).file("a.yaml", &text).env("RATE", "5/s").run().exits(0);
        }
    }
}

#[test]
fn the_schema_refuses_what_has_the_wrong_shape() {
    let validator = jsonschema::validator_for(&schema("experiment")).expect("a schema");
    for slip in SLIPS.iter().filter(|s| s.2 == SHAPE) {
        let value = json(&slipped(slip)).unwrap_or_else(|| panic!("{} is not YAML", slip.0));
        assert!(!validator.is_valid(&value), "{} is valid", slip.0);
    }
}

#[test]
fn a_stack_has_a_schema_too() {
    let validator = jsonschema::validator_for(&schema("stack")).expect("a schema");
    let good = json("version: 1\nname: a\nservices: { b: { command: [c] } }").expect("YAML");
    assert!(validator.is_valid(&good));
    assert!(!validator.is_valid(&json("version: 1\nname: a\nservices: { b: { comand: [c] } }").expect("YAML")));
}

#[test]
fn a_project_file_holds_for_the_experiments_below_it() {
    let validator = jsonschema::validator_for(&schema("project")).expect("a schema");
    assert!(validator.is_valid(&json("version: 1\nproject: shop").expect("YAML")));
    assert!(!validator.is_valid(&json("version: 1\nprojekt: shop").expect("YAML")));
    let squall = |args: &[&str], text: &str| {
        Squall::new(args)
            .file("x/y/a.yaml", GOOD)
            .file("x/squall.yaml", text)
            .file("squall.yaml", "version: 1\nnonsense: 1")
    };
    let good = "version: 1\nproject: shop";
    squall(&["validate", "x/y/a.yaml", "x/squall.yaml"], good).run().exits(0).without_complaint();
    for args in
        [["validate", "x/y/a.yaml"], ["validate", "x/squall.yaml"], ["plan", "x/y/a.yaml"], ["run", "x/y/a.yaml"]]
    {
        let wrong = squall(&args, "version: 1\nprojekt: shop").run().exits(2);
        wrong.complains("did you mean `project`?").complains("squall.yaml");
    }
    // A simulated world has no projects.
    squall(&["plan", "x/y/a.yaml", "--engine", "sim"], good).run().exits(0);
}

/// The keys of every mapping in a schema.
fn keys(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_key_and_its_example_is_good() {
    let text = std::fs::read_to_string(repository("docs/experiment-format.md")).expect("the reference");
    let mut known = std::collections::BTreeSet::new();
    keys(&schema("experiment"), &mut known);
    assert!(known.len() > 50);
    let written = |key: &str| [format!("`{key}`"), format!("`{key}: "), format!("{{ {key}: "), format!("### {key}\n")];
    let missing: Vec<&String> = known.iter().filter(|k| !written(k).iter().any(|w| text.contains(w))).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
    let example = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("an example");
    Squall::new(["validate", "a.yaml"]).file("a.yaml", example).run().exits(0).without_complaint();
}
