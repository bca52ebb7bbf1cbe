//! A visitor's preferences: theme and time zone, kept in separate cookies that are not secret.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use jiff::tz::TimeZone;

use super::sign_in::{field, local};
use super::visitor::Theme;

const YEAR_SECONDS: u32 = 365 * 24 * 3600;

/// `POST /preferences`: a preference that is not given stays unchanged.
pub(super) async fn set(body: Bytes) -> Response {
    let back = field(&body, "back").unwrap_or_default();
    let mut response = Redirect::to(local(&back)).into_response();
    let theme = field(&body, "theme");
    let theme = Theme::ALL
        .into_iter()
        .find(|known| Some(known.as_str()) == theme.as_deref());
    // An empty zone stands for UTC.
    let zone = field(&body, "zone").filter(|zone| zone.is_empty() || TimeZone::get(zone).is_ok());
    let cookies = [
        theme.map(|theme| ("theme", theme.as_str().to_owned())),
        zone.map(|zone| ("zone", zone)),
    ];
    for (name, value) in cookies.into_iter().flatten() {
        let cookie = format!("{name}={value}; Path=/; Max-Age={YEAR_SECONDS}; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}
