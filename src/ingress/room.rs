//! The bound on what is held in memory: bytes of bodies that are being received or written down.
//!
//! Without it ten thousand connections with a megabyte each would be more than the machine has.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    ample: usize,
}

/// Bytes that are taken until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Taken(Option<OwnedSemaphorePermit>);

impl Taken {
    /// The body that takes this room. It is free again when nobody holds the bytes any more: the request may be answered
    /// long before what it brought is written down, as when a disk hangs.
    pub(super) fn by(self, body: Bytes) -> Bytes {
        Bytes::from_owner(Held { body, _room: self })
    }
}

/// A body and its room.
struct Held {
    body: Bytes,
    _room: Taken,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Room {
    /// Room for `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            ample: bytes / 2,
        }
    }

    /// Whether half of it is free: room for what is only nice to have.
    pub(super) fn is_ample(&self) -> bool {
        self.free.available_permits() >= self.ample
    }

    /// Takes so many more bytes; `false` when there is no room. Never waits: who waits holds what came before.
    pub(super) fn take(&self, bytes: usize, taken: &mut Taken) -> bool {
        let more = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.free).try_acquire_many_owned(bytes).ok());
        match (&mut taken.0, more) {
            (_, None) => return false,
            (Some(permit), Some(more)) => permit.merge(more),
            (none, more) => *none = more,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_free_again_when_dropped_and_never_more_than_there_is() {
        let (room, mut one, mut other) = (Room::new(10), Taken::default(), Taken::default());
        assert!(room.take(4, &mut one));
        assert!(room.take(3, &mut one));
        assert!(!room.take(4, &mut other), "7 of 10 are taken");
        assert!(room.take(3, &mut other));
        drop(one);
        assert!(room.is_ample());
        assert!(room.take(7, &mut other));
        assert!(!room.is_ample());
        assert!(!room.take(1, &mut other));
    }

    #[test]
    fn a_body_takes_its_room_for_as_long_as_anyone_holds_it() {
        let (room, mut taken) = (Room::new(4), Taken::default());
        assert!(room.take(4, &mut taken));
        let body = taken.by(Bytes::from_static(b"body"));
        let queued = body.clone();
        drop(body);
        assert!(!room.take(1, &mut Taken::default()));
        assert_eq!(&queued[..], b"body");
        drop(queued);
        assert!(room.take(4, &mut Taken::default()));
    }
}
