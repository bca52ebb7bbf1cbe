//! What holds whatever comes in: signatures, parsing, the canonical form.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use suki_receiver::domain::Notification;
use suki_receiver::signature::{Claim, SecretBytes, Secrets, SentBody, sign, verify};

fn holds(key: &[u8], signature: &str, generated_at: &str, body: &[u8]) -> bool {
    let secrets = Secrets::new([SecretBytes { id: "p", key }]);
    let body = Bytes::copy_from_slice(body);
    verify(
        &secrets,
        &Claim::of(Some(signature.as_bytes()), Some(generated_at.as_bytes())),
        &SentBody::plain(body),
    )
    .is_ok()
}

/// Any JSON value of a few levels.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e15..1e15).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A body with a session id and anything else.
fn body() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map("[a-z_]{1,10}", json(), 0..8).prop_map(|fields| {
        let mut body: Map<String, Value> = fields.into_iter().collect();
        body.insert("session_id".to_owned(), "s".into());
        body
    })
}

/// The same object with its keys the other way round and white space between.
fn shuffled(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .rev()
                .map(|(key, value)| {
                    format!(" {}\t:\n{} ", Value::from(key.as_str()), shuffled(value))
                })
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!(
            "[ {} ]",
            items.iter().map(shuffled).collect::<Vec<_>>().join(" , ")
        ),
        leaf => leaf.to_string(),
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        key in prop::collection::vec(any::<u8>(), 1..80),
        millis in 0_u64..4_000_000_000_000,
        body in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let time = millis.to_string();
        let signature = sign(&key, &time, &body);
        prop_assert!(holds(&key, &signature, &time, &body));
        prop_assert!(holds(&key, &signature.to_uppercase(), &time, &body));
        prop_assert!(!holds(&key, &signature, &(millis + 1).to_string(), &body));
        let mut other = body;
        if other.is_empty() { other.push(bit) } else { let at = at.index(other.len()); other[at] ^= 1 << bit; }
        prop_assert!(!holds(&key, &signature, &time, &other));
    }

    #[test]
    fn no_header_and_no_body_makes_it_panic(
        signature in prop::collection::vec(any::<u8>(), 0..80),
        time in prop::collection::vec(any::<u8>(), 0..30),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let secrets = Secrets::new([SecretBytes { id: "p", key: b"k" }]);
        prop_assert!(verify(&secrets, &Claim::of([&signature[..]], [&time[..]]), &SentBody::plain(Bytes::from(body.clone()))).is_err());
        let _ = Notification::parse(Bytes::from(body));
    }

    #[test]
    fn whatever_has_a_session_id_is_a_notification_and_its_key_knows_no_order(fields in body()) {
        let value = Value::Object(fields);
        let plain = Notification::parse(Bytes::from(value.to_string())).unwrap();
        let other = Notification::parse(Bytes::from(shuffled(&value))).unwrap();
        prop_assert_eq!(plain.dedupe, other.dedupe);
    }

    #[test]
    fn another_content_has_another_key(one in body(), other in body()) {
        prop_assume!(one != other);
        let key = |fields: Map<String, Value>| Notification::parse(Bytes::from(Value::Object(fields).to_string())).unwrap().dedupe;
        prop_assert_ne!(key(one), key(other));
    }
}
