//! The conformance suite over the way to an engine that this process was told of, as Squall is told of it. By a helper where Squall itself
//! would have one.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use squall::engine::docker::{Docker, Endpoint, Named, NewContainer};
use squall::engine::node::Node;
use squall::engine::{Engine, Observe as _};
use squall::model::instance::{Change, Epoch, InstanceId, Rollback, Setting};
use squall::record::event::{Event, FORMAT, Started};
use squall::record::journal::Recorder;

use crate::conformance::{World, conforms, tag};

/// The word that this program is started with.
pub(crate) const CONFORM: &str = "conform";

/// The name of what it makes, and the label that this carries.
const NAME: &str = "squall-conforms";

/// Some containers on an engine.
struct Containers {
    docker: Arc<Docker>,
    node: Option<Arc<Node>>,
    image: String,
    made: usize,
}

/// Asks everything, with this program for Squall's.
///
/// # Errors
/// Where the engine cannot be reached; it panics where the engine is not as it must be.
pub(crate) async fn conform(squall: &Path) -> anyhow::Result<()> {
    let docker = Docker::reach(Endpoint::meant(Named::default())?).await?.with_binary(squall.to_owned());
    let docker = Arc::new(docker);
    let image = docker.image_of(squall, NAME).await?;
    docker.make_network(NAME, (NAME, "1")).await?;
    let node = if docker.is_on_its_host().await? {
        None
    } else {
        Some(Arc::new(Node::begin(Arc::clone(&docker), Some(&image)).await?))
    };
    let dir = tempfile::tempdir()?;
    let _run = node.as_ref().map(|node| plan(node, dir.path())).transpose()?;
    let mut containers = Containers { docker: Arc::clone(&docker), node, image, made: 0 };
    let ended = AssertUnwindSafe(conforms(&mut containers)).catch_unwind().await;
    if let Some(node) = &containers.node {
        node.end().await;
    }
    docker.remove_labelled(NAME, true).await?;
    docker.remove_images_of(NAME, None).await?;
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
    anyhow::ensure!(docker.observe().await?.is_empty(), "the suite has left something");
    Ok(())
}

/// Tells the node of a run with one change, as a runner does before it makes it.
fn plan(node: &Arc<Node>, dir: &Path) -> anyhow::Result<Recorder> {
    let id = tag().run;
    let run = Recorder::create(&PathBuf::from(dir).join(&id).join("journal.ndjson"))?;
    let keeper = Arc::clone(node);
    run.mirror(Box::new(move |line| keeper.tell(&id, line)));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/freeze-store.yaml");
    let started = Started {
        format: FORMAT,
        version: String::new(),
        run: tag().run,
        experiment: squall::command::load::experiment(&file).context("the experiment")?.value,
        file: String::new(),
        seed: 0,
        engine: node.describe(),
        owner: String::new(),
        process: None,
    };
    run.commit(Event::Started(Box::new(started)))?;
    let change = Change {
        n: 0,
        fault: 0,
        instance: InstanceId("x".to_owned()),
        name: "x".to_owned(),
        epoch: Epoch::default(),
        before: None,
        to: Setting::Paused(true),
        back: Rollback::Nothing,
    };
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    run.commit(Event::Planned { changes: vec![change], deadline })?;
    Ok(run)
}

#[async_trait]
impl World for Containers {
    fn engine(&self) -> &dyn Engine {
        match &self.node {
            Some(node) => node.as_ref(),
            None => self.docker.as_ref(),
        }
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        self.made += 1;
        let alias = format!("{name}-{}", self.made);
        let new = NewContainer {
            name: format!("{NAME}-{alias}"),
            image: self.image.clone(),
            command: ["serve", "store", "--listen", "0.0.0.0:8080"].map(str::to_owned).to_vec(),
            labels: vec![(NAME.to_owned(), "1".to_owned())],
            network: NAME.to_owned(),
            alias: alias.clone(),
            publish: None,
            restarts: false,
        };
        self.docker.start_new(new).await.expect("it starts");
        let fleet = self.docker.observe().await.expect("the engine answers");
        fleet.into_iter().find(|i| i.name == format!("{NAME}-{alias}")).expect("it is there").id
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.docker.remove_container(&id.0).await.expect("it is removed");
        true
    }

    fn service(&self) -> String {
        NAME.to_owned()
    }
}
