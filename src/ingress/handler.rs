//! Handlers for every request that may carry a notification: on the webhook's path, on any other path, and with other
//! methods. Delivery to sinks is not done here.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{Method, Request};
use axum::middleware::Next;
use axum::response::Response;

use super::State;
use super::arrival::Arrival;
use super::rejection::ElsewhereRejected;
use super::unfinished::Unfinished;
use super::{body, intake, trace};
use crate::lifecycle::RunToEnd;
use crate::net;

/// `POST` on the webhook's path.
pub(super) async fn notification(Shared(state): Shared<State>, request: Request<Body>) -> Response {
    let arrival = Arrival::of(&request);
    receive(state, arrival, request).await
}

/// Any other method on the webhook's path. A load balancer that redirects turns a `POST` into a `GET` without a body,
/// so a request with well-formed signature headers is logged.
pub(super) async fn other_method(request: Request<Body>) -> Response {
    if intake::claim(request.headers()).is_well_formed() {
        not_a_post(&request, &Arrival::of(&request));
    }
    net::method_not_allowed("POST")
}

fn not_a_post(request: &Request<Body>, arrival: &Arrival) {
    tracing::warn!(
        request.id = arrival.request_id,
        http.method = %request.method(),
        http.path = arrival.other_path,
        peer = arrival.peer.map(tracing::field::display),
        forwarded_for = arrival.forwarded_for.map(tracing::field::display),
        "a request with a signature did not come as POST, and no notification is taken from it; does a load balancer redirect?"
    );
}

/// Every other path. Suki sends a notification only once, and load balancers rewrite paths, so a `POST` with a valid
/// signature is accepted on any path. A request without one gets the ordinary answer of its path.
pub(super) async fn elsewhere(
    Shared(state): Shared<State>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if !intake::claim(request.headers()).is_well_formed() {
        return next.run(request).await;
    }
    let arrival = Arrival::elsewhere(&request);
    if request.method() != Method::POST {
        not_a_post(&request, &arrival);
        return next.run(request).await;
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = receive(state, arrival, request).await;
    if response.extensions().get::<ElsewhereRejected>().is_none() {
        return response;
    }
    let mut ordinary = Request::new(Body::empty());
    (*ordinary.method_mut(), *ordinary.uri_mut()) = (method, uri);
    next.run(ordinary).await
}

async fn receive(state: State, arrival: Arrival, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let unfinished = Unfinished::new(&state, arrival);
    let incoming = body::read(&state, &parts.headers, body).await;
    let arrival = unfinished.finish();
    let incoming = match incoming {
        Ok(incoming) => incoming,
        Err(rejection) => {
            let response = intake::rejected(&state, &arrival, rejection);
            trace::request(&state, &arrival, &response);
            return response;
        }
    };
    // A request's future is dropped when its sender disconnects. The notification must be stored all the same.
    let tasks = state.tasks.clone();
    let taking = async move {
        let response = intake::take(&state, &arrival, &parts.headers, incoming).await;
        trace::request(&state, &arrival, &response);
        response
    };
    RunToEnd::new(&tasks, "notification", taking).await
}
