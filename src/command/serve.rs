//! `squall serve`: one service of the demonstration's stack.

use std::process::ExitCode;

use anyhow::bail;

use crate::command::cli::{self, Role};
use crate::command::shop::serve::Service;

pub(super) async fn run(args: cli::Serve) -> anyhow::Result<ExitCode> {
    let name = if args.name.is_empty() { format!("{:?}", args.role).to_lowercase() } else { args.name };
    let mut upstream = args.upstream;
    let service = match (args.role, upstream.len()) {
        (Role::Gateway, 1..) => Service::gateway(name, upstream),
        (Role::Shop, 1) => Service::shop(name, upstream.remove(0)),
        (Role::Store, 0) => Service::store(name),
        (Role::Gateway, 0) => bail!("a gateway needs its shops: --upstream HOST:PORT,HOST:PORT"),
        (Role::Shop, _) => bail!("a shop needs its store: --upstream HOST:PORT"),
        (Role::Store, _) => bail!("a store has no upstream: leave --upstream away"),
    };
    service.run(&args.listen).await?;
    Ok(ExitCode::SUCCESS)
}
