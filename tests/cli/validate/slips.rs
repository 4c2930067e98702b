//! The mistakes that are made in the good file, and the slips that are only warned of.

use super::SINGLE;

/// What the JSON Schema, too, must refuse.
pub(super) const SHAPE: bool = true;
/// What only Squall can find.
pub(super) const MEANING: bool = false;

/// Name, what is replaced by what, and who finds it.
pub(super) type Slip = (&'static str, &'static [(&'static str, &'static str)], bool);

pub(super) const SLIPS: &[Slip] = &[
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
    (
        "contract-that-cannot-fail",
        &[(
            "{ success: 95%, max-outage: 2s }",
            "{ 5xx: at most 100%, 2xx: at least 0%, within: 1s, turns-within: 0s, back-within: 10s, body: {} }",
        )],
        MEANING,
    ),
    (
        "contract-that-never-begins",
        &[("{ success: 95%, max-outage: 2s }", "{ status: 503, turns-within: 8s }")],
        MEANING,
    ),
    (
        "contract-that-cannot-be-met",
        &[("{ success: 95%, max-outage: 2s }", "{ 2xx: at least 60%, 5xx: at least 60% }")],
        MEANING,
    ),
    ("failure-that-need-not-be", &[("{ success: 95%, max-outage: 2s }", "{ must-fail: false }")], MEANING),
    ("success-of-nothing", &[("{ success: 95%, max-outage: 2s }", "{ success: 0% }")], MEANING),
    ("failure-and-answers", &[("success: 95%, max-outage: 2s", "must-fail: true, success: 95%, status: 503")], MEANING),
    (
        "assertions-of-nothing",
        &[(
            "http: http://127.0.0.1:8080/checkout",
            "http: { url: 'http://x/', status: [200, 99], json: { stock: 1 }, assert: { a: {}, b: { body: { contains: '' } } } }",
        )],
        MEANING,
    ),
    (
        "contract-of-another-probe",
        &[("http: http://127.0.0.1:8080/checkout", "tcp: x:80"), ("max-outage: 2s", "status: 503, 5xx: at most 5%")],
        MEANING,
    ),
    (
        "contract-of-neighbours",
        &[("target:", "safety: { bank: { http: 'http://b/', during: { back-within: 1s } } }\ntarget:")],
        MEANING,
    ),
    (
        "failure-of-a-count",
        &[
            ("http: http://127.0.0.1:8080/checkout", "engine: { service: shop, count: running }"),
            ("p95: 300ms", "value: { at-least: 1 }"),
            ("success: 95%, max-outage: 2s", "must-fail: true"),
        ],
        MEANING,
    ),
    ("contract-misspelt", &[("success: 95%, max-outage: 2s", "must-fial: true, 5xx: 5%, body: shut")], SHAPE),
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
pub(super) const DOUBTS: &[Slip] = &[
    ("inherited-and-stricter", &[("success: 95%, max-outage: 2s", "success: 90%")], MEANING),
    (
        "inherited-beside-a-share",
        &[("success: 95%, max-outage: 2s", "5xx: at most 5%, no-answer: at most 1%")],
        MEANING,
    ),
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
