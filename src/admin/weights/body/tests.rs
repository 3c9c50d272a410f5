use proptest::prelude::*;

use super::*;

const VARIANTS: &[&str] = &["control", "candidate"];

fn parse(json: &str, form: Form) -> Result<Body, Vec<(String, bool)>> {
    let pairs = serde_json::from_str::<Pairs>(json).unwrap().0;
    let told = |problems: Vec<Problem>| problems.into_iter().map(|p| (p.path, p.hint.is_some())).collect();
    read(pairs, form, VARIANTS).map_err(told)
}

fn paths(json: &str, form: Form) -> Vec<String> {
    let problems = parse(json, form).unwrap_err();
    assert!(problems.iter().all(|(_, hint)| *hint), "{json}: each has a hint: {problems:?}");
    problems.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_body_says_what_it_says() {
    let body = parse(
        r#"{"weights": {"candidate": 20, "control": 1e2}, "author": " ann ", "why": null, "if_epoch": 3, "if_generation": null}"#,
        Form::Set,
    )
    .unwrap();
    let weights: Vec<_> = body.weights.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
    assert_eq!(weights, [("candidate", 20), ("control", 100)]);
    assert_eq!((body.author.as_str(), body.why.as_str()), ("ann", ""));
    assert_eq!((body.if_epoch, body.if_generation), (Some(3), None));
    assert_eq!(parse(r#"{"why": "enough"}"#, Form::Reset).unwrap().why, "enough");
    assert!(parse("{}", Form::Reset).unwrap().weights.is_empty());
    assert!(parse(r#"{"weights": {"control": 0}}"#, Form::Set).is_ok(), "the other one keeps its weight");
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (weight, _) in
        [("-1", 0), ("1.5", 0), ("1e30", 0), ("\"ten\"", 0), ("null", 0), ("true", 0), ("[1]", 0)]
    {
        assert_eq!(
            paths(&format!(r#"{{"weights": {{"control": {weight}}}}}"#), Form::Set),
            ["weights.control"]
        );
    }
    for weight in ["1000000001", "18446744073709551615", "18446744073709551616", "-1e300"] {
        assert_eq!(
            paths(&format!(r#"{{"weights": {{"control": {weight}}}}}"#), Form::Set),
            ["weights.control"]
        );
    }
    let many = r#"{"weights": {"control": -1, "cotnrol": 1, "candidate": "x"}, "wyh": "", "why": 1, "if_epoch": 1.5}"#;
    assert_eq!(
        paths(many, Form::Set),
        ["weights.control", "weights.cotnrol", "weights.candidate", "wyh", "why", "if_epoch"]
    );
    assert_eq!(paths("{}", Form::Preview), ["weights"]);
    assert_eq!(paths(r#"{"weights": {}}"#, Form::Set), ["weights"]);
    assert_eq!(paths(r#"{"weights": {"control": 0, "candidate": -0.0}}"#, Form::Set), ["weights"]);
    assert_eq!(paths(r#"{"weights": {"control": 1}}"#, Form::Reset), ["weights"]);
    assert_eq!(paths(r#"{"weights": {"control": 1}, "why": "x"}"#, Form::Preview), ["why"]);
    assert_eq!(paths(r#"{"weights": {"control": 1, "control": 1}}"#, Form::Set), ["weights.control"]);
    assert_eq!(paths(r#"{"why": "a", "why": "b"}"#, Form::Reset), ["why"]);
    let long = format!(r#"{{"why": "{}"}}"#, "é".repeat(251));
    assert_eq!(paths(&long, Form::Reset), ["why"]);
    assert_eq!(paths(r#"{"author": "a\u001b[2J"}"#, Form::Reset), ["author"]);
}

#[test]
fn what_is_no_object_says_what_it_should_be() {
    for weights in ["5", "-5", "0.5", "null", "true", "\"a\"", "[1, {}]"] {
        assert_eq!(paths(&format!(r#"{{"weights": {weights}}}"#), Form::Set), ["weights"], "{weights}");
    }
    assert!(serde_json::from_str::<Pairs>("[]").unwrap_err().to_string().contains("expected an object"));
}

proptest! {
    /// Whatever JSON comes: no panic, and what is taken can be served.
    #[test]
    fn any_weight_is_taken_or_refused(text in "-?[0-9]{1,25}(\\.[0-9]{1,5})?(e-?[0-9]{1,2})?") {
        let json = format!(r#"{{"weights": {{"control": {text}}}}}"#);
        let Ok(pairs) = serde_json::from_str::<Pairs>(&json) else { return Ok(()) };
        if let Ok(body) = read(pairs.0, Form::Set, VARIANTS) {
            prop_assert!(body.weights.values().all(|weight| *weight <= MAX_WEIGHT));
        }
    }

    #[test]
    fn any_object_is_taken_or_refused(json in "\\{(\"(weights|why|if_epoch|x)\":(1|null|\"a\"|\\{\\}|\\{\"control\":1\\}),?){0,4}\\}") {
        for form in [Form::Set, Form::Reset, Form::Preview] {
            if let Ok(pairs) = serde_json::from_str::<Pairs>(&json) {
                let _ = read(pairs.0, form, VARIANTS);
            }
        }
    }
}
