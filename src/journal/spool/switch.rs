//! Where appends go: to the store, or, while it is down, to the spool.

use tokio::sync::watch;

/// Up at first. Whoever sees the store fail turns it down; the drain turns it up.
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

    /// Turns it down; `false` when it was.
    pub(super) fn down(&self) -> bool {
        !self.is_down.send_replace(true)
    }

    /// Turns it up; `false` when it was.
    pub(super) fn up(&self) -> bool {
        self.is_down.send_replace(false)
    }

    /// Waits until it is down.
    pub(super) async fn went_down(&self) {
        // The sender is self, so it is not gone.
        self.is_down
            .subscribe()
            .wait_for(|is_down| *is_down)
            .await
            .ok();
    }

    /// Waits until it is turned.
    pub(super) async fn turned(&self) {
        let mut seen = self.is_down.subscribe();
        let before = *seen.borrow_and_update();
        seen.wait_for(|is_down| *is_down != before).await.ok();
    }
}
