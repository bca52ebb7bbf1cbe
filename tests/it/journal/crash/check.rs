//! The invariants of the journal, checked on what a crash left behind: the store is opened as the service opens it, and
//! everything that was told to the outside world must hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use suki_receiver::domain::{Clock, DeliveryState, EventId, EventState, LinkState};
use suki_receiver::journal::{
    Appended, AuditFilter, Ended, Event, EventDetail, Filter, Journal, Received,
};

use super::content::Key;
use super::drive::deliver;
use super::history::{Knowledge, Known};
use super::standing::{Act, End, Retrieved, Stage, Standing};
use super::{SINKS, Subject, open};
use crate::journal::contract::{claim_deliveries, claim_events, delivered, end, verified};

/// How many of the acknowledged contents are sent again.
const SENT_AGAIN: usize = 12;

/// What is wrong with a store after a crash.
pub type Wrong = String;

type Found = BTreeMap<Key, (EventId, Standing)>;

/// Opens what a crash left below `root` and compares it with what is known. Gives back what was found, as the knowledge
/// that the next run starts from.
pub async fn check(
    root: &Path,
    subject: Subject,
    knowledge: &Knowledge,
) -> Result<Knowledge, Wrong> {
    let store = open(root).map_err(|error| format!("it cannot be opened: {error}"))?;
    let store = std::sync::Arc::new(store);
    let (journal, _inbox) = Journal::new(store, Duration::from_secs(60), 1, Clock::start());
    file_is_sound(root)?;
    let found = find(&journal, knowledge).await?;
    counts_add_up(&journal).await?;
    fits_together(&journal).await?;
    let mut next = Knowledge::default();
    for (key, known) in &knowledge.events {
        if let Some(standing) = stands_as_known(*key, subject, known, found.get(key))? {
            let known = Known {
                ids: [found[key].0.to_string()].into(),
                is_repeated: false,
                standing: Some(standing),
                begun: Vec::new(),
            };
            next.events.insert(*key, known);
        }
    }
    if let Some((key, _)) = found
        .iter()
        .find(|(key, _)| !knowledge.events.contains_key(key))
    {
        return Err(format!("{key} is there and was never sent"));
    }
    let log = journal
        .records()
        .audit_log(AuditFilter::default(), 10_000, None)
        .await
        .map_err(text)?
        .entries;
    next.audited = log.into_iter().map(|entry| entry.action).collect();
    if let Some(lost) = knowledge.audited.difference(&next.audited).next() {
        return Err(format!("the audit entry {lost} is lost"));
    }
    sent_again(&journal, &found).await?;
    ends_well(&journal, &next).await?;
    journal.close().await;
    file_is_sound(root)?;
    Ok(next)
}

pub fn text(error: impl std::fmt::Display) -> Wrong {
    format!("it fails: {error}")
}

/// SQLite finds nothing wrong with the file, and the counts are those of the rows.
pub fn file_is_sound(root: &Path) -> Result<(), Wrong> {
    let file = rusqlite::Connection::open(root.join(super::FILE)).map_err(text)?;
    let said: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(text)?;
    let miscounted: i64 = file
        .query_row(
            "SELECT count(*) FROM counts WHERE n <>
             (SELECT count(*) FROM
                 (SELECT coalesce(endings.state, CASE task WHEN 'retrieve' THEN 'retrieving' WHEN 'new' THEN 'received'
                      WHEN 'forward' THEN 'received' ELSE 'delivering' END) AS state
                  FROM receipts LEFT JOIN endings ON endings.event = seq
                  LEFT JOIN work ON work.event = seq AND task IN ('forward', 'new', 'retrieve')) AS there
              WHERE there.state = counts.state)",
            [],
            |row| row.get(0),
        )
        .map_err(text)?;
    if said != "ok" {
        return Err(format!("the file is damaged: {said}"));
    }
    if miscounted != 0 {
        return Err("the counts are not those of the rows".to_owned());
    }
    Ok(())
}

/// Every event that is there, through the store's own reads.
async fn find(journal: &Journal, knowledge: &Knowledge) -> Result<Found, Wrong> {
    let ids: BTreeMap<_, _> = knowledge
        .events
        .iter()
        .flat_map(|(key, known)| known.ids.iter().map(|id| (id.clone(), *key)))
        .collect();
    let page = journal
        .records()
        .list(Filter::default(), 10_000, None)
        .await;
    let found = join_all(page.map_err(text)?.events.into_iter().map(|event| {
        let ids = &ids;
        async move {
            let body = journal.records().payload(event.id).await.map_err(text)?;
            let key = key_of(&event, body.as_deref())
                .or_else(|| ids.get(&event.id.to_string()).copied())
                .ok_or_else(|| format!("the event {} was never sent", event.id))?;
            if body.as_ref().is_some_and(|body| *body != key.body()) {
                return Err(format!("the body of {key} is not what was sent"));
            }
            let detail = journal.records().event(event.id).await.map_err(text)?;
            let detail = detail.ok_or_else(|| format!("{key} is in the list only"))?;
            let standing = standing(journal, key, body.is_some(), &detail).await?;
            Ok((key, event.id, standing))
        }
    }));
    let mut all = Found::new();
    for found in found.await {
        let (key, id, standing) = found?;
        if all.insert(key, (id, standing)).is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(all)
}

/// The store's own inspection finds nothing: no work without an event, no event without work or ending.
async fn fits_together(journal: &Journal) -> Result<(), Wrong> {
    match journal.records().inspect().await.map_err(text)?.as_slice() {
        [] => Ok(()),
        problems => Err(format!("the inspection finds {problems:?}")),
    }
}

/// The counts that the store gives are those of the events that it lists.
async fn counts_add_up(journal: &Journal) -> Result<(), Wrong> {
    let page = journal
        .records()
        .list(Filter::default(), 10_000, None)
        .await;
    let mut by_state = BTreeMap::<EventState, u64>::new();
    for event in page.map_err(text)?.events {
        *by_state.entry(event.state).or_default() += 1;
    }
    for (state, counted) in journal.records().stats().await.map_err(text)?.events {
        let there = by_state.get(&state).copied().unwrap_or(0);
        if counted != there {
            return Err(format!("{counted} are counted as {state}, {there} are"));
        }
    }
    Ok(())
}

fn key_of(event: &Event, body: Option<&[u8]>) -> Option<Key> {
    match &event.encounter_id {
        Some(id) => Key::of_encounter(id.as_str()),
        None => Key::of_junk(body?),
    }
}

async fn standing(
    journal: &Journal,
    key: Key,
    content: bool,
    detail: &EventDetail,
) -> Result<Standing, Wrong> {
    let stage = match detail.event.state {
        EventState::Received | EventState::Retrieving => Stage::Pending,
        EventState::Delivering => Stage::Delivering,
        EventState::Done => Stage::Done,
        EventState::Dead => Stage::Dead,
        EventState::Quarantined => Stage::Quarantined,
        EventState::Purged => Stage::Purged,
    };
    if stage == Stage::Dead && detail.event.last_error.is_none() {
        return Err(format!("{key} is dead without a reason"));
    }
    let mut links = BTreeMap::new();
    for link in &detail.links {
        let body = journal.records().resource(detail.event.id, link.n).await;
        let version = match body.map_err(text)? {
            Some(body) => {
                let version = key.version_of(link.n, &body);
                Some(version.ok_or_else(|| format!("link {} of {key} is damaged", link.n))?)
            }
            None => None,
        };
        if link.state != LinkState::Fetched {
            return Err(format!("link {} of {key} is {}", link.n, link.state));
        }
        links.insert(link.n, version);
    }
    let end = |state| match state {
        DeliveryState::Pending => End::Pending,
        DeliveryState::Delivered => End::Delivered,
        DeliveryState::Dead => End::Dead,
    };
    let sinks = detail.deliveries.iter();
    Ok(Standing {
        stage,
        content,
        retrieved: false,
        links,
        sinks: sinks
            .map(|delivery| (delivery.sink.clone(), end(delivery.state)))
            .collect(),
        waiting: None,
    })
}

/// What was acknowledged is there as acknowledged; what was under way has happened whole or not at all.
fn stands_as_known(
    key: Key,
    subject: Subject,
    known: &Known,
    found: Option<&(EventId, Standing)>,
) -> Result<Option<Standing>, Wrong> {
    let ways = known.may_stand(key);
    // Whether it was retrieved cannot be seen from outside; the rest decides.
    let fits = |way: &&Option<Standing>| match (way, found) {
        (None, None) => true,
        (Some(way), Some((_, found))) => {
            let retrieved = way.retrieved;
            *way == Standing {
                retrieved,
                ..found.clone()
            }
        }
        _ => false,
    };
    let Some(way) = ways.iter().find(fits) else {
        return Err(format!("{key} is {found:?}; it may be one of {ways:?}"));
    };
    if let (Some((id, _)), true) = (found, known.standing.is_some()) {
        let (id, told) = (id.to_string(), &known.ids);
        let is_as_told = match subject {
            Subject::Journal => told.iter().eq([&id]),
            // Store and spool may each have it under the id of another of its appends, and that of the store stays.
            Subject::Spool => told.contains(&id) || known.is_repeated || known.is_appending(),
        };
        if !is_as_told {
            return Err(format!("{key} was acknowledged as {told:?} and is {id}"));
        }
    }
    Ok(way.clone())
}

/// What is there is known as a duplicate, under the id it has.
async fn sent_again(journal: &Journal, found: &Found) -> Result<(), Wrong> {
    let every = found.len() / SENT_AGAIN + 1;
    let again = found
        .iter()
        .step_by(every)
        .map(|(key, (id, _))| async move {
            let (verified, now) = (verified(key.body().to_vec()), Clock::start().now());
            let received = Received::read(&verified, now, false);
            match journal.append(&received).await.map_err(text)?.appended {
                Appended::Duplicate(known) if known == *id => Ok(()),
                _ => Err(format!("{key} is not known as a duplicate of {id}")),
            }
        });
    join_all(again).await.into_iter().collect()
}

/// What was in progress can be worked on to its end.
async fn ends_well(journal: &Journal, knowledge: &Knowledge) -> Result<(), Wrong> {
    let clock = Clock::start();
    let sinks = vec![SINKS[0].to_owned()];
    let claimed = claim_events(journal, clock).await;
    let ended = join_all(claimed.iter().map(|event| {
        let retrieved = deliver(sinks.clone(), false, event.found.links.clone());
        end(journal, &event.lease, retrieved)
    }));
    if ended.await.contains(&Ended::Lost) {
        return Err("a lease is lost at once".to_owned());
    }
    for sink in SINKS {
        let claimed = claim_deliveries(journal, sink, clock).await;
        let ended = join_all(
            claimed
                .iter()
                .map(|delivery| end(journal, &delivery.lease, delivered(clock))),
        );
        if ended.await.contains(&Ended::Lost) {
            return Err("a lease is lost at once".to_owned());
        }
    }
    for (key, known) in &knowledge.events {
        let (Some(from), Some(id)) = (&known.standing, known.ids.first()) else {
            continue;
        };
        if !matches!(from.stage, Stage::Pending | Stage::Delivering) {
            continue;
        }
        let (key, id) = (*key, id.parse().map_err(text)?);
        let detail = journal.records().event(id).await.map_err(text)?;
        let detail = detail.ok_or_else(|| format!("{key} is gone"))?;
        let (wanted, found) = (
            at_end(key, from),
            standing(journal, key, true, &detail).await?,
        );
        if wanted != found {
            return Err(format!("{key} should end as {wanted:?} and is {found:?}"));
        }
    }
    counts_add_up(journal).await?;
    fits_together(journal).await
}

/// Where [`ends_well`] leads.
fn at_end(key: Key, from: &Standing) -> Standing {
    let mut standing = from.clone();
    let mut act = |act| standing = standing.after(&act).unwrap();
    if from.stage == Stage::Pending {
        let sinks = vec![SINKS[0].to_owned()];
        act(Act::Retrieval(key, Vec::new(), Retrieved::Deliver(sinks)));
    }
    if matches!(from.stage, Stage::Pending | Stage::Delivering) {
        for sink in SINKS {
            let is_first = from.stage == Stage::Pending && sink == SINKS[0];
            match from.sinks.get(sink) {
                Some(End::Pending) => act(Act::Deliveries(
                    key,
                    vec![(sink.to_owned(), End::Delivered)],
                )),
                None if is_first => act(Act::Deliveries(
                    key,
                    vec![(sink.to_owned(), End::Delivered)],
                )),
                _ => {}
            }
        }
    }
    standing.retrieved = false;
    standing
}
