//! The error answers in the API's description: one component for each, to which the operations refer. The answers
//! themselves are made in [`error`](super::super::error).

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr};

/// One error answer: its name, its status, its meaning, and an example of its message.
struct Refusal {
    name: &'static str,
    status: u16,
    meaning: &'static str,
    message: &'static str,
    /// A header of the answer, with its type and its meaning.
    header: Option<(&'static str, Type, &'static str)>,
}

const RETRY_AFTER: Option<(&str, Type, &str)> = Some((
    "Retry-After",
    Type::Integer,
    "Seconds after which to try again.",
));

const BAD_REQUEST: Refusal = Refusal {
    name: "BadRequest",
    status: 400,
    meaning: "Something in the path, the query or the body is invalid. The message names it, with what is allowed.",
    message: "limit: use a number from 1 to 500",
    header: None,
};
const UNAUTHORIZED: Refusal = Refusal {
    name: "Unauthorized",
    status: 401,
    meaning: "There is no token, or it is unknown.",
    message: "send a valid token as 'Authorization: Bearer TOKEN'",
    header: Some(("WWW-Authenticate", Type::String, "The scheme: `Bearer`.")),
};
const FORBIDDEN: Refusal = Refusal {
    name: "Forbidden",
    status: 403,
    meaning: "The token's role does not permit the call.",
    message: "this needs the role operator; the token 'desk' has the role viewer",
    header: None,
};
const NOT_FOUND: Refusal = Refusal {
    name: "NotFound",
    status: 404,
    meaning: "The path names something that does not exist, or whose content is purged.",
    message: "there is no event with this id",
    header: None,
};
const CONFLICT: Refusal = Refusal {
    name: "Conflict",
    status: 409,
    meaning: "The state of the resource or the configuration does not allow this. The message says which.",
    message: "its resources were never all retrieved; replay it from \"retrieve\"",
    header: None,
};
const TOO_LARGE: Refusal = Refusal {
    name: "TooLarge",
    status: 413,
    meaning: "The body is larger than allowed.",
    message: "the body is larger than 65536 bytes",
    header: None,
};
const UNAVAILABLE: Refusal = Refusal {
    name: "Unavailable",
    status: 503,
    meaning: "The store cannot do this now, or there is no room. Nothing was done; try again later.",
    message: "the store cannot do this now; try again later",
    header: RETRY_AFTER,
};
const TOO_SLOW: Refusal = Refusal {
    name: "TooSlow",
    status: 504,
    meaning: "The query of the store took too long and was cancelled. Narrow the filter.",
    message: "this took too long and was ended; narrow the filter, for instance by since and until",
    header: None,
};

/// Makes types that an operation can list among its answers.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident = [$($refusal:ident),+];)+) => { $(
        $(#[$doc])*
        pub(in crate::admin) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($refusal),+].iter().map(Refusal::answer).collect()
            }
        }
    )+ };
}

answers! {
    /// Something in the request is invalid.
    BadRequest = [BAD_REQUEST];
    /// No token, or an unknown token.
    Unauthorized = [UNAUTHORIZED];
    /// The token's role does not permit the call.
    Forbidden = [FORBIDDEN];
    /// The resource does not exist.
    NotFound = [NOT_FOUND];
    /// The resource is not in a state for this.
    Conflict = [CONFLICT];
    /// The body is too large.
    TooLarge = [TOO_LARGE];
    /// There is no room now.
    Unavailable = [UNAVAILABLE];
    /// The store failed or was too slow.
    StoreFailed = [UNAVAILABLE, TOO_SLOW];
}

impl Refusal {
    /// The entry of an operation: a reference to the component.
    fn answer(&self) -> (String, RefOr<Response>) {
        let reference = Ref::from_response_name(self.name);
        (self.status.to_string(), RefOr::Ref(reference))
    }

    fn component(&self) -> Response {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Error")))
            .example(Some(json!({"code": self.status, "message": self.message})))
            .build();
        let mut answer = ResponseBuilder::new()
            .description(self.meaning)
            .content("application/json", content);
        if let Some((name, schema_type, meaning)) = &self.header {
            let schema = ObjectBuilder::new().schema_type(schema_type.clone());
            let header = HeaderBuilder::new()
                .schema(Some(schema))
                .description(Some(*meaning));
            answer = answer.header(*name, header.build());
        }
        answer.build()
    }
}

/// Adds all error answers to a description's components.
pub(super) fn add_to(components: &mut Components) {
    let all = [
        BAD_REQUEST,
        UNAUTHORIZED,
        FORBIDDEN,
        NOT_FOUND,
        CONFLICT,
        TOO_LARGE,
        UNAVAILABLE,
        TOO_SLOW,
    ];
    for refusal in all {
        let component = RefOr::T(refusal.component());
        components
            .responses
            .insert(refusal.name.to_owned(), component);
    }
}
