//! The API's enumerations, and times, for the description. The enumerations are made from the sets in the code.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::{config, domain, journal};

/// Makes types for closed sets of words: `Name, "description" = the words`.
macro_rules! closed_sets {
    ($($(#[$doc:meta])* $name:ident, $what:literal = $words:expr;)+) => { $(
        $(#[$doc])*
        pub(in crate::admin) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                one_of($what, $words)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+ };
}

closed_sets! {
    /// The state of an event.
    EventState, "The state of an event." = words(domain::EventState::ALL, |it| it.as_str());
    /// How a session ended.
    Outcome, "How the session ended." = words(domain::Outcome::ALL, |it| it.as_str());
    /// How an event came in.
    Source, "How the event came in." = words(domain::Source::ALL, |it| it.as_str());
    /// The kind of a session.
    Kind, "The kind of session." = words(domain::SessionKind::ALL, |it| it.as_str());
    /// The kind of a session that is registered.
    NewKind, "The kind of session." = vec!["ambient", "form_filling"];
    /// The cause of a failure.
    Cause, "The cause of the failure. The part before the dot is the stage."
        = words(domain::Cause::ALL, |it| it.as_str());
    /// The stage of a cause.
    Stage, "The stage at which it failed." = stages();
    /// The state of a link.
    LinkState, "The state of a link." = words(domain::LinkState::ALL, |it| it.as_str());
    /// The state of a delivery.
    DeliveryState, "The state of a delivery to a sink." = words(domain::DeliveryState::ALL, |it| it.as_str());
    /// The state of an expected session.
    SessionState, "The state of an expected session." = words(domain::ExpectedState::ALL, |it| it.as_str());
    /// How an expected session became known.
    Origin, "How an expected session became known." = words(domain::Origin::ALL, |it| it.as_str());
    /// The role of a token.
    Role, "The role of a token." = words(config::Role::ALL, |it| it.as_str());
    /// The state of a replay job.
    JobState, "The state of a replay job." = words(journal::JobState::ALL, |it| it.as_str());
    /// The state of a failure that needs attention.
    Standing, "The state: events are dead or quarantined, and requests are rejected."
        = words(journal::Standing::ALL, |it| it.as_str());
    /// Where a replay starts.
    ReplayFrom, "Where a replay starts: `retrieve` fetches everything anew, `deliver` sends what was fetched."
        = words(journal::ReplayFrom::ALL, |it| it.as_str());
    /// Which come first.
    Order, "Which come first: the newest (`desc`) or the oldest (`asc`)." = vec!["desc", "asc"];
}

/// One or several states, separated by commas.
pub(in crate::admin) enum EventStates {}

impl PartialSchema for EventStates {
    fn schema() -> RefOr<Schema> {
        let one = words(domain::EventState::ALL, |it| it.as_str()).join("|");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^({one})(,({one}))*$")))
            .examples([json!("dead"), json!("dead,quarantined")])
            .into()
    }
}

impl ToSchema for EventStates {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("EventStates")
    }
}

/// Yes or no, in the body of a replay job: a boolean, or its word, as a stored job has it.
pub(in crate::admin) enum YesOrNo {}

impl PartialSchema for YesOrNo {
    fn schema() -> RefOr<Schema> {
        let boolean = ObjectBuilder::new().schema_type(Type::Boolean);
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["true", "false"]));
        AnyOfBuilder::new()
            .item(boolean)
            .item(word)
            .description(Some("A boolean, or its word."))
            .into()
    }
}

impl ToSchema for YesOrNo {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("YesOrNo")
    }
}

/// A time as a caller may write it.
pub(in crate::admin) enum Moment {}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let format = |format| SchemaFormat::KnownFormat(format);
        AnyOfBuilder::new()
            .item(text().format(Some(format(KnownFormat::DateTime))))
            .item(text().format(Some(format(KnownFormat::Date))))
            .item(text().pattern(Some("^([0-9]{1,4}[smhdw]){1,5}$")))
            .description(Some(
                "RFC 3339, a day (from its start, UTC), or how long ago, such as 90m, 24h or 7d.",
            ))
            .into()
    }
}

impl ToSchema for Moment {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Moment")
    }
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().copied().map(word).collect()
}

/// The stages of all causes, without duplicates.
fn stages() -> Vec<&'static str> {
    let mut stages = words(domain::Cause::ALL, |cause| cause.stage());
    stages.dedup();
    stages
}

fn one_of(what: &str, words: Vec<&'static str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
        .enum_values(Some(words))
        .into()
}
