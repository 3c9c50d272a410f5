use std::fs;

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../conf/tidegate.yaml");

const LEAST: &str = "listeners: [ { name: http, address: 127.0.0.1:8080 } ]\n";

fn attempt_of(text: &str) -> Attempt {
    let env = |name: &str| match name {
        "PORT" => Some("8081".to_owned()),
        "DIGITS" => Some("12345".to_owned()),
        "EMPTY" => Some(String::new()),
        "YAML" => Some("{ a: [ b".to_owned()),
        _ => None,
    };
    attempt_text(text, Path::new("conf/t.yaml"), &env)
}

fn config(text: &str) -> Config {
    attempt_of(text).finish().unwrap_or_else(|p| panic!("{p:?}")).0
}

/// `line:column path`, and what is wrong.
fn told(text: &str) -> Vec<(String, String)> {
    let place = |p: &Problem| {
        let at = p.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
        format!("{}:{} {}", at.0, at.1, p.path)
    };
    attempt_of(text).problems.iter().map(|p| (place(p), p.what.clone())).collect()
}

#[test]
fn the_example_is_read_as_written() {
    let config = config(EXAMPLE);
    assert_eq!(
        (config.boot.listeners.len(), config.live.clusters.len(), config.live.routes.len()),
        (1, 6, 7)
    );
    let search = config.live.routes.iter().find(|r| r.name.as_str() == "search").unwrap();
    assert_eq!(search.rewrite.as_ref().unwrap().to.as_deref(), Some("/search/${lang}"));
}

#[test]
fn a_config_survives_being_written_and_read() {
    let config = config(EXAMPLE);
    let text = serde_saphyr::to_string(&config).unwrap();
    let env = |_: &str| None;
    let again = attempt_text(&text, Path::new("/t.yaml"), &env).finish().unwrap().0;
    assert_eq!(config, again);
}

#[test]
fn values_from_the_environment_fit_texts_and_numbers() {
    let text = format!(
        "{LEAST}consul: {{ token: \"${{DIGITS}}\" }}\nclusters:\n  a:\n    dns: {{ name: \"h${{DIGITS}}\", \
         port: \"${{PORT}}\" }}\n    connect_timeout: ${{EMPTY}}\n  b:\n    dns:\n      name: ${{DIGITS}}.example\n\
         \x20     port: ${{PORT}}\n      srv: ${{NONE:-false}}\n"
    );
    let config = config(&text);
    assert_eq!(config.live.consul.token.unwrap().expose(), "12345");
    for (name, host) in [("a", "h12345"), ("b", "12345.example")] {
        let dns = config.live.clusters[name].dns.clone().unwrap();
        assert_eq!((dns.name.as_str(), dns.port, dns.srv), (host, Some(8081), false));
    }
    assert_eq!(config.live.clusters["a"].connect_timeout, None, "an empty value is as if left out");
}

#[test]
fn the_environment_cannot_change_the_shape() {
    let config =
        config(&format!("{LEAST}routes: [ {{ name: a, respond: {{ status: 200, body: \"${{YAML}}\" }} }} ]"));
    assert_eq!(config.live.routes[0].respond.as_ref().unwrap().body, "{ a: [ b");
}

#[test]
fn an_unset_variable_is_told_once_and_nothing_follows() {
    let text = format!(
        "{LEAST}clusters: {{ a: {{ dns: {{ name: \"${{NO}}\", port: \"${{NO}}\" }} }} }}\nroutes:\n  - name: r\n    cluster: ${{NO}}\n"
    );
    let what = "the environment variable `NO` is not set";
    let places = ["2:31 clusters.a.dns.name", "2:46 clusters.a.dns.port", "5:14 routes[0].cluster"];
    assert_eq!(told(&text), places.map(|p| (p.to_owned(), what.to_owned())));
}

#[test]
fn secrets_and_paths_start_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "hush\n").unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let path = folder.path().join("t.yaml");
    fs::write(
        &path,
        format!("{LEAST}consul: {{ token: \"file:token\", ca: ca.pem }}\naccess_log: {{ path: a.log }}\n"),
    )
    .unwrap();
    let (config, places) = file(&path).unwrap();
    assert_eq!(config.live.consul.token.unwrap().expose(), "hush");
    assert_eq!(config.live.consul.ca.unwrap(), folder.path().join("ca.pem"));
    assert_eq!(config.live.access_log.path, folder.path().join("a.log").display().to_string());
    assert!(!format!("{places:?}").contains("token"));
    for (secret, why) in [("empty", "it is empty"), ("no", "No such file"), (".", "Is a directory")] {
        fs::write(&path, format!("{LEAST}consul: {{ token: \"file:{secret}\" }}\n")).unwrap();
        let problems = file(&path).unwrap_err();
        assert!(problems[0].what.contains(why), "{problems:?}");
    }
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    assert_eq!(
        config(&format!("{LEAST}consul: {{ token: 0123 }}")).live.consul.token.unwrap().expose(),
        "0123"
    );
    let problems = attempt_of(&format!("{LEAST}consul: {{ token: [ hush ] }}")).problems;
    assert!(!format!("{problems:?}").contains("hush"), "{problems:?}");
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = format!(
        "{LEAST}clusters:\n  a: &a\n    static: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }}\n    connect_timeout: 1s\n\
         \x20 b:\n    <<: *a\n    connect_timeout: 2s\n  c: *a\n"
    );
    let clusters = config(&text).live.clusters;
    assert_eq!(clusters["a"], clusters["c"]);
    assert_eq!(clusters["a"].r#static, clusters["b"].r#static);
    assert_eq!(clusters["b"].connect_timeout.unwrap().to_string(), "2s");
}

#[test]
fn places_are_found_by_the_nearest_path() {
    let text = format!(
        "{LEAST}clusters:\n  web:\n    dns: {{ name: a, port: 80 }}\n  web.v1:\n    dns: {{ name: b, port: 80 }}\nroutes:\n  - name: r\n    cluster: web.v1\n"
    );
    let (_, places) = attempt_of(&text).finish().unwrap();
    let at = |path: &str| places.find(path).map(|l| (l.line, l.column)).unwrap();
    assert_eq!(at("clusters.web.v1.dns.port"), (6, 27));
    assert_eq!(at("clusters.web.v1"), (5, 3), "a mapping on later lines is where its key is");
    assert_eq!(at("clusters.web.dns.resolvers[3]"), (4, 10));
    assert_eq!(at("routes[0].match.path.regex"), (8, 5));
    assert_eq!(at("routes[0].cluster"), (9, 14));
    assert_eq!(at("routes[7].cluster"), (7, 1));
    assert_eq!(at("consul.wait"), (1, 1));
    let placed = places.place(vec![Problem::new("clusters.web.v1.dns", "x"), Problem::new("nowhere", "y")]);
    assert_eq!(placed[0].to_string(), "conf/t.yaml:6:10: clusters.web.v1.dns: x");
    assert_eq!(placed[1].to_string(), "conf/t.yaml:1:1: nowhere: y");
}

#[test]
fn nothing_follows_from_what_was_left_out() {
    for (text, path) in [
        ("clusters: { web: 5 }\nroutes: [ { name: r, cluster: web } ]", "2:18 clusters.web"),
        ("routes: [ { name: r, redirect: [] } ]", "2:32 routes[0].redirect"),
        ("routes: [ { name: r, redirect: { too: /x } } ]", "2:34 routes[0].redirect.too"),
        ("routes: [ { name: [], respond: { status: 200 } } ]", "2:19 routes[0].name"),
        ("clusters: { web: { static: { endpoints: [ {} ] } } }", "2:43 clusters.web.static.endpoints[0]"),
        (
            "routes: [ { name: r, match: { path: { x: /a } }, respond: { status: 200 } } ]",
            "2:39 routes[0].match.path.x",
        ),
        ("routes: [ 1, { name: r, respond: { status: 999 } } ]", "2:11 routes[0]"),
    ] {
        let told = told(&format!("{LEAST}{text}"));
        assert_eq!(told[0].0, path, "{told:?}");
        assert_eq!(told.len(), if text.contains("999") { 2 } else { 1 }, "{told:?}");
    }
}

#[test]
fn problems_of_rules_stand_at_their_place_beside_left_out_ones() {
    let told = told(&format!("{LEAST}routes: [ 1, {{ name: r, respond: {{ status: 999 }} }} ]"));
    assert_eq!(told[1].0, "2:44 routes[1].respond.status", "{told:?}");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let mut text = format!("{LEAST}routes:\n");
    (0..500).for_each(|i| text.push_str(&format!("  - {{ name: r{i}, respond: {{ status: x }} }}\n")));
    let problems = attempt_of(&text).problems;
    assert_eq!(problems.len(), repair::MOST + 1);
    assert!(problems[repair::MOST].what.starts_with("and more"), "{problems:?}");
}

#[test]
fn odd_files_are_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        file(&path)
    };
    let deep = format!("routes: {}", "[".repeat(100_000));
    let bomb = bomb();
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty", b"", "the file is empty"),
        ("comment", b"# nothing\n", "the file is empty"),
        ("binary", b"a: b\n\xc3\xa4x\xff\n", "not UTF-8"),
        ("utf16", b"\xff\xfea\0", "UTF-16"),
        ("nul", b"a\0: b", ""),
        ("deep", deep.as_bytes(), "nested"),
        ("bomb", bomb.as_bytes(), "too many values"),
        ("cycle", b"routes: &a [ *a ]", "never ends"),
        ("large", &vec![b' '; (16 << 20) + 1], "larger than 16 MiB"),
    ];
    for (name, bytes, what) in cases {
        let problems = at(name, bytes).unwrap_err();
        assert!(problems[0].what.contains(what), "{name}: {problems:?}");
        let text = problems[0].to_string();
        assert!(text.len() < 400 && !text.contains(['\n', '\0']), "{name}: {text}");
    }
    let binary = at("binary", b"a: b\n\xc3\xa4x\xff\n").unwrap_err();
    assert_eq!(binary[0].at.as_ref().map(|at| (at.line, at.column)), Some((2, 3)));
    assert!(file(folder.path()).unwrap_err()[0].what.contains("is a folder"));
    assert!(file(Path::new("/no/such/file")).unwrap_err()[0].what.contains("there is no file"));
    assert!(at("bom", format!("\u{feff}{LEAST}").as_bytes()).is_ok());
    assert!(at("crlf", LEAST.replace('\n', "\r\n").as_bytes()).is_ok());
}

#[test]
fn odd_values_do_not_break_the_line() {
    let long = "x y".repeat(1000);
    let text = format!(
        "{LEAST}\"a\\nb\": 1\nroutes:\n  - {{ name: \"a\\nb\", host: \"\\e[31m\", respond: {{ status: 200 }} }}\n  - \
         {{ name: {long}, timeout: {long}, match: {{ path: {{ prefix: \"a\\tb\" }} }}, respond: {{ status: {long} }} }}\n"
    );
    let problems = attempt_of(&text).problems;
    assert_eq!(problems.len(), 8, "{problems:?}");
    for problem in problems {
        let text = problem.to_string();
        assert!(text.len() < 300 && !text.contains(char::is_control), "{text}");
    }
}

/// Nine levels of nine aliases each.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [ x, x, x, x, x, x, x, x, x ]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [ {} ]\n", vec![below; 9].join(", ")));
    }
    text
}

/// Mistakes that do not touch each other, each one problem.
const MISTAKES: &[(&str, &str)] = &[
    ("threads: 0 ", "threads: x "),
    ("grace_period: 30s", "grace_periode: 30s"),
    ("address: 127.0.0.1:9901", "address: 0.0.0.0:9901"),
    ("format: json", "format: text"),
    ("wait: 30s", "wait: 3 hours"),
    ("policy: least_request", "policy: fastest"),
    ("tags: [ v2 ]", "tags: v2"),
    ("hash: [ { header: x-user-id }", "hash: [ { heeder: x-user-id }"),
    ("srv: true", "srv: true, port"),
    ("address: 10.0.0.7:80", "address: ten:80"),
    ("cluster: web-v2", "cluster: web-v9"),
    ("retry: { attempts: 2 }", "retry: { attempts: 11 }"),
    ("methods: [ GET, POST, DELETE ]", "methods: { GET: 1 }"),
    ("status: 308", "status: 200"),
    ("retry-after: \"60\"", "retry-after: 60"),
    ("name: q, present: true", "name: q"),
];

fn place() -> impl Strategy<Value = char> {
    prop::sample::select("{}[]:,-#&*!|>'\"%@`?$~< \n\tab01.\u{feff}\u{0}\u{e4}".chars().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_gives_a_config_or_problems(text in "[ -~\n\t{}:*&-]{0,200}") {
        prop_assert!(sane(&attempt_of(&text)));
    }

    #[test]
    fn any_bytes_give_a_config_or_problems(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        fs::write(&path, bytes).unwrap();
        prop_assert!(sane(&attempt(&path)));
    }

    #[test]
    fn a_damaged_example_gives_a_config_or_problems(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, prop::collection::vec(place(), 0..3)), 1..6),
    ) {
        let mut chars: Vec<char> = EXAMPLE.chars().collect();
        for (at, removed, added) in damage {
            let at = at.index(chars.len());
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, added);
        }
        let text: String = chars.into_iter().collect();
        prop_assert!(sane(&attempt_of(&text)));
    }

    #[test]
    fn so_many_mistakes_so_many_problems(chosen in prop::sample::subsequence(MISTAKES.to_vec(), 0..MISTAKES.len())) {
        let mut text = EXAMPLE.to_owned();
        for (right, wrong) in &chosen {
            // `srv` is on a line of its own, so its second key is too.
            let wrong = wrong.replace(", port", "\n      port: 80");
            prop_assert!(text.contains(right), "{}", right);
            text = text.replacen(right, &wrong, 1);
        }
        let problems = attempt_of(&text).problems;
        prop_assert_eq!(problems.len(), chosen.len(), "{:?}\n{:?}", chosen, problems);
    }
}

/// No config without problems told, and every place is in the text.
fn sane(attempt: &Attempt) -> bool {
    let lines = u32::try_from(attempt.text.lines().count()).unwrap_or(u32::MAX);
    let placed =
        |p: &Problem| p.at.as_ref().is_none_or(|at| at.column >= 1 && (1..=lines + 2).contains(&at.line));
    let one_line = |p: &Problem| !p.to_string().contains(['\n', '\0']);
    (attempt.config.is_some() || !attempt.problems.is_empty())
        && attempt.problems.iter().all(|p| (attempt.text.is_empty() || placed(p)) && one_line(p))
}
