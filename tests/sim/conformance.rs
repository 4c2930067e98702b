//! The sim does what every engine must do.

use std::sync::Arc;

use async_trait::async_trait;
use squall::engine::Engine;
use squall::engine::sim::{ExternalAction, Sim};
use squall::model::instance::InstanceId;

use crate::conforms::{Commands, World, conforms};
use crate::harness::STACK;

struct Dream {
    sim: Arc<Sim>,
    given: usize,
}

#[async_trait]
impl World for Dream {
    fn engine(&self) -> &dyn Engine {
        self.sim.as_ref()
    }

    async fn instance(&mut self, _: &str) -> InstanceId {
        self.given += 1;
        InstanceId(format!("shop-{}", self.given))
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.sim.act_on(id, ExternalAction::Remove);
        true
    }

    fn commands(&self) -> Option<Commands> {
        None
    }

    fn service(&self) -> String {
        "shop".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn the_sim_conforms() {
    conforms(&mut Dream { sim: Sim::of_stack(&serde_yaml::from_str(STACK).unwrap()), given: 0 }).await;
}
