//! What a request meets on its way through the world: whose turn it is, who does not answer, whose traffic is disturbed.

use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::engine::sim::traffic::{Crossing, Met, PacketDecision};
use crate::model::instance::{Instance, InstanceId};

impl World {
    /// What a request to a service meets: its instances take turns, callers notice one that does not answer after
    /// `failover` and ask the next, and it cannot answer without the services that it needs. Nobody: the customer.
    pub(in crate::engine::sim) fn request(&mut self, caller: Option<&InstanceId>, service: &str, now: Instant) -> Met {
        let Some(s) = self.services.get(service).cloned() else { return Met::Refused };
        let members: Vec<InstanceId> =
            self.instances.values().filter(|i| i.service == service).map(|i| i.id.clone()).collect();
        if members.is_empty() {
            return Met::Refused;
        }
        if let PacketDecision::Stopped(met, _) = self.name_found(caller, service) {
            return met;
        }
        let failover = s.failover.map_or(Duration::ZERO, |f| f.0);
        let turn = self.turns.entry(service.to_owned()).and_modify(|turn| *turn += 1).or_default();
        let turn = *turn;
        let mut first = None;
        for k in 0..members.len() {
            let id = &members[(turn + k) % members.len()];
            let port = s.port.unwrap_or_default();
            let fate = match self.silent.get(id) {
                Some(since) => PacketDecision::Stopped(self.met(id), *since),
                None => self.travels(caller, id, port, now),
            };
            let met = match fate {
                PacketDecision::Stopped(met, since) if now.saturating_duration_since(since) < failover => return met,
                PacketDecision::Stopped(met, _) => met,
                PacketDecision::Passes(late) => match self.needs(id, &s.needs, now) {
                    Met::Answer(later, behind) => {
                        let zoned = self.instances.get(id).is_some_and(|i| i.zone.is_some());
                        return Met::Answer(late + later, if zoned { Some(id.clone()) } else { behind });
                    }
                    met => met,
                },
            };
            first.get_or_insert(met);
        }
        first.unwrap_or(Met::Refused)
    }

    /// What an instance meets that asks all services it cannot answer without.
    fn needs(&mut self, id: &InstanceId, services: &[String], now: Instant) -> Met {
        let (mut late, mut by) = (Duration::ZERO, None);
        for service in services {
            match self.request(Some(id), service, now) {
                Met::Answer(more, behind) => {
                    late += more;
                    by = by.or(behind);
                }
                met => return met,
            }
        }
        Met::Answer(late, by)
    }

    /// Whether the caller finds the address of a service.
    fn name_found(&mut self, caller: Option<&InstanceId>, service: &str) -> PacketDecision {
        match caller.and_then(|id| Some((self.disturbed.get(id)?, self.instances.get_mut(id)?))) {
            Some((disturbed, i)) => disturbed.asks_for(service, i.counted.get_or_insert_default()),
            None => PacketDecision::Passes(Duration::ZERO),
        }
    }

    /// A request and its response on their way between two instances, through whatever disturbs the traffic of either.
    fn travels(&mut self, caller: Option<&InstanceId>, to: &InstanceId, port: u16, now: Instant) -> PacketDecision {
        let other =
            |id: Option<&InstanceId>| id.and_then(|id| self.instances.get(id)).unwrap_or(&self.customer).clone();
        let (asking, asked) = (other(caller), other(Some(to)));
        // What runs on a node that is cut off reaches the others there, and nothing else.
        let cut = [&asking, &asked].into_iter().filter_map(|i| self.cut.get(&i.id)).min();
        if let Some(since) = cut.filter(|_| asking.node != asked.node) {
            return PacketDecision::Stopped(Met::Silence, *since);
        }
        let mut late = Duration::ZERO;
        for (asks, arrives) in [(true, false), (false, true), (false, false), (true, true)] {
            let (here, peer) = if asks { (&asking, &asked) } else { (&asked, &asking) };
            let Some(disturbed) = self.disturbed.get_mut(&here.id) else { continue };
            let Some(i) = self.instances.get_mut(&here.id) else { continue };
            let packet = Crossing { arrives, asks, port, peer };
            match disturbed.meets(&packet, now, i.counted.get_or_insert_default()) {
                PacketDecision::Passes(more) => late += more,
                stopped @ PacketDecision::Stopped(..) => return stopped,
            }
        }
        PacketDecision::Passes(late)
    }

    fn met(&self, id: &InstanceId) -> Met {
        if self.instances.get(id).is_some_and(Instance::is_running) { Met::Silence } else { Met::Refused }
    }
}
