use super::*;

/// A directory as `docker context create` leaves it.
fn directory(current: &str, contexts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(r#"{{ "auths": {{}}, "currentContext": "{current}" }}"#);
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    for (n, (name, endpoint)) in contexts.iter().enumerate() {
        let meta = dir.path().join(format!("contexts/meta/id{n}"));
        std::fs::create_dir_all(&meta).unwrap();
        let text = format!(r#"{{ "Name": "{name}", "Metadata": {{}}, "Endpoints": {{ "docker": {endpoint} }} }}"#);
        std::fs::write(meta.join("meta.json"), text).unwrap();
    }
    dir
}

fn settings(dir: &tempfile::TempDir) -> Settings {
    Settings { directory: Some(dir.path().to_owned()), ..Settings::default() }
}

const STAGING: (&str, &str) = ("staging", r#"{ "Host": "ssh://me@staging" }"#);
const PROD: (&str, &str) = ("prod", r#"{ "Host": "tcp://10.0.0.9:2376", "SkipTLSVerify": false }"#);

/// The first that says something decides, from the command line to the usual socket.
#[test]
fn the_rules_come_one_after_the_other() {
    let dir = directory("staging", &[STAGING, PROD]);
    let all = Settings { host: Some("tcp://b:1".into()), context: Some("prod".into()), ..settings(&dir) };
    let chosen = |settings: &Settings, host, context| {
        let endpoint = settings.choose(Named { host, context }).unwrap();
        (endpoint.address, endpoint.by)
    };
    let of = |address: &str, by| (address.to_owned(), by);
    assert_eq!(chosen(&all, Some("unix:///a"), None), of("unix:///a", Rule::Host));
    assert_eq!(chosen(&all, None, Some("staging")), of("ssh://me@staging", Rule::Context("staging".into())));
    assert_eq!(chosen(&all, None, Some("default")), of("tcp://b:1", Rule::Context("default".into())));
    assert_eq!(chosen(&all, None, None), of("tcp://b:1", Rule::HostVariable));
    let less = Settings { host: None, ..all };
    assert_eq!(chosen(&less, Some(""), None), of("tcp://10.0.0.9:2376", Rule::ContextVariable("prod".into())));
    let least = Settings { context: None, ..less };
    assert_eq!(chosen(&least, None, None), of("ssh://me@staging", Rule::CurrentContext("staging".into())));
    for current in ["", "default"] {
        let dir = directory(current, &[STAGING]);
        let by = if current.is_empty() { Rule::Usual } else { Rule::CurrentContext("default".into()) };
        assert_eq!(chosen(&settings(&dir), None, None), of(DEFAULT_HOST, by));
    }
    assert_eq!(chosen(&settings(&tempfile::tempdir().unwrap()), None, None), of(DEFAULT_HOST, Rule::Usual));
    assert_eq!(chosen(&Settings::default(), None, None), of(DEFAULT_HOST, Rule::Usual));
}

#[test]
fn a_context_that_is_missing_or_says_nothing_is_an_error_that_names_the_rule() {
    let dir = directory("gone", &[STAGING, ("empty", "{}")]);
    let says = |settings: &Settings, context| settings.choose(Named { host: None, context }).unwrap_err();
    let gone = says(&settings(&dir), None);
    assert!(
        gone.contains("`gone`") && gone.contains("current Docker context") && gone.contains("default, empty, staging")
    );
    assert!(says(&settings(&dir), Some("nope")).contains("--context nope"));
    assert!(says(&settings(&dir), Some("empty")).contains("no address"));
    std::fs::write(dir.path().join("config.json"), "{").unwrap();
    assert!(says(&settings(&dir), None).contains("config.json"), "what cannot be read is no default");
}

/// TLS comes from the variables for an address, and from the context's own directory for a context.
#[test]
fn tls_is_that_of_the_variables_or_of_the_context() {
    let dir = directory("", &[PROD, ("lax", r#"{ "Host": "tcp://h", "SkipTLSVerify": true }"#)]);
    let own = dir.path().join("contexts/tls/id0/docker");
    std::fs::create_dir_all(&own).unwrap();
    let plain = settings(&dir);
    let chosen = |settings: &Settings, named: Named<'_>| {
        let endpoint = settings.choose(named).unwrap();
        (endpoint.address, endpoint.tls)
    };
    let host = |host| Named { host: Some(host), context: None };
    let context = |context| Named { host: None, context: Some(context) };
    assert_eq!(
        chosen(&plain, context("prod")),
        ("tcp://10.0.0.9:2376".into(), Some(Tls { directory: own, verify: true }))
    );
    let (address, tls) = chosen(&plain, context("lax"));
    assert_eq!((address.as_str(), tls.unwrap().verify), ("tcp://h:2376", false));
    assert_eq!(chosen(&plain, host("tcp://h")), ("tcp://h:2375".into(), None));
    assert_eq!(chosen(&plain, host("tcp://[::1]")), ("tcp://[::1]:2375".into(), None));
    let by_variable = Settings { verify: true, certificates: Some("/c".into()), ..plain };
    let tls = Some(Tls { directory: "/c".into(), verify: true });
    assert_eq!(chosen(&by_variable, host("tcp://[::1]:9")), ("tcp://[::1]:9".into(), tls.clone()));
    assert_eq!(chosen(&by_variable, host("tcp://h/")), ("tcp://h:2376".into(), tls));
    assert_eq!(chosen(&by_variable, host("unix:///s")).1, None, "a socket needs none");
    assert_eq!(chosen(&by_variable, host("ssh://h")).1, None);
}

/// The command by hand means the engine of the run, whatever `docker` would use by itself.
#[test]
fn by_hand_the_engine_is_named_where_docker_could_mean_another() {
    let dir = directory("staging", &[STAGING]);
    let usual = Endpoint::at(DEFAULT_HOST);
    assert_eq!(usual.words(&Settings::default(), false), "docker");
    assert_eq!(usual.words(&settings(&dir), false), "docker --host unix:///var/run/docker.sock");
    assert_eq!(Endpoint::at("tcp://h:1").words(&Settings::default(), false), "docker --host tcp://h:1");
    assert_eq!(Endpoint::at("unix:///p.sock").words(&Settings::default(), true), "podman --url unix:///p.sock");
    std::fs::write(dir.path().join("ca.pem"), "").unwrap();
    let tls = Some(Tls { directory: dir.path().to_owned(), verify: true });
    let words = Endpoint { tls, ..Endpoint::at("tcp://h:1") }.words(&Settings::default(), false);
    assert_eq!(
        words,
        format!("docker --host tcp://h:1 --tlsverify --tlscacert {}", dir.path().join("ca.pem").display())
    );
}
