//! The Docker engine does what every engine must do.

use async_trait::async_trait;
use squall::engine::docker::Docker;
use squall::engine::{Engine, Kind};
use squall::model::instance::InstanceId;

use crate::conformance::{World, conforms};
use crate::harness::{Sandbox, Spec};

#[async_trait]
impl World for Sandbox {
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

    fn service(&self) -> String {
        self.name("shop")
    }
}

/// Carries every connection on, until it is dropped.
async fn forward(listener: tokio::net::TcpListener) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut far = tokio::net::UnixStream::connect("/var/run/docker.sock").await.expect("the engine's socket");
            // How a connection ends is the business of its two ends.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

#[tokio::test]
async fn docker_over_tcp_does_too_and_another_process_finds_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut forwarding = tokio::task::JoinSet::new();
    forwarding.spawn(forward(listener));
    let mut sandbox = Sandbox::new().await;
    sandbox.docker = Docker::connect(Some(&address)).await.unwrap();
    let described = sandbox.docker.describe();
    assert_eq!((described.kind, &described.address), (Kind::Docker, &address));
    sandbox.docker =
        Docker::from_description(&described).await.unwrap().with_binary(env!("CARGO_BIN_EXE_squall").into());
    conforms(&mut sandbox).await;
}

#[tokio::test]
async fn docker_does_what_every_engine_must() {
    conforms(&mut Sandbox::new().await).await;
}
