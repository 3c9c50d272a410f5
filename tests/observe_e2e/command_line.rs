//! The other commands.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{eventually, free_port, http};

fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_says_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.yaml");
    let path = file.to_str().unwrap();
    let good = "listeners: [ { name: http, address: '127.0.0.1:8080' } ]\nroutes: [ { name: all, respond: { status: 200 } } ]\n";
    std::fs::write(&file, good).unwrap();
    let fine = tidegate(&["check", "-c", path]);
    assert_eq!(fine.status.code(), Some(0), "{}{}", text(&fine.stdout), text(&fine.stderr));
    let bad = good
        .replace("listeners", "listenrs")
        .replace("respond: { status: 200 }", "cluster: web, timeout: soon");
    std::fs::write(&file, bad).unwrap();
    let wrong = tidegate(&["check", "-c", path]);
    let said = text(&wrong.stdout) + &text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    for part in ["t.yaml:1:1", "did you mean `listeners`", "t.yaml:2:", "soon"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = tidegate(&["check", "-c", path, "--format", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.status.code(), Some(1));
    assert!(told.to_string().contains("listenrs"), "{told}");
}

#[test]
fn schema_and_completions_and_help_are_there() {
    let schema = tidegate(&["schema"]);
    let told: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(told["properties"]["routes"].is_object(), "{told}");
    for shell in ["bash", "zsh", "fish"] {
        let script = tidegate(&["completions", shell]);
        assert!(script.status.success() && text(&script.stdout).contains("tidegate"), "{shell}");
    }
    let mut bash = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &tidegate(&["completions", "bash"]).stdout)
        .unwrap();
    assert!(bash.wait().unwrap().success());
    let help = text(&tidegate(&["--help"]).stdout);
    for command in ["run", "check", "explain", "schema", "demo", "completions"] {
        assert!(help.contains(&format!("\n  {command}")), "{help}");
        assert!(tidegate(&[command, "--help"]).status.success(), "{command}");
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    assert!(text(&tidegate(&["--version"]).stdout).starts_with("tidegate "));
    let unknown = tidegate(&["rum"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("run"), "{}", text(&unknown.stderr));
    // A reader that goes away, as `head` does, is no panic.
    let mut schema = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let mut child = schema.arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_demo_answers_within_five_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let (listen, admin) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["demo", "--listen", &listen, "--admin", &admin]).kill_on_drop(true).current_dir(dir.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = http::client();
    let get = async |url: String| -> Result<String, String> {
        let answer = client.get(url).send().await.map_err(|e| e.to_string())?;
        answer.text().await.map_err(|e| e.to_string())
    };
    let text =
        eventually(Duration::from_secs(5), async || get(format!("http://{listen}/blue/hello")).await).await;
    assert!(text.contains("blue"), "{text}");
    assert!(get(format!("http://{admin}/v1/snapshot")).await.unwrap().contains("generation"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status =
        tokio::time::timeout(Duration::from_secs(3), child.wait()).await.expect("Ctrl-C ends it").unwrap();
    assert_eq!(status.code(), Some(0));
    let output = child.wait_with_output().await.unwrap();
    let (said, errors) =
        (super::command_line::text(&output.stdout), super::command_line::text(&output.stderr));
    assert!(
        said.contains(&format!("http://{listen}/")) && said.contains(&format!("http://{admin}/")),
        "{said}"
    );
    assert!(!errors.contains("panicked") && !errors.contains("ERROR"), "{errors}");
}
