//! Tests of how long a token is taken to live, and of when another one is asked for.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn token(claims: &str) -> String {
    format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
}

/// Tokens that are another one after each login, and the number of logins.
fn counted() -> (Arc<Tokens>, Arc<AtomicU32>) {
    let logins = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&logins);
    let tokens = Tokens::new(move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(Token::new(&format!("token-{number}")).expect("a token")) }.boxed()
    });
    (Arc::new(tokens), logins)
}

#[test]
fn a_token_lives_as_long_as_it_says_by_whichever_clock_makes_sense() {
    let now = Timestamp::now().as_second();
    for (claims, least, most) in [
        (format!("{{\"exp\":{}}}", now + 600), 590, 600),
        (
            format!("{{\"exp\":{}.5,\"iat\":{now}}}", now + 600),
            590,
            601,
        ),
        // The local clock is an hour ahead, or the vendor's clock is behind.
        (
            format!("{{\"exp\":{},\"iat\":{}}}", now - 10, now - 3610),
            3600,
            3600,
        ),
        (
            format!("{{\"exp\":{},\"iat\":{}}}", now + 5, now - 3595),
            3600,
            3600,
        ),
        (format!("{{\"exp\":{}}}", now - 10), 300, 300),
        (format!("{{\"exp\":{0},\"iat\":{0}}}", now - 10), 300, 300),
        (
            "{\"exp\":1e300}".to_owned(),
            LONGEST_LIFE.as_secs(),
            LONGEST_LIFE.as_secs(),
        ),
    ] {
        let life = life(&token(&claims)).expect("it tells").as_secs();
        assert!((least..=most).contains(&life), "{claims}: {life}");
    }
    for silent in ["opaque", "a.b.c", &token("{}"), &token("{\"exp\":null}")] {
        assert_eq!(life(silent), None, "{silent}");
    }
}

#[tokio::test]
async fn a_login_that_fails_is_not_repeated_at_once() {
    let logins = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&logins);
    let tokens = Arc::new(Tokens::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err(Failure::unreachable("login failed: HTTP 503")) }.boxed()
    }));
    for _ in 0..100 {
        let Err(failure) = tokens.get().await else {
            panic!("a token from nowhere")
        };
        assert_eq!(failure.reason, "login failed: HTTP 503");
    }
    assert_eq!(logins.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn tokens_that_are_never_taken_are_not_asked_for_again_and_again() {
    let (tokens, logins) = counted();
    let refused = Failure::unreachable("HTTP 401 invalid_sdp_token");
    for _ in 0..100 {
        if let Ok(token) = tokens.get().await {
            tokens.refused(&token, &refused);
        }
    }
    assert_eq!(logins.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_call_that_refuses_every_token_costs_the_others_neither_their_token_nor_a_login_each() {
    let (tokens, logins) = counted();
    let refused = Failure::unreachable("HTTP 401 invalid_sdp_token");
    for _ in 0..100 {
        let Ok(old) = tokens.get().await else {
            panic!("no token for the others")
        };
        tokens.accepted(&old);
        if tokens.refused(&old, &refused) {
            let Ok(new) = tokens.get().await else {
                panic!("no token")
            };
            tokens.replaced_in_vain(&old, &new, &refused);
        }
    }
    assert_eq!(logins.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_that_was_taken_and_is_refused_later_is_replaced_at_once() {
    let tokens = Arc::new(Tokens::new(|| {
        let text = format!("token-{}", rand::random::<u64>());
        async move { Ok(Token::new(&text).expect("a token")) }.boxed()
    }));
    let refused = Failure::unreachable("HTTP 401 invalid_sdp_token");
    for _ in 0..10 {
        let Ok(token) = tokens.get().await else {
            panic!("no token")
        };
        tokens.accepted(&token);
        tokens.refused(&token, &refused);
    }
}

#[tokio::test]
async fn a_token_that_was_just_accepted_is_used_again_after_it_was_replaced_in_vain() {
    let tokens = Arc::new(Tokens::new(|| {
        let text = format!("token-{}", rand::random::<u64>());
        async move { Ok(Token::new(&text).expect("a token")) }.boxed()
    }));
    let refused = Failure::unreachable("HTTP 401 invalid_sdp_token");
    let Ok(old) = tokens.get().await else {
        panic!("no token")
    };
    tokens.accepted(&old);
    assert!(tokens.refused(&old, &refused), "it is replaced");
    let Ok(new) = tokens.get().await else {
        panic!("no token")
    };
    assert_ne!(old.header, new.header);
    tokens.replaced_in_vain(&old, &new, &refused);
    let Ok(used) = tokens.get().await else {
        panic!("no token")
    };
    assert_eq!(used.header, old.header);
}

#[tokio::test]
async fn a_new_token_that_is_refused_before_any_call_was_accepted_with_it_gives_way_to_a_good_one()
{
    let (tokens, logins) = counted();
    let refused = Failure::unreachable("HTTP 401 invalid_sdp_token");
    let Ok(good) = tokens.get().await else {
        panic!("no token")
    };
    tokens.accepted(&good);
    for _ in 0..100 {
        tokens.refused(&good, &refused);
        // Between the login of one call and its second refusal, another call begins with the new token.
        let Ok(new) = tokens.get().await else {
            panic!("no token for the others")
        };
        tokens.refused(&new, &refused);
        let Ok(used) = tokens.get().await else {
            panic!("no token for the others")
        };
        assert!(used.was_accepted());
        assert!(tokens.are_good_elsewhere(&new));
    }
    assert_eq!(logins.load(Ordering::Relaxed), 2);
}
