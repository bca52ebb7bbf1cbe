//! The stylesheet, the script and the icon. They are part of the binary, and their addresses change with their
//! contents, so that a browser can cache them for ever.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file of the console.
pub(super) struct Asset {
    name: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    hash: LazyLock<String>,
}

macro_rules! asset {
    ($name:literal, $extension:literal, $content_type:literal) => {
        Asset {
            name: $name,
            extension: $extension,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $name, ".", $extension)),
            hash: LazyLock::new(|| {
                let bytes = include_bytes!(concat!("assets/", $name, ".", $extension));
                hex::encode(&Sha256::digest(bytes)[..4])
            }),
        }
    };
}

pub(super) static STYLE: Asset = asset!("console", "css", "text/css; charset=utf-8");
pub(super) static SCRIPT: Asset = asset!("console", "js", "text/javascript; charset=utf-8");
pub(super) static ICON: Asset = asset!("icon", "svg", "image/svg+xml");

impl Asset {
    /// The path at which the file is served.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}.{}.{}", self.name, *self.hash, self.extension)
    }
}

/// `GET /assets/{file}`.
pub(super) async fn show(axum::extract::Path(file): axum::extract::Path<String>) -> Response {
    let path = format!("/assets/{file}");
    let found = [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .find(|asset| asset.path() == path);
    let Some(asset) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, asset.bytes).into_response()
}
