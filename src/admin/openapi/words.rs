//! The closed sets of words of the API, and times, as the description shows them. Made from the sets themselves.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::{config, domain, journal};

/// Makes types that stand for closed sets of words: `Name, "what it is" = the words`.
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
    /// Where an event stands.
    EventState, "Where an event stands." = words(domain::EventState::ALL, |it| it.as_str());
    /// How a session ended.
    Outcome, "How the session ended." = words(&domain::Outcome::ALL, |it| it.as_str());
    /// How an event came in.
    Source, "How the event came in." = words(domain::Source::ALL, |it| it.as_str());
    /// The kind of a session.
    Kind, "The kind of session." = words(&domain::SessionKind::ALL, |it| it.as_str());
    /// The kind of a session that is registered.
    NewKind, "The kind of session." = vec!["ambient", "form_filling"];
    /// Why something did not succeed.
    Cause, "Why it did not succeed. What stands before the dot is the stage."
        = words(domain::Cause::ALL, |it| it.as_str());
    /// The stage of a cause.
    Stage, "The stage at which it stopped." = stages();
    /// Where a link stands.
    LinkState, "Where one link stands." = words(domain::LinkState::ALL, |it| it.as_str());
    /// Where a delivery stands.
    DeliveryState, "Where one delivery to one sink stands." = words(domain::DeliveryState::ALL, |it| it.as_str());
    /// Where an expected session stands.
    SessionState, "Where an expected session stands." = words(domain::ExpectedState::ALL, |it| it.as_str());
    /// How an expected session became known.
    Origin, "How an expected session became known." = words(domain::Origin::ALL, |it| it.as_str());
    /// What a token may do.
    Role, "What a token may do." = words(config::Role::ALL, |it| it.as_str());
    /// Where a replay job stands.
    JobState, "Where a replay job stands." = words(journal::JobState::ALL, |it| it.as_str());
    /// Where something stands that needs attention.
    Standing, "Where it stands: events that are dead or in the quarantine, and requests that were rejected."
        = words(journal::Standing::ALL, |it| it.as_str());
    /// Where a replay starts.
    ReplayFrom, "Where a replay starts: `retrieve` fetches everything anew, `deliver` sends what was fetched."
        = words(&journal::ReplayFrom::ALL, |it| it.as_str());
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

/// A moment as a caller may write it.
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

/// The stages of all causes, each once.
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
