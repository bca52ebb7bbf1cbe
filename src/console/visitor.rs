//! The visitor of a page: caller, role and preferences.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::tz::TimeZone;

use super::session::{Session, cookie};
use crate::admin::Caller;
use crate::config::Role;

/// A signed-in visitor.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) session: Session,
    pub(super) theme: Theme,
    pub(super) zone: TimeZone,
    /// The name of the chosen time zone; empty for UTC.
    pub(super) zone_name: String,
    /// The requested page.
    pub(super) path: String,
}

/// The theme: light, dark, or the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, "theme");
        let mut all = Self::ALL.into_iter();
        all.find(|theme| Some(theme.as_str()) == chosen)
            .unwrap_or(Self::Auto)
    }
}

impl Visitor {
    pub(super) fn new(caller: Caller, session: Session, headers: &HeaderMap, uri: &Uri) -> Self {
        let zone_name = cookie(headers, "zone").unwrap_or_default().to_owned();
        let zone = TimeZone::get(&zone_name);
        Self {
            caller,
            session,
            theme: Theme::of(headers),
            zone_name: match &zone {
                Ok(_) => zone_name,
                Err(_) => String::new(),
            },
            zone: zone.unwrap_or(TimeZone::UTC),
            path: super::path_of(uri),
        }
    }

    /// Whether the visitor may perform actions.
    pub(super) fn is_operator(&self) -> bool {
        self.caller.role == Role::Operator
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Redirect::to("/sign-in").into_response())
    }
}
