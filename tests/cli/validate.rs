//! `squall validate` and `squall schema`: every mistake at once, each where it stands; editors see the same format.

mod schema;
mod slips;

use slips::{DOUBTS, SHAPE, SLIPS, Slip};

use crate::harness::Squall;

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
