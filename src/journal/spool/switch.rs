//! Where appends go: to the store or, while it is down, to the spool.

use tokio::sync::watch;

/// Up at first. Whoever sees the store fail sets it down; the drain sets it up.
pub(super) struct Switch {
    is_down: watch::Sender<bool>,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            is_down: watch::Sender::new(false),
        }
    }
}

impl Switch {
    /// Whether it is down.
    pub(super) fn is_down(&self) -> bool {
        *self.is_down.borrow()
    }

    /// Sets it down. Returns `false` when it was down before.
    pub(super) fn down(&self) -> bool {
        !self.is_down.send_replace(true)
    }

    /// Sets it up. Returns `false` when it was up before.
    pub(super) fn up(&self) -> bool {
        self.is_down.send_replace(false)
    }

    /// Waits until it is down.
    pub(super) async fn went_down(&self) {
        // `self` holds the sender, so it cannot be gone.
        self.is_down
            .subscribe()
            .wait_for(|is_down| *is_down)
            .await
            .ok();
    }

    /// Waits until it changes.
    pub(super) async fn turned(&self) {
        let mut seen = self.is_down.subscribe();
        let before = *seen.borrow_and_update();
        seen.wait_for(|is_down| *is_down != before).await.ok();
    }
}
