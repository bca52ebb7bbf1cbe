//! The signals that the service listens to.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handlers of SIGTERM and SIGINT (stop), SIGHUP (reload) and SIGXFSZ.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Caught and ignored, so that a write beyond a file size limit is an error like a full disk and does not end the
    /// process.
    _file_size: Signal,
}

/// SIGXFSZ, which has the same number on every supported Linux architecture (signal(7)).
const FILE_SIZE: SignalKind = SignalKind::from_raw(25);

impl Signals {
    /// Starts listening; from now on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(FILE_SIZE)?,
        })
    }

    /// Whether a SIGHUP has come that was not handled yet.
    pub async fn is_reload_pending(&mut self) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, self.hangup.recv())
            .await
            .is_ok()
    }

    /// Waits for SIGTERM or SIGINT and calls `reload` for each SIGHUP meanwhile. A reload under way delays neither.
    pub async fn stop(&mut self, mut reload: impl AsyncFnMut()) -> &'static str {
        let Self {
            terminate,
            interrupt,
            hangup,
            _file_size,
        } = self;
        let reloads = async {
            while hangup.recv().await.is_some() {
                reload().await;
            }
            std::future::pending().await
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            never = reloads => never,
        }
    }
}
