//! The contract of `Store`, run against each implementation and against the failing store while it does not fail.

mod holding;
mod jobs;
mod looking;
mod operating;
mod pausing;
mod replaying;
mod retrieving;
mod work;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use suki_receiver::domain::{Clock, EventId, EventState};
use suki_receiver::journal::{
    Access, Appended, ClaimedDelivery, ClaimedEvent, DeliveryEnd, Ended, Error, Inbox, Journal,
    LateEvent, Lease, Received, SqliteStore, Store,
};
use suki_receiver::metrics::Metrics;
use suki_receiver::signature::{Claim, SecretBytes, Secrets, SentBody, Verified, sign, verify};

pub use self::work::*;
use super::{amendments, expected};
use crate::support::{Database, FailingStore, failure, until};

/// Events that are worked on at once.
const ROOM: usize = 2;

/// A store, and what it lives in as long.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub journal: Journal,
    pub inbox: Inbox,
    pub clock: Clock,
    _lives_in: Box<dyn Send>,
}

impl Opened {
    pub async fn events(&self) -> Vec<ClaimedEvent> {
        claim_events(&*self.store, self.clock).await
    }

    /// The only event that is due.
    pub async fn event(&self) -> ClaimedEvent {
        only(self.events().await)
    }

    pub async fn deliveries(&self, sink: &str) -> Vec<ClaimedDelivery> {
        claim_deliveries(&*self.store, sink, self.clock).await
    }

    /// The only delivery that is due at this sink.
    pub async fn delivery(&self, sink: &str) -> ClaimedDelivery {
        only(self.deliveries(sink).await)
    }

    pub async fn late(&self) -> Vec<LateEvent> {
        claim_late(&*self.store, self.clock).await
    }

    pub async fn end(&self, lease: &Lease, how: impl Into<Ending>) -> Ended {
        end(&*self.store, lease, how).await
    }

    pub fn delivered(&self) -> DeliveryEnd {
        delivered(self.clock)
    }

    /// Makes the only delivery that is due at this sink.
    pub async fn make(&self, sink: &str, how: DeliveryEnd) -> Ended {
        let delivery = self.delivery(sink).await;
        self.end(&delivery.lease, how).await
    }

    /// Appends one event and brings it to its sinks.
    pub async fn delivering(&self, session: &str, sinks: &[&str]) -> EventId {
        let event = id(append(&self.journal, failure(session)).await);
        let claimed = self.event().await;
        self.end(&claimed.lease, deliver(sinks, vec![])).await;
        event
    }

    pub async fn state(&self, event: EventId) -> EventState {
        self.store.event(event).await.unwrap().unwrap().event.state
    }

    pub async fn is_well(&self) {
        assert_eq!(self.store.inspect().await.unwrap(), [] as [&str; 0]);
    }
}

/// The only one there is.
pub fn only<T: std::fmt::Debug>(mut all: Vec<T>) -> T {
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

pub fn sqlite(dir: &std::path::Path, clock: Clock) -> SqliteStore {
    let access = Access::Owner {
        longest_wait: Duration::from_secs(300),
    };
    SqliteStore::open(
        &dir.join("data/receiver.db"),
        access,
        1000,
        clock,
        Metrics::new(),
    )
    .unwrap()
}

fn opened(wrap: impl FnOnce(SqliteStore) -> Arc<dyn Store>) -> Opened {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = wrap(sqlite(dir.path(), clock));
    with_journal(store, clock, dir)
}

fn with_journal(store: Arc<dyn Store>, clock: Clock, lives_in: impl Send + 'static) -> Opened {
    let deadline = Duration::from_secs(5);
    let (journal, inbox) = Journal::new(Arc::clone(&store), deadline, ROOM, clock);
    Opened {
        store,
        journal,
        inbox,
        clock,
        _lives_in: Box::new(lives_in),
    }
}

async fn on_a_database() -> Opened {
    let (database, clock) = (Database::create().await, Clock::start());
    let store = Arc::new(database.store(clock).await);
    until("the instance is known to live", || store.is_alive()).await;
    with_journal(store, clock, database)
}

pub fn verified(body: Vec<u8>) -> Verified {
    verified_at(body, 1_765_977_748_432)
}

/// The same, as sent at this time in Unix milliseconds.
pub fn verified_at(body: Vec<u8>, sent: i64) -> Verified {
    let sent = sent.to_string();
    let secrets = Secrets::new([SecretBytes {
        id: "test",
        key: b"k",
    }]);
    let signature = sign(b"k", &sent, &body);
    verify(
        &secrets,
        &Claim::of(Some(signature.as_bytes()), Some(sent.as_bytes())),
        &SentBody::plain(Bytes::from(body)),
    )
    .unwrap()
}

pub async fn append(journal: &Journal, body: Vec<u8>) -> Appended {
    try_append(journal, body).await.unwrap()
}

pub async fn try_append(journal: &Journal, body: Vec<u8>) -> Result<Appended, Error> {
    append_at(journal, body, Clock::start().now()).await
}

pub async fn append_at(journal: &Journal, body: Vec<u8>, at: Timestamp) -> Result<Appended, Error> {
    journal
        .append(&Received::read(&verified(body), at, false))
        .await
        .map(|kept| kept.appended)
}

/// Appends what was sent then.
pub async fn append_sent(journal: &Journal, body: Vec<u8>, sent: Timestamp) -> Appended {
    let verified = verified_at(body, sent.as_millisecond());
    let received = Received::read(&verified, Clock::start().now(), false);
    journal.append(&received).await.unwrap().appended
}

pub async fn quarantine(journal: &Journal, body: &[u8]) -> EventId {
    id(append(journal, body.to_vec()).await)
}

pub fn id(appended: Appended) -> EventId {
    match appended {
        Appended::New(id) | Appended::Duplicate(id) => id,
    }
}

/// Runs a test of the contract against every store.
macro_rules! contract {
    ($($module:ident { $($name:ident),+ $(,)? })+) => {
        mod on_sqlite {
            $($(#[tokio::test] async fn $name() {
                super::$module::$name(super::opened(|store| std::sync::Arc::new(store))).await;
            })+)+
        }
        mod on_postgres {
            $($(#[tokio::test] async fn $name() {
                super::$module::$name(super::on_a_database().await).await;
            })+)+
        }
        mod on_a_store_that_could_fail {
            $($(#[tokio::test] async fn $name() {
                super::$module::$name(super::opened(|store| super::FailingStore::around(std::sync::Arc::new(store)))).await;
            })+)+
        }
    };
}

contract! {
    retrieving {
        an_event_goes_from_receipt_to_done,
        a_duplicate_has_the_first_ones_id_and_changes_nothing,
        a_system_clock_that_jumps_while_the_store_is_open_neither_stalls_nor_ages_what_comes,
        a_lost_lease_writes_nothing,
        events_that_need_no_call_are_claimed_while_the_api_is_down,
        what_was_found_is_there_at_the_next_attempt,
        an_attempt_counts_when_it_ends,
        each_sink_has_its_own_state,
        a_dead_sink_makes_a_dead_event_with_a_reason,
        what_was_done_for_an_event_names_the_instance_that_did_it,
        many_ends_are_written_down_together_each_by_its_own_lease,
        an_event_whose_deliveries_end_together_is_said_to_be_over_once,
    }
    holding {
        what_is_claimed_is_claimed_by_nobody_else_however_long_it_takes,
        no_more_is_claimed_than_is_wanted_of_a_kind_and_of_all,
        what_is_due_first_is_claimed_first,
        what_is_handed_over_at_its_receipt_is_held_and_ends_like_the_rest,
        what_there_is_no_room_for_is_left_to_be_claimed,
        a_duplicate_is_handed_over_to_nobody,
        while_nothing_is_let_in_all_is_claimed,
        what_whoever_retrieved_it_delivers_is_held_at_once,
        what_is_given_back_is_due_at_once,
        a_delivery_that_was_given_back_is_made_by_the_next_one_alone,
        what_is_given_back_waits_until_then,
        what_is_held_though_nobody_works_on_it_is_given_back_at_the_second_look,
        what_is_abandoned_is_given_back_at_the_next_look,
        what_is_worked_on_is_given_back_by_no_look,
        all_that_is_held_is_released,
    }
    jobs {
        what_did_not_succeed_is_grouped_by_its_cause_and_found_by_it,
        a_job_replays_each_event_once_and_tells_what_became_of_it,
        a_job_that_is_stopped_replays_no_more,
        a_job_passes_over_what_is_for_sinks_that_are_gone,
        the_audit_log_is_read_by_pages_and_by_who_did_what,
        there_is_one_note_for_each_cause_and_sink_and_the_last_one_stands,
    }
    pausing {
        what_is_for_a_paused_sink_is_claimed_by_nobody_until_it_is_resumed,
        a_second_pause_leaves_the_first_one_as_it_is_and_a_second_resume_ends_nothing,
        what_whoever_retrieved_it_would_deliver_waits_where_its_sink_is_paused,
        what_is_under_way_when_a_pause_comes_ends_as_it_ends,
        what_was_to_be_tried_later_is_due_at_a_resume_and_its_time_counts_anew,
        what_waits_for_its_event_to_be_retrieved_is_not_hurried_by_a_resume,
    }
    replaying {
        a_replay_from_delivery_delivers_again_to_the_sinks_that_are_named,
        a_replay_takes_the_event_away_from_nobody_and_comes_when_the_work_ends,
        a_replay_comes_when_what_is_held_is_given_back,
        a_replay_waits_for_the_last_of_what_is_held,
        the_last_of_several_replays_is_the_one_that_comes,
        a_replay_for_one_sink_gives_the_others_nothing_before_it_is_fetched,
        a_replay_for_one_sink_takes_the_delivery_to_another_from_nobody,
        a_purge_ends_a_replay_that_waits,
    }
    operating {
        a_store_says_how_large_it_is,
        a_purge_keeps_the_receipt_and_the_dedupe_key,
        a_purge_takes_the_work_away_from_whoever_holds_it,
        what_an_operator_purged_is_dead_no_more_and_keeps_its_reason,
        what_a_gone_sink_does_not_have_is_found_dropped_or_given_to_another,
        a_quarantined_event_becomes_the_notification_that_it_is,
        retention_purges_what_is_done_and_keeps_what_is_dead,
        what_is_dead_or_quarantined_goes_where_an_age_limit_is_set,
        what_a_dead_event_had_still_to_deliver_goes_with_its_content,
        refused_requests_are_kept_within_bounds_the_newest_first_to_stay,
    }
    looking {
        an_inspection_of_a_well_store_finds_nothing,
        a_list_has_the_newest_first_and_pages_without_gaps,
        counts_add_up_to_what_was_appended,
        what_is_worked_on_is_seen_as_retrieving_and_as_received_when_it_is_given_back,
        what_was_fetched_is_read_link_by_link,
    }
    expected {
        a_registration_is_idempotent_and_learns_what_was_not_known,
        a_notification_meets_its_session_whichever_of_the_two_comes_first,
        one_that_is_registered_before_its_notification_is_worked_on_is_met_then,
        one_whose_notification_was_kept_before_and_that_nobody_has_looked_at_is_met,
        a_session_that_ended_unheard_becomes_an_event_without_a_notification,
        what_was_found_is_written_once_and_only_while_the_session_is_awaited,
        a_session_that_goes_on_is_asked_for_again_in_its_time,
        a_notification_that_comes_late_takes_the_place_of_what_was_recovered,
        a_late_notification_that_was_quarantined_is_compared_with_what_was_recovered,
        a_transcript_that_is_deleted_already_is_not_about_to_be,
        a_repeat_that_was_sent_well_after_the_fetch_makes_it_fetched_again,
        what_somebody_wants_fetched_again_is_due_and_what_is_not_there_is_not,
        what_is_withdrawn_is_not_asked_for_and_a_change_is_kept,
        sessions_are_listed_by_state_provider_and_being_overdue,
        a_confirmation_is_kept_for_what_was_delivered_and_missed_after_its_time,
        what_a_sink_was_told_of_an_alert_is_kept_until_it_is_told_the_end,
    }
    amendments {
        what_nobody_has_worked_on_is_announced_once_and_then_retrieved,
        the_time_that_was_tried_is_kept_and_a_replay_begins_anew,
        a_dead_event_is_delivered_to_the_sinks_that_are_named,
        late_content_goes_out_once_as_an_event_that_replaces_the_first,
        what_is_missing_still_is_asked_for_at_the_amendment,
        a_look_that_is_given_back_is_due_again,
        what_is_replayed_is_amended_only_by_a_look_that_began_before,
        what_was_purged_is_not_amended,
    }
}
