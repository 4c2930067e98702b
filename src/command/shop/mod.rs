//! The demonstration: a small shop that is made, disturbed twice, and taken away.
//!
//! What it runs are the files that people find in `experiments/` and `examples/shop/`, with the ports that are free here.

pub mod serve;
mod site;

use std::net::{Ipv4Addr, TcpListener};

pub use site::DemoStack;

use crate::model::exit::Verdict;

/// The name of the stack, of its network on Docker, and of its image.
pub const NAME: &str = "squall-demo";
/// The label of everything that the demonstration makes on Docker; its value tells one demonstration from another.
pub const LABEL: &str = "squall.demo";

/// One of the two experiments.
#[derive(Debug, Clone, Copy)]
pub struct Act {
    /// The name of its file.
    pub file: &'static str,
    text: &'static str,
    /// What to expect, for people.
    pub words: [&'static str; 2],
    /// What it shall come to.
    pub expected: Verdict,
}

/// The two experiments, in their order.
pub const ACTS: [Act; 2] = [
    Act {
        file: "kill-one-shop.yaml",
        text: include_str!("../../../experiments/kill-one-shop.yaml"),
        words: [
            "One of the three shops is killed while 50 customers a second check out.",
            "The gateway goes on to the next shop, so hardly anybody should notice: expect it to hold.",
        ],
        expected: Verdict::Held,
    },
    Act {
        file: "freeze-store.yaml",
        text: include_str!("../../../experiments/freeze-store.yaml"),
        words: [
            "The only store is frozen: it keeps its connections and answers nothing.",
            "No customer can check out; expect it to break, and the store to be thawed at the first failure too many.",
        ],
        expected: Verdict::Broken,
    },
];

/// The ports of the stack on this machine's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The gateway, whom customers ask.
    pub gateway: u16,
    /// The first of the three shops. On Docker nobody here sees them.
    pub shops: u16,
    /// The store.
    pub store: u16,
}

impl Ports {
    /// The ports of the files as they stand.
    pub const USUAL: Self = Self { gateway: 8080, shops: 8081, store: 8090 };

    /// The usual ports where they are free, else the next ones that are; nothing where none are.
    #[must_use]
    pub fn free() -> Option<Self> {
        let gateway = free_row(Self::USUAL.gateway, 1)?;
        let shops = free_row(Self::USUAL.shops.max(gateway.checked_add(1)?), 3)?;
        let store = free_row(Self::USUAL.store.max(shops.checked_add(3)?), 1)?;
        Some(Self { gateway, shops, store })
    }

    fn each(self) -> [u16; 5] {
        [self.gateway, self.shops, self.shops + 1, self.shops + 2, self.store]
    }
}

/// The first of `count` ports in a row on loopback that no process listens on.
fn free_row(from: u16, count: u16) -> Option<u16> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (from..=u16::MAX - count).find(|first| (*first..first + count).all(is_free))
}

impl Act {
    /// The experiment on a gateway at another port.
    #[must_use]
    pub fn experiment(&self, ports: Ports) -> String {
        with_ports(self.text, ports)
    }
}

/// The stack file of the demonstration on local processes.
#[must_use]
pub fn stack(ports: Ports) -> String {
    let text = include_str!("../../../examples/shop/stack.yaml");
    with_ports(&text.replace("name: shop\n", &format!("name: {NAME}\n")), ports)
}

/// A text with other ports than the usual ones. In one pass, so that no port is replaced twice.
fn with_ports(text: &str, ports: Ports) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let port = Ports::USUAL.each().into_iter().zip(ports.each());
        let found = port.filter_map(|(usual, free)| Some((rest.find(&usual.to_string())?, free))).min();
        let Some((at, free)) = found else { break };
        filled.push_str(&rest[..at]);
        filled.push_str(&free.to_string());
        rest = &rest[at + 4..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::stack::Stack;

    #[test]
    fn the_stack_follows_its_ports() {
        let ports = Ports { gateway: 8081, shops: 8090, store: 8080 };
        let stack: Stack = serde_yaml::from_str(&stack(ports)).unwrap();
        assert_eq!(stack.name, NAME);
        let replicas = stack.replicas().unwrap();
        let of = |name: &str| replicas.iter().find(|r| r.name == name).unwrap();
        assert_eq!((of("gateway-1").port, of("store-1").port), (Some(8081), Some(8080)));
        assert_eq!((of("shop-3").port, of("shop-3").zone.as_deref()), (Some(8092), Some("c")));
        assert!(of("shop-3").command.contains(&"127.0.0.1:8080".to_owned()), "it asks the store");
        let shops = "127.0.0.1:8090,127.0.0.1:8091,127.0.0.1:8092";
        assert!(of("gateway-1").command.contains(&shops.to_owned()));
    }

    #[test]
    fn the_experiments_follow_the_gateway() {
        for act in ACTS {
            assert_eq!(act.experiment(Ports::USUAL), act.text);
            let moved = act.experiment(Ports { gateway: 9999, ..Ports::USUAL });
            assert!(moved.contains("http://127.0.0.1:9999/checkout") && !moved.contains("8080"), "{moved}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_not_chosen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert!(free_row(taken.saturating_sub(1), 2).unwrap() > taken || taken == u16::MAX);
    }
}
