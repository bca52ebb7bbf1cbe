//! The results of the demo, collected from the journal, the simulated API, the partner's endpoint, and the folder of
//! files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::inbox::Got;
use super::play::Played;
use super::stage::{FILES, HTTP, Stage};
use crate::domain::{DeliveryState, EventState, ExpectedState, LinkState, Outcome};
use crate::journal::{Delivery, EventDetail, Filter};
use crate::lab::simulator::Endpoint;

/// The number of events in a page of the list.
const PAGE: usize = 500;

/// The results.
pub(super) struct Facts {
    /// Events by state.
    pub(super) states: BTreeMap<EventState, u64>,
    /// Expected sessions by state.
    pub(super) expected: Vec<(ExpectedState, u64)>,
    /// Calls of the simulated API by endpoint: the number, and the number of failed ones.
    pub(super) calls: Vec<(Endpoint, u64, u64)>,
    /// Links by state.
    pub(super) links: BTreeMap<LinkState, u64>,
    /// The number of deliveries by outcome of the event, then by sink.
    pub(super) delivered: BTreeMap<Outcome, BTreeMap<&'static str, u64>>,
    /// The files of the files sink.
    pub(super) files: Vec<PathBuf>,
    /// The deliveries that the partner's endpoint got.
    pub(super) got: Got,
    /// The file of a completed session, if there is one.
    pub(super) sample: Option<PathBuf>,
    /// The median time from receipt to the file.
    pub(super) median_to_file: Option<Duration>,
}

impl Facts {
    /// Collects the results.
    pub(super) async fn gather(stage: &Stage, played: &Played) -> anyhow::Result<Self> {
        let details = details(stage).await?;
        let records = stage.journal.records();
        let mut facts = Self {
            states: records.stats().await?.events.into_iter().collect(),
            expected: records.expected_stats().await?.counts,
            calls: calls(stage),
            links: BTreeMap::new(),
            delivered: BTreeMap::new(),
            files: files_below(&stage.out()).context("cannot read the delivered files")?,
            got: stage.inbox.got(),
            sample: None,
            median_to_file: None,
        };
        let mut to_file = Vec::with_capacity(usize::try_from(played.report.total())?);
        for detail in &details {
            for link in &detail.links {
                *facts.links.entry(link.state).or_default() += 1;
            }
            for sink in [FILES, HTTP] {
                let Some(delivery) = delivered_to(detail, sink) else {
                    continue;
                };
                let by_sink = facts.delivered.entry(detail.event.outcome).or_default();
                *by_sink.entry(sink).or_default() += 1;
                if sink == FILES
                    && let Some(at) = delivery.delivered_at
                {
                    to_file.push(at.duration_since(detail.event.received_at));
                }
            }
        }
        to_file.sort_unstable();
        facts.median_to_file = to_file
            .get(to_file.len() / 2)
            .and_then(|middle| Duration::try_from(*middle).ok());
        facts.sample = details
            .iter()
            .filter(|detail| detail.event.outcome == Outcome::Completed)
            .max_by_key(|detail| detail.links.len())
            .and_then(|detail| {
                let name = format!("{}.json", detail.event.id);
                facts.files.iter().find(|file| file.ends_with(&name))
            })
            .cloned();
        Ok(facts)
    }

    /// The number of events in these states.
    pub(super) fn events(&self, states: &[EventState]) -> u64 {
        states
            .iter()
            .filter_map(|state| self.states.get(state))
            .sum()
    }

    /// The number of expected sessions in this state.
    pub(super) fn expected(&self, state: ExpectedState) -> u64 {
        let of_it = self.expected.iter().filter(|(known, _)| *known == state);
        of_it.map(|(_, count)| count).sum()
    }

    /// The number of links in this state.
    pub(super) fn links(&self, state: LinkState) -> u64 {
        self.links.get(&state).copied().unwrap_or(0)
    }
}

/// All events that are notifications, with their details.
async fn details(stage: &Stage) -> anyhow::Result<Vec<EventDetail>> {
    let records = stage.journal.records();
    let (mut details, mut cursor) = (Vec::new(), None);
    loop {
        let page = records.list(Filter::default(), PAGE, cursor).await?;
        for event in &page.events {
            details.extend(records.event(event.id).await?);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(details);
        }
    }
}

fn delivered_to<'a>(detail: &'a EventDetail, sink: &str) -> Option<&'a Delivery> {
    let is_it =
        |delivery: &&Delivery| delivery.sink == sink && delivery.state == DeliveryState::Delivered;
    detail.deliveries.iter().find(is_it)
}

fn calls(stage: &Stage) -> Vec<(Endpoint, u64, u64)> {
    let calls = stage.sdp.calls();
    Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            let of_it = || calls.iter().filter(|call| is_call_of(endpoint, &call.path));
            let failed = of_it().filter(|call| call.status != Some(200)).count();
            (endpoint, of_it().count() as u64, failed as u64)
        })
        .filter(|(_, count, _)| *count > 0)
        .collect()
}

/// Whether a path belongs to an endpoint, with any id.
fn is_call_of(endpoint: Endpoint, path: &str) -> bool {
    match endpoint.path().split_once("{id}") {
        Some((before, after)) => path.starts_with(before) && path.ends_with(after),
        None => path == endpoint.path(),
    }
}

/// Every finished file below a folder.
fn files_below(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(files)
}
