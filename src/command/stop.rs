//! Whether somebody has asked this process to stop. A run that goes on hears it, too, and by itself; between two runs
//! nobody else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Listens for the signals that ask for a stop.
pub(super) struct Stop {
    asked: Arc<AtomicBool>,
    heard: watch::Receiver<bool>,
    _listener: JoinSet<()>,
}

impl Stop {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (tell, heard) = watch::channel(false);
        let mut listener = JoinSet::new();
        for (kind, name) in [
            (SignalKind::interrupt(), "SIGINT"),
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::hangup(), "SIGHUP"),
        ] {
            let mut signal = signal(kind).with_context(|| format!("cannot heed {name}"))?;
            let (asked, tell) = (asked.clone(), tell.clone());
            listener.spawn(async move {
                while signal.recv().await.is_some() {
                    asked.store(true, Ordering::Relaxed);
                    tell.send_replace(true);
                }
            });
        }
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
