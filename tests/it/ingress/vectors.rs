//! The signature vectors come out as they say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use suki_receiver::signature::{Claim, SecretBytes, Secrets, SentBody, verify};

#[test]
fn every_signature_vector_comes_out_as_it_says() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/signatures.json"
    ))
    .unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(vectors.len() >= 15);
    for vector in vectors {
        let secrets: Vec<&str> = vector["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s.as_str().unwrap())
            .collect();
        let secrets = Secrets::new(secrets.iter().map(|key| SecretBytes {
            id: "vector",
            key: key.as_bytes(),
        }));
        let body = STANDARD
            .decode(vector["body_base64"].as_str().unwrap())
            .unwrap();
        let part = |name: &str| vector[name].as_str().unwrap().as_bytes().to_vec();
        let result = verify(
            &secrets,
            &Claim::of([&part("signature")[..]], [&part("generated_at")[..]]),
            &SentBody::plain(Bytes::from(body)),
        );
        assert_eq!(
            Value::Bool(result.is_ok()),
            vector["valid"],
            "{}",
            vector["name"]
        );
    }
}
