//! `squall node`: the helper on an engine's own host. It does there what needs the host, for a runner elsewhere, and is the guard of its
//! node: with the end of the stream to the runner, five seconds without a word, SIGTERM or a run's deadline it rolls back alone.

mod alone;
mod calls;
mod replica;
mod serve;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use self::alone::Ended;
use self::calls::Calls;
use self::serve::Server;
use crate::command::cli;
use crate::engine::docker::{self, Docker};
use crate::engine::node::protocol::{FromNode, Hello, PROTOCOL};
use crate::engine::{Engine as _, EngineError};
use crate::host::mounts::MachineRoot;

pub(super) async fn run(args: cli::Node) -> anyhow::Result<ExitCode> {
    let session = args.session.as_path();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let docker = engine(&args.socket).await?;
    let container = docker.own_container().map(str::to_owned);
    let hello = Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        engine: docker.describe().id,
        container,
    };
    let calls = Calls::new(docker, session.to_owned());
    let server = Server::new(calls.clone()).context("standard input and output are no pipes to a runner");
    let mut server = server?;
    server.say(FromNode::Hello(hello));
    let ended = tokio::select! {
        ended = server.serve() => ended,
        _ = terminate.recv() => Ended::Terminated,
    };
    server.end().await;
    // From here on nothing ends it before it has tried everything once.
    let told = async move {
        if ended != Ended::Terminated {
            terminate.recv().await;
        }
    };
    alone::all(session, &calls.docker(), ended, told).await;
    Ok(ExitCode::SUCCESS)
}

/// The engine of this node: by its socket as the host has it now, since a socket that was mounted is another one's once the engine was
/// restarted; else by that one.
async fn engine(socket: &Path) -> Result<Docker, EngineError> {
    let now = MachineRoot::find().path.join(socket.strip_prefix("/").unwrap_or(socket));
    let mounted = Docker::connect(Some(&format!("unix://{}", docker::SOCKET))).await;
    let by_host = Docker::connect(Some(&format!("unix://{}", now.display()))).await;
    match (by_host, mounted) {
        (Ok(by_host), Ok(mounted)) if by_host.describe().id == mounted.describe().id => Ok(by_host.of_helper()),
        (_, mounted) => mounted.map(Docker::of_helper),
    }
}
