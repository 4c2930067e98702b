//! Whether somebody has asked this process to stop. A run that goes on hears it, too, and by itself; between two runs
//! nobody else does.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The signals that ask for a stop, with their names. Each who listens hears all of them.
pub(super) struct Signals(Vec<(Signal, &'static str)>);

impl Signals {
    /// Listens for all of them.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let mut signals = Self::but_hangup()?;
        signals.0.push(heed(SignalKind::hangup(), "SIGHUP")?);
        Ok(signals)
    }

    /// The same without SIGHUP, which means something else to a daemon.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub(super) fn but_hangup() -> anyhow::Result<Self> {
        Ok(Self(vec![heed(SignalKind::interrupt(), "SIGINT")?, heed(SignalKind::terminate(), "SIGTERM")?]))
    }

    /// The name of the next one.
    pub(super) async fn next(&mut self) -> &'static str {
        let each = self.0.iter_mut().map(|(signal, name)| {
            let heard = async {
                if signal.recv().await.is_none() {
                    // The runtime ends, and no signal is heard any more.
                    pending::<()>().await;
                }
                *name
            };
            heard.boxed()
        });
        select_all(each).await.0
    }

    /// The name of one that has come already.
    pub(super) fn come(&mut self) -> Option<&'static str> {
        self.next().now_or_never()
    }
}

fn heed(kind: SignalKind, name: &'static str) -> anyhow::Result<(Signal, &'static str)> {
    Ok((signal(kind).with_context(|| format!("cannot heed {name}"))?, name))
}

/// Remembers whether any of them has come.
pub(super) struct Stop {
    asked: Arc<AtomicBool>,
    heard: watch::Receiver<bool>,
    _listener: JoinSet<()>,
}

impl Stop {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (tell, heard) = watch::channel(false);
        let mut signals = Signals::listen()?;
        let mut listener = JoinSet::new();
        let flag = asked.clone();
        listener.spawn(async move {
            loop {
                signals.next().await;
                flag.store(true, Ordering::Relaxed);
                tell.send_replace(true);
            }
        });
        Ok(Self { asked, heard, _listener: listener })
    }

    /// What a run looks at that begins after the signal.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.asked.clone()
    }

    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks.
    pub(super) async fn wait(&self) {
        // The listener, which sends, lives as long as this.
        let _ = self.heard.clone().wait_for(|asked| *asked).await;
    }
}
