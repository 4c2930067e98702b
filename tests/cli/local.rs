//! The local engine does what every engine must do.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::fmt::Write as _;

use async_trait::async_trait;
use squall::engine::Engine;
use squall::engine::local::Local;
use squall::host::store::StateDir;
use squall::model::instance::InstanceId;

use crate::conformance::{Commands, World, conforms};

/// One stack; an instance is a service of its own.
struct Processes {
    dir: tempfile::TempDir,
    services: Vec<String>,
    local: Local,
}

impl Processes {
    fn open(dir: &tempfile::TempDir, services: &[String]) -> Local {
        let file = dir.path().join("s.yaml");
        let mut text = "version: 1\nname: s\nservices:\n  other: { command: [sleep, '81'] }\n".to_owned();
        for name in services {
            let command = "command: [squall, serve, store, --listen, '127.0.0.1:{port}']";
            writeln!(text, "  {name}: {{ {command}, port: {} }}", super::stack::ports(1)).unwrap();
        }
        std::fs::write(&file, text).unwrap();
        let state = StateDir::find(Some(dir.path().join("state"))).unwrap();
        Local::open(&state, &file).unwrap().with_binary(env!("CARGO_BIN_EXE_squall").into())
    }
}

#[async_trait]
impl World for Processes {
    fn engine(&self) -> &dyn Engine {
        &self.local
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        self.services.push(name.to_owned());
        self.local = Self::open(&self.dir, &self.services);
        self.local.up().await.unwrap();
        InstanceId(format!("{name}-1"))
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.services.retain(|name| format!("{name}-1") != id.0);
        Self::open(&self.dir, &self.services).up().await.unwrap();
        true
    }

    fn commands(&self) -> Option<Commands> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Some(Commands {
            succeeds: (words(&["echo", "hello"]), "hello".to_owned()),
            fails: (words(&["sh", "-c", "exit 3"]), 3),
            lasts: words(&["sleep", "82"]),
        })
    }

    fn service(&self) -> String {
        "target".to_owned()
    }
}

#[tokio::test]
async fn the_local_engine_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let local = Processes::open(&dir, &[]);
    let mut world = Processes { dir, services: Vec::new(), local };
    conforms(&mut world).await;
    assert_eq!(world.local.down().await.unwrap(), 1);
}
