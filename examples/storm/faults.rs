//! What goes wrong in a round: one line each, as under `fault:` in an experiment.

/// The containers themselves.
const CONTAINERS: [&str; 4] = ["kill: { via: engine }", "kill: { via: host }", "stop: { timeout: 1s }", "pause: {}"];

/// Disturbances of traffic, by every means there is: the kernel's queues, rules, a process that holds packets, and a proxy.
const NETWORK: [&str; 16] = [
    "latency: { delay: 50ms, mechanism: userspace }",
    "shape: { delay: 20ms, loss: { percent: 5% }, direction: both }",
    "loss: { percent: 30% }",
    "corrupt: { percent: 30% }",
    "duplicate: { percent: 30% }",
    "reorder: { percent: 30%, delay: 20ms }",
    "bandwidth: { rate: 1mbit }",
    "partition: {}",
    "blackhole: { port: 80, how: reject }",
    "dns: { answer: nxdomain }",
    "tcp: { accept-then-hang: true }",
    "http: { status: 503, share: 50% }",
    "grpc: { status: UNAVAILABLE }",
    "tls: { reset: true }",
    "postgres: { error: 53300 }",
    "redis: { error: LOADING }",
];

/// Disturbances of the machine that a container believes it has: limits, Squall's processes, its disk; and whole zones.
const MACHINE: [&str; 18] = [
    "pids: { leave: 0 }",
    "throttle: { cores: 0.2, memory: 50% }",
    "disk-slow: { path: /data, write: 256KiB/s }",
    "file-descriptors: { leave: 4 }",
    "sockets: { ports: 4 }",
    "connections: { port: 8080, count: 20 }",
    "cpu: { cores: 0.2 }",
    "memory: { size: 16MiB }",
    "memory: { to: 80%, ramp: 1s }",
    "process: { name: squall, act: stop }",
    "disk-fill: { path: /, size: 8MiB }",
    "disk-fill: { path: /data, size: 8MiB, rate: 8MiB/s }",
    "disk-fill: { path: /memory, to: 100% }",
    "disk-fill: { path: /memory, inodes: 100% }",
    "disk-readonly: { path: /data }",
    "zone-outage: { mode: power }",
    "zone-outage: { mode: freeze }",
    "zone-outage: { mode: isolate }",
];

/// All of them, or those of the kinds that are asked for, which have this in them.
pub(crate) fn chosen(network: bool, machine: bool, only: &str) -> Vec<&'static str> {
    let all = !network && !machine;
    let of = |kind: &'static [&str], wanted: bool| kind.iter().filter(move |_| wanted || all);
    let faults = of(&CONTAINERS, false).chain(of(&NETWORK, network)).chain(of(&MACHINE, machine));
    faults.copied().filter(|fault| fault.contains(only)).collect()
}

/// Those that may say that they need not meet anything.
const MAY_BE_IDLE: [&str; 22] = [
    "latency",
    "shape",
    "loss",
    "corrupt",
    "duplicate",
    "reorder",
    "bandwidth",
    "partition",
    "blackhole",
    "dns",
    "tcp",
    "http",
    "grpc",
    "tls",
    "postgres",
    "redis",
    "pids",
    "throttle",
    "disk-slow",
    "cpu",
    "memory",
    "zone-outage",
];

/// The same fault, which holds although nothing goes on at its targets.
pub(crate) fn idle(fault: &str) -> String {
    let is_one = MAY_BE_IDLE.iter().any(|kind| fault.split(':').next() == Some(kind));
    match fault.strip_suffix('}').filter(|_| is_one).map(str::trim_end) {
        Some(open) if open.ends_with('{') => format!("{open} idle: allowed }}"),
        Some(open) => format!("{open}, idle: allowed }}"),
        None => fault.to_owned(),
    }
}

/// An experiment on a part of a service. Its check is met by anything.
pub(crate) fn experiment(service: &str, fault: &str, (target, radius): (&str, &str), duration: &str) -> String {
    format!(
        "version: 1\nname: storm\nhypothesis: Nothing stays behind.\n\
         steady-state:\n  count: {{ engine: {{ service: {service}, count: running }}, rate: 4/s, expect: {{ value: {{ at-most: 1000 }} }} }}\n\
         target: {{ service: {service}, {target} }}\nfault: {{ {fault} }}\nblast-radius: {{ {radius} }}\n\
         timing: {{ baseline: 500ms, duration: {duration}, recovery: 2s }}\n"
    )
}
