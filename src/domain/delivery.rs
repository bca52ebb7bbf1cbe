//! The states of an event, of its links and of its deliveries, and how an event entered the service.

use super::words::worded;

worded! {
    /// The state of an event.
    ///
    /// `received -> retrieving -> delivering -> done`. Retrieving and delivering may end in `dead`; a replay leads back
    /// from it. `quarantined` is for authentic bytes that are not a usable notification; they are not processed.
    EventState, "event state" {
        /// Stored, not yet processed.
        Received = "received",
        /// Its links are being fetched, or the next attempt is awaited.
        Retrieving = "retrieving",
        /// Everything was fetched, and is being delivered to the sinks.
        Delivering = "delivering",
        /// Every sink has accepted it.
        Done = "done",
        /// Given up, with a reason. An operator can replay it.
        Dead = "dead",
        /// Authentic bytes that could not be parsed.
        Quarantined = "quarantined",
        /// An operator has removed its content before every sink had it. Nothing more is done.
        Purged = "purged",
    }
}

worded! {
    /// The state of one link.
    LinkState, "link state" {
        /// Not fetched yet.
        Pending = "pending",
        /// Fetched; the answer's body is stored.
        Fetched = "fetched",
        /// Given up because it was not there within its time, or not to be followed.
        Missing = "missing",
        /// The vendor's answer was a final failure.
        Failed = "failed",
    }
}

worded! {
    /// Why a link will not be fetched, or was fetched without content, where its HTTP status does not tell.
    LinkCause, "link cause" {
        /// It is not fetched: the configuration excludes its group, or it asks for another method than GET.
        NotFollowed = "not_followed",
        /// Its group is required, but neither linked nor among the session's standard links.
        NotLinked = "not_linked",
        /// The entry for a session's outcome that cannot be found out.
        Unknowable = "unknowable",
        /// It was fetched, but its answer never held any content.
        Empty = "empty",
    }
}

worded! {
    /// The state of one delivery to one sink.
    DeliveryState, "delivery state" {
        /// To be delivered, now or at the next attempt.
        Pending = "pending",
        /// The sink has accepted it.
        Delivered = "delivered",
        /// Given up or rejected, with a reason.
        Dead = "dead",
    }
}

worded! {
    /// How an event entered the service.
    Source, "source" {
        /// By the vendor's POST.
        Webhook = "webhook",
        /// Recovered by polling an expected session.
        Reconcile = "reconcile",
        /// Made by fetching again the content of a delivered event.
        Refresh = "refresh",
        /// By an operator's command.
        Cli = "cli",
    }
}
