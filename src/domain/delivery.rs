//! The states of an event, of its links and of its deliveries, and where an event came from.

use super::words::worded;

worded! {
    /// Where an event stands.
    ///
    /// `received -> retrieving -> delivering -> done`; `dead` from either of the two in the middle, and a replay leads
    /// back. `quarantined` is for authentic bytes that are not a usable notification; nothing works on those.
    EventState, "event state" {
        /// On disk, not yet worked on.
        Received = "received",
        /// Its links are being fetched, or wait for the next attempt.
        Retrieving = "retrieving",
        /// What there is to fetch is fetched; the sinks get it.
        Delivering = "delivering",
        /// Every sink has it.
        Done = "done",
        /// Given up, with a reason; an operator can replay it.
        Dead = "dead",
        /// Authentic bytes that could not be read.
        Quarantined = "quarantined",
        /// An operator removed its content before every sink had it; nothing is left to do.
        Purged = "purged",
    }
}

worded! {
    /// Where one link stands.
    LinkState, "link state" {
        /// Not fetched yet.
        Pending = "pending",
        /// Fetched; its body is stored.
        Fetched = "fetched",
        /// It never came within its time, or it is not one to follow.
        Missing = "missing",
        /// The vendor's answer was final and not a success.
        Failed = "failed",
    }
}

worded! {
    /// Why a link's content will not come, or came without any, beyond what its answers say.
    LinkCause, "link cause" {
        /// It is not asked for, by the configuration or since it asks for another method than GET.
        NotFollowed = "not_followed",
        /// It is required, and neither linked nor one of the session's standard links.
        NotLinked = "not_linked",
        /// It stands for how the session ended, which cannot be found out.
        Unknowable = "unknowable",
        /// It is fetched, and its answer never held any content.
        Empty = "empty",
    }
}

worded! {
    /// Where one delivery to one sink stands.
    DeliveryState, "delivery state" {
        /// To be delivered, now or at the next attempt.
        Pending = "pending",
        /// The sink has confirmed it.
        Delivered = "delivered",
        /// Given up or rejected, with a reason.
        Dead = "dead",
    }
}

worded! {
    /// How an event came in.
    Source, "source" {
        /// By the vendor's POST.
        Webhook = "webhook",
        /// Found by asking for a session that was expected.
        Reconcile = "reconcile",
        /// By asking again for what an event was delivered without.
        Refresh = "refresh",
        /// By an operator's command.
        Cli = "cli",
    }
}
