//! Selects the events of a command, one by its id or all that match a filter, and applies the command to them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::super::input::agrees;
use super::{FilterArgs, Pages};
use crate::domain::{EventId, EventState};
use crate::journal::{Filter, Records};
use crate::terminal::ExitStatus;
use crate::terminal::note;
use crate::terminal::{emit, emit_json};

/// One event, or all that match a filter.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WhichArgs {
    /// The event's id; or give a filter for many
    #[arg(value_name = "ID", conflicts_with_all = ["state", "outcome", "session_id", "encounter_id", "since", "until"])]
    id: Option<EventId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Say how many that would be, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long)]
    yes: bool,
    /// Limit of events per second, so that their effects do not come all at once [default: no limit]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The result for one event.
pub(super) enum Outcome {
    /// The command was applied, with a message.
    Done(&'static str),
    /// The event was skipped, with the reason.
    Skipped(String),
}

/// The words of a command's messages.
pub(super) struct Words {
    /// The command's verb, such as "replay".
    pub(super) verb: &'static str,
    /// The state that a filter without a state is restricted to; `None` for all states.
    pub(super) state: Option<EventState>,
    /// Whether the command asks for confirmation even for a single event.
    pub(super) is_final: bool,
}

impl WhichArgs {
    /// Calls `act` for each selected event, after asking for confirmation.
    pub(super) async fn each(
        self,
        store: &dyn Records,
        words: Words,
        act: impl AsyncFn(EventId) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<ExitStatus> {
        match self.id {
            Some(id) => self.one(store, id, &words, act).await,
            None => self.many(store, &words, act).await,
        }
    }

    async fn one(
        &self,
        store: &dyn Records,
        id: EventId,
        words: &Words,
        act: impl AsyncFn(EventId) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<ExitStatus> {
        let verb = words.verb;
        let Some(found) = store.event(id).await? else {
            bail!("there is no event {id}");
        };
        if self.dry_run {
            emit(format!("would {verb} {id} ({})\n", found.event.state).as_bytes())?;
            return Ok(ExitStatus::Success);
        }
        if words.is_final && !self.yes && !agrees(&format!("{verb} {id} for good?")) {
            note!("nothing was changed");
            return Ok(ExitStatus::Failure);
        }
        match act(id).await? {
            Outcome::Done(what) if self.json => {
                emit_json(&json!({"result": what, "id": id.to_string()}))
            }
            Outcome::Done(what) => {
                emit(format!("{id}: {what}\n").as_bytes())?;
                Ok(ExitStatus::Success)
            }
            Outcome::Skipped(why) => bail!("{id}: {why}"),
        }
    }

    async fn many(
        self,
        store: &dyn Records,
        words: &Words,
        act: impl AsyncFn(EventId) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<ExitStatus> {
        let verb = words.verb;
        let is_any = self.filter.is_any();
        ensure!(
            is_any || words.state.is_some(),
            "give an event's id, or at least one of --state, --outcome, --cause, --at-sink, --source, --session-id, --encounter-id, --since and --until"
        );
        let mut filter = self.filter.clone().filter();
        if filter.states.is_empty() {
            filter.states.extend(words.state);
        }
        let found = count(store, filter.clone()).await?;
        let total: u64 = found.values().sum();
        let states: Vec<String> = found
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let found = if total == 0 {
            "no events match".to_owned()
        } else {
            format!("{total} events match ({})", states.join(", "))
        };
        if self.dry_run || total == 0 {
            if self.json {
                return emit_json(&json!({"would_affect": total}));
            }
            emit(format!("{found}\n").as_bytes())?;
            return Ok(ExitStatus::Success);
        }
        if !self.yes && !agrees(&format!("{found}. {verb} them?")) {
            note!("nothing was changed");
            return Ok(ExitStatus::Failure);
        }
        let mut pace = self.rate.map(pace);
        let (mut done, mut skipped) = (0_u64, BTreeMap::<String, u64>::new());
        let mut pages = Pages::new(store, filter, usize::MAX);
        while let Some(page) = pages.next().await? {
            for event in page.events {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                match act(event.id).await? {
                    Outcome::Done(_) => done += 1,
                    Outcome::Skipped(why) => *skipped.entry(why).or_default() += 1,
                }
            }
        }
        if self.json {
            let skipped: u64 = skipped.values().sum();
            return emit_json(&json!({"affected": done, "skipped": skipped}));
        }
        let mut text = format!("{verb}: {done} events\n");
        for (why, count) in skipped {
            text += &format!("{count} left as they are: {why}\n");
        }
        emit(text.as_bytes())?;
        Ok(ExitStatus::Success)
    }
}

/// The number of matching events by state.
async fn count(store: &dyn Records, filter: Filter) -> anyhow::Result<BTreeMap<EventState, u64>> {
    let mut counts = BTreeMap::new();
    let mut pages = Pages::new(store, filter, usize::MAX);
    while let Some(page) = pages.next().await? {
        for event in page.events {
            *counts.entry(event.state).or_default() += 1;
        }
    }
    Ok(counts)
}

fn pace(rate: NonZeroU32) -> tokio::time::Interval {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate.get());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
