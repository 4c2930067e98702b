//! The Docker engine does what every engine must do.

use async_trait::async_trait;
use squall::engine::Engine;
use squall::engine::docker::PROGRAM;
use squall::instance::InstanceId;

use crate::conformance::{Commands, World, conforms};
use crate::harness::{Spec, Yard};

#[async_trait]
impl World for Yard {
    fn engine(&self) -> &dyn Engine {
        &self.docker
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        self.start(name, Spec::default()).await
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.docker.remove_container(&id.0).await.expect("it is removed");
        true
    }

    fn commands(&self) -> Option<Commands> {
        let command = |words: &[&str]| [PROGRAM].iter().chain(words).map(|w| (*w).to_owned()).collect::<Vec<_>>();
        Some(Commands {
            succeeds: (command(&["--version"]), "squall".to_owned()),
            fails: (command(&["no-such-command"]), 2),
            lasts: command(&["serve", "store", "--listen", "127.0.0.1:9999"]),
        })
    }

    fn service(&self) -> String {
        self.name("shop")
    }
}

#[tokio::test]
async fn docker_does_what_every_engine_must() {
    conforms(&mut Yard::new().await).await;
}
