//! Tests of which parts of a notification are read, and which are not.

use super::*;

fn parse(body: &str) -> Result<Notification, Malformed> {
    Notification::parse(Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn what_is_unknown_is_kept_and_what_is_unusable_is_named() {
    let odd = parse(r#"{"session_id":"s","status":"paused?","new":{"a":[1]},"_links":{"videos":[{"href":"/v"}]}}"#)
        .expect("unknown is not wrong");
    assert_eq!(odd.outcome(), Outcome::Unknown);
    assert_eq!(odd.links()[0].group.as_str(), "videos");
    for (body, error) in [
        ("", Malformed::NotJson),
        ("{", Malformed::NotJson),
        ("[]", Malformed::NotAnObject),
        ("{}", Malformed::NoSessionId),
        (r#"{"session_id":7}"#, Malformed::NoSessionId),
        (r#"{"session_id":"  "}"#, Malformed::NoSessionId),
    ] {
        assert_eq!(parse(body).expect_err(body), error);
    }
}

#[test]
fn null_and_odd_links_are_no_links() {
    for links in [
        "null",
        "{}",
        "[]",
        r#"{"contents":null}"#,
        r#"{"contents":[{"name":"x"},7,null]}"#,
    ] {
        let body = format!(r#"{{"session_id":"s","status":"success","_links":{links}}}"#);
        assert!(parse(&body).expect(links).links().is_empty());
    }
}

#[test]
fn a_group_may_be_a_list_one_link_or_one_address() {
    for group in [
        r#"[{"href":"/c","method":"GET"}]"#,
        r#"{"href":"/c"}"#,
        r#""/c""#,
        r#"["/c"]"#,
        r#"{"href":"\u002fc","method":null,"\ud800":{}}"#,
        r#"{"href":"/c","method":""}"#,
        r#"{"href":"/c","method":" get "}"#,
    ] {
        let body = format!(r#"{{"session_id":"s","_links":{{"contents":{group}}}}}"#);
        let read = parse(&body).expect("parses");
        let links = read.links();
        let hrefs: Vec<_> = links.iter().map(|link| link.href.as_str()).collect();
        assert_eq!(hrefs, ["/c"], "{group}");
        assert!(links[0].is_get, "{group}");
    }
}

#[test]
fn what_is_json_by_its_grammar_is_kept_whatever_stands_in_it() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    for beside in [
        &br#""\ud800""#[..],
        br#"{"\udc00":1}"#,
        br#"{"$serde_json::private::Number":"x"}"#,
        b"\"caf\xE9\"",
        b"1e99999",
        deep.as_bytes(),
    ] {
        let body = [
            &b"\xEF\xBB\xBF{\"x\":"[..],
            beside,
            br#","session_id":"s"}"#,
        ]
        .concat();
        let read = Notification::parse(Bytes::from(body.clone())).expect("kept");
        assert_eq!(read.session_id.as_str(), "s");
        assert_eq!(&read.body[..], &body[3..], "passed on as it came");
        let again = Notification::parse(Bytes::from(body[3..].to_vec())).expect("kept");
        assert_eq!(read.dedupe, again.dedupe, "the mark makes no difference");
    }
    for other in [
        &b"\xEF\xBB\xBF"[..],
        b"{\"session_id\":\"s\"}{}",
        b"\xFE\xFF\0{\0}",
    ] {
        let read = Notification::parse(Bytes::from_static(other));
        assert_eq!(read.expect_err("no JSON"), Malformed::NotJson);
    }
}

#[test]
fn known_groups_come_first_in_the_vendors_order() {
    let body = r#"{"session_id":"s","_links":{"a":[{"href":"/1"}],"status":[{"href":"/2"}],"contents":[{"href":"/3"}]}}"#;
    let read = parse(body).expect("parses");
    let links = read.links();
    let groups: Vec<_> = links.iter().map(|link| link.group.as_str()).collect();
    assert_eq!(groups, ["contents", "status", "a"]);
}

#[test]
fn the_key_ignores_order_and_white_space_and_nothing_else() {
    let key = |body: &str| parse(body).expect(body).dedupe;
    let one = key(r#"{"session_id":"s","status":"success","n":1.10,"o":{"a":1,"b":2}}"#);
    assert_eq!(
        one,
        key(
            "{ \"o\" : {\"b\":2, \"a\":1},\n \"n\":1.10,\"status\":\"success\",\"session_id\":\"s\"}\n"
        )
    );
    assert_eq!(
        one,
        key(r#"{"session_id":"s","status":"\u0073uccess","n":1.10,"o":{"a":1,"b":2}}"#)
    );
    assert_ne!(
        one,
        key(
            r#"{"session_id":"s","status":"success","n":1.100000000000000000001,"o":{"a":1,"b":2}}"#
        )
    );
    assert_ne!(
        one,
        key(r#"{"session_id":"s","status":"success","n":1.10,"o":{"a":1,"b":3}}"#)
    );
    assert_ne!(
        one,
        key(r#"{"session_id":"t","status":"success","n":1.10,"o":{"a":1,"b":2}}"#)
    );
}

#[test]
fn an_error_code_is_a_code_and_never_free_text() {
    let code = |value: &str| {
        parse(&format!(r#"{{"session_id":"s","error_code":{value}}}"#))
            .expect(value)
            .error_code()
            .map(str::to_owned)
    };
    assert_eq!(
        code(r#""ERROR_CODE_TRANSCRIPTION""#).as_deref(),
        Some("ERROR_CODE_TRANSCRIPTION")
    );
    assert_eq!(code("7").as_deref(), Some("7"));
    assert_eq!(code(r#""Mrs Smith could not be heard""#), None);
    assert_eq!(code("{}"), None);
}

#[test]
fn links_sessions_and_a_code_are_read_whatever_the_status() {
    for status in ["success", "failure", "timeout", "archived"] {
        let body = format!(
            r#"{{"session_id":"s","status":"{status}","error_code":"E","sessions":["s","t"],"_links":{{"contents":"/c"}}}}"#
        );
        let read = parse(&body).expect(status);
        let counts = (read.links().len(), read.siblings().len());
        assert_eq!((counts, read.error_code()), ((1, 1), Some("E")), "{status}");
        assert!(read.needs_sdp(), "{status}");
    }
}

#[test]
fn debug_shows_nothing_of_the_body() {
    let shown = format!(
        "{:?}",
        parse(r#"{"session_id":"s","error_detail":"secret words"}"#).expect("parses")
    );
    assert!(!shown.contains("secret words"), "{shown}");
}
