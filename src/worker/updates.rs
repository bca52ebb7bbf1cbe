//! What an attempt has to write down: each link once, as it stands now.

use bytes::Bytes;

use crate::journal::{Link, LinkUpdate};

/// Links that changed since they were last written down.
#[derive(Debug, Default)]
pub(super) struct Updates(Vec<LinkUpdate>);

impl Updates {
    /// A link stands so now, whatever was to be written of it before.
    pub(super) fn put(&mut self, link: &Link, body: Option<Bytes>) {
        self.0.retain(|update| update.link.n != link.n);
        self.0.push(LinkUpdate {
            link: link.clone(),
            body,
        });
    }

    /// Whether something fetched is among them.
    pub(super) fn has_bodies(&self) -> bool {
        self.0.iter().any(|update| update.body.is_some())
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<LinkUpdate> {
        self.0.clone()
    }

    /// They are written down.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
