//! `adjunct cpu`.

use crate::{command::adjunct, golden::assert_golden};
use serde_json::Value;

fn answer(words: &[&str]) -> String {
    let ran = adjunct(&[&["cpu"], words].concat());
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words:?}");
    ran.stdout
}

fn json(words: &[&str]) -> Value {
    serde_json::from_str(&answer(words)).expect("JSON")
}

#[test]
fn a_model_with_features_is_not_shown_and_said_to_be_one() {
    let ran = adjunct(&["cpu", "show", "z14,ap=on"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(
        ran.stderr.contains("\"z14,ap=on\" is a model with features, and show takes a model alone"),
        "{ran:?}"
    );
}

#[test]
fn the_list_has_all_forty_models_as_text_and_as_json() {
    assert_eq!(answer(&["list"]).lines().count(), 40);
    let listed = json(&["list", "--json"]);
    let listed = listed.as_array().expect("an array");
    assert_eq!(listed.len(), 40);
    assert_eq!(listed[0].to_string(), r#"{"description":"IBM zSeries 900 GA1","name":"z900"}"#);
}

#[test]
fn a_model_as_json_has_the_documented_members_and_sorted_names() {
    let text = answer(&["show", "z14", "--json"]);
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    let members: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("  \"")?.split('"').next()).collect();
    assert_eq!(
        members,
        ["name", "description", "type", "generation", "ec_ga", "ibc", "base", "default", "full"]
    );
    assert_eq!(
        (&shown["type"], &shown["generation"], &shown["ibc"]),
        (&0x3906.into(), &14.into(), &0x41.into())
    );
    for (set, count) in [("base", 91), ("default", 236), ("full", 262)] {
        let names: Vec<_> =
            shown[set].as_array().expect("an array").iter().filter_map(Value::as_str).collect();
        assert_eq!(names.len(), count, "{set}");
        assert!(names.is_sorted(), "{set}");
    }
}

#[test]
fn a_model_as_text_is_readable() {
    assert_golden("cpu-show-zEC12.txt", &answer(&["show", "zEC12"]));
}

#[test]
fn comparisons_say_who_can_take_whose_guests() {
    assert!(answer(&["compare", "z14", "z14"]).starts_with("identical"));
    assert!(answer(&["compare", "z14,ap=on", "z14"]).starts_with("superset"));
    assert!(answer(&["compare", "z13-base", "z14-base"]).starts_with("subset"));
    assert!(answer(&["compare", "z14,ap=on", "gen15a"]).starts_with("incompatible"));
}

#[test]
fn a_baseline_is_a_cpu_that_run_would_take_and_a_subset_of_both() {
    let common = answer(&["baseline", "z14,ap=on", "gen16a,ap=on,apft=on"]);
    let common = common.trim_end();
    assert!(common.starts_with("z14") && common.contains(",ap=on") && !common.contains("apft"), "{common}");
    for cpu in ["z14,ap=on", "gen16a,ap=on,apft=on"] {
        let compared = answer(&["compare", common, cpu]);
        assert!(compared.starts_with("subset") || compared.starts_with("identical"), "{compared}");
    }
}

#[test]
fn unknown_models_are_refused_with_the_nearest_name() {
    let ran = adjunct(&["cpu", "show", "z41"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("z41") && ran.stderr.contains("z14"), "{}", ran.stderr);
    let ran = adjunct(&["cpu", "show", "host"]);
    assert!(ran.status == 2 && ran.stderr.contains("name a machine"), "{}", ran.stderr);
    let ran = adjunct(&["cpu", "compare", "z14", "z99"]);
    assert!(ran.status == 2 && ran.stderr.contains("z99"), "{}", ran.stderr);
}
