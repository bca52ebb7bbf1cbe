//! Tests that the tree reads what the JSON says, and that its canonical form is the one from which keys were made.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn tree(json: &str) -> Tree<'_> {
    Tree::of(json).expect("JSON")
}

fn canonical(json: &str) -> Option<String> {
    let mut out = Vec::new();
    tree(json).write_canonical(&mut out).ok()?;
    Some(String::from_utf8(out).expect("UTF-8"))
}

/// The canonical form by way of [`serde_json::Value`].
fn by_values(json: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(json).ok()?;
    value.sort_all_objects();
    Some(value.to_string())
}

fn text(tree: &Tree<'_>, name: &str) -> Option<String> {
    Some(tree.get(name)?.text()?.into_owned())
}

#[test]
fn what_stands_beside_a_field_may_be_anything_that_is_json() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
    for beside in [
        r#""\ud800""#,
        r#"{"\udfff\ud800":1}"#,
        r#"{"$serde_json::private::Number":"x"}"#,
        r#"{"$serde_json::private::RawValue":"}"}"#,
        r#"["]", "\"]", {"}": "\\"}, []]"#,
        "1e999999",
        "-0.00000000000000000000000000000000000001E-400",
        &deep,
        &objects,
    ] {
        let json = format!(
            r#"{{"beside" : {beside} ,"\ud800":1,"$serde_json::private::Number":2,"a\u0062":"\u0063\n"}}"#
        );
        let tree = tree(&json);
        assert_eq!(text(&tree, "ab").as_deref(), Some("c\n"), "{beside:.30}");
        assert_eq!(text(&tree, "beside").is_some(), beside.starts_with('"'));
    }
}

#[test]
fn what_is_no_json_has_no_tree() {
    for json in ["", "{", "{}{}", "{\"a\" 1}", "nul", "[1,]", "'a'"] {
        assert!(Tree::of(json).is_err(), "{json}");
    }
}

#[test]
fn what_is_no_character_is_replaced_and_the_last_of_a_repeated_field_counts() {
    let tree = tree(r#"{"a":"first","b":"x\ud800y\u0000z","a":"last"}"#);
    assert_eq!(text(&tree, "a").as_deref(), Some("last"));
    let replaced = text(&tree, "b").expect("a text").replace('\u{FFFD}', "");
    assert_eq!(replaced, "xyz");
}

#[test]
fn a_value_that_is_no_list_is_a_list_of_one() {
    assert_eq!(tree(r#"[{"a":1}, "b"]"#).items().len(), 2);
    assert!(tree(r#"{"a":[1]}"#).items()[0].get("a").is_some());
    assert!(tree("[]").items().is_empty());
}

#[test]
fn the_canonical_form_sorts_keys_and_leaves_values_as_they_are() {
    for (json, expected) in [
        (
            r#" { "b" : [ 1.10, 1E5, -0, true ] , "a\u0062" : "\u0041\/" , "aa":null } "#,
            Some(r#"{"aa":null,"ab":"A/","b":[1.10,1e+5,-0,true]}"#),
        ),
        (
            r#"{"a":1,"b":2,"a":3,"\u0061":4}"#,
            Some(r#"{"a":4,"b":2}"#),
        ),
        ("{}", Some("{}")),
        (r#"["\ud800"]"#, None),
        (r#"{"\ud800":1}"#, None),
    ] {
        assert_eq!(canonical(json).as_deref(), expected, "{json}");
        assert_eq!(by_values(json).as_deref(), expected, "{json}");
    }
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [126, 127, 128, 129] {
        assert_eq!(canonical(&deep(depth)), by_values(&deep(depth)), "{depth}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let word = || {
        prop_oneof![
            proptest::collection::vec(
                proptest::sample::select(vec![
                    "a",
                    "b",
                    " ",
                    "é",
                    "\\n",
                    "\\u0041",
                    "\\\"",
                    "\\\\",
                    "\\ud83d\\ude00",
                    "\\/",
                    "{",
                    "]",
                    ",",
                    "\\u0000",
                    "\\ud800"
                ]),
                0..4
            )
            .prop_map(|parts| format!("\"{}\"", parts.concat())),
        ]
    };
    let leaf = prop_oneof![
        word(),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        proptest::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    let space = || proptest::sample::select(vec!["", " ", "\n\t", "\r"]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
            (
                proptest::collection::vec((word(), inner), 0..5),
                space(),
                space()
            )
                .prop_map(|(fields, one, two)| {
                    let fields: Vec<_> = fields
                        .iter()
                        .map(|(name, value)| format!("{one}{name}{two}:{one}{value}{two}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
        ]
    })
}

proptest! {
    #[test]
    fn a_text_reads_as_any_reader_of_json_reads_it(text in "[^\0]*") {
        let json = Value::from(text.clone()).to_string();
        prop_assert_eq!(tree(&json).text().map(Cow::into_owned), Some(text));
    }

    #[test]
    fn the_canonical_form_is_the_one_that_goes_by_values(json in json()) {
        prop_assert_eq!(canonical(&json), by_values(&json), "{}", json);
    }
}
