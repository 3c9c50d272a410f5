use std::os::unix::fs::symlink;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn argv_is_read_as_a_shell_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let find = |name: &str, path: Option<&str>| named(name.as_ref(), path.map(str::as_ref), folder.path());
    assert_eq!(find("/usr/bin/x", None), Some("/usr/bin/x".into()));
    assert_eq!(find("./x", None), Some(at("./x")));
    assert_eq!(find("target/x", Some("/bin")), Some(at("target/x")));
    assert_eq!(find("x", None), None);
    fs::create_dir_all(at("a/x")).unwrap();
    fs::create_dir_all(at("b")).unwrap();
    fs::create_dir_all(at("c")).unwrap();
    fs::write(at("b/x"), "no program").unwrap();
    executable(&at("c/x"), "");
    // A folder and a file that is no program are passed over; a relative part of PATH counts from
    // where the process started.
    assert_eq!(find("x", Some("/nowhere:a:b:c")), Some(at("c/x")));
}

#[test]
fn the_binary_is_the_one_that_the_name_means_now() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    executable(&at("v1"), "1");
    executable(&at("v2"), "2");
    symlink(at("v1"), at("current")).unwrap();
    let own = fs::metadata(at("v1")).unwrap();
    let found = named(at("current").as_os_str(), None, Path::new("/")).unwrap();
    assert!(same(&found, &own) && !same(&at("v2"), &own));
    fs::remove_file(at("current")).unwrap();
    symlink(at("v2"), at("current")).unwrap();
    assert_eq!(fs::read_to_string(found).unwrap(), "2", "the link is followed at the upgrade");
}

#[test]
fn a_deleted_file_is_found_under_its_name() {
    assert_eq!(undeleted("/usr/bin/tidegate (deleted)".into()), Path::new("/usr/bin/tidegate"));
    assert_eq!(undeleted("/usr/bin/tidegate".into()), Path::new("/usr/bin/tidegate"));
}

#[test]
fn this_very_test_is_found() {
    let program = Program::at_start().unwrap();
    assert!(same(program.path(), &fs::metadata("/proc/self/exe").unwrap()), "{program:?}");
}

fn shell(script: &str) -> Program {
    Program { path: "/bin/sh".into(), argv: ["sh", "-c", script].map(OsString::from).to_vec() }
}

#[tokio::test]
async fn an_heir_has_the_channel_as_its_stdin() {
    let (mut process, stream) = shell("echo $TIDEGATE_HEIR-$0 >&0; exit 3").start().unwrap();
    assert_eq!(process.ended().await, "it exited with status 3");
    let mut said = String::new();
    Read::read_to_string(&mut { stream }, &mut said).unwrap();
    assert_eq!(said, "1-sh\n");
}

#[tokio::test]
async fn an_orphan_is_nobodys_child_and_has_the_channel_too() {
    let script = "echo $TIDEGATE_HEIR $PPID >&0; read line; echo $line >&0";
    let (mut process, stream) = shell(script).orphan().unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(stream.try_clone().unwrap()));
    let said = lines.next().unwrap().unwrap();
    let parent: u32 = said.strip_prefix("1 ").unwrap().parse().unwrap();
    assert_ne!(parent, std::process::id());
    io::Write::write_all(&mut &stream, b"word\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "word");
    process.ended().await;
}

#[test]
fn an_orphan_that_is_no_program_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "no program").unwrap();
    let program = Program { path, argv: vec!["x".into()] };
    assert_eq!(program.orphan().unwrap_err().to_string(), "it is no program that can be run");
}

#[tokio::test]
async fn an_end_is_seen_and_reaped() {
    let (mut process, _stream) = shell("exec sleep 100").start().unwrap();
    let pid = process.pid();
    assert!(process.ours());
    assert!(timeout(Duration::from_millis(50), process.ended()).await.is_err(), "it still runs");
    let mut seen = Process::other(pid).unwrap();
    assert!(!seen.ours());
    process.kill().await;
    assert_eq!(seen.ended().await, "it is gone");
    assert!(Process::other(pid).is_err(), "no zombie is left");
    let (mut process, _stream) = shell("exec sleep 100").start().unwrap();
    process.terminate();
    assert_eq!(process.ended().await, "it was killed by signal 15");
}

#[tokio::test]
async fn a_child_that_is_let_go_is_reaped_all_the_same() {
    let (process, _stream) = shell("read line").start().unwrap();
    let pid = process.pid();
    drop(process);
    drop(_stream);
    for _ in 0..200 {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pid} is a zombie");
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    let program = Program { path: "/nowhere/tidegate".into(), argv: Vec::new() };
    assert_eq!(program.start().unwrap_err().kind(), io::ErrorKind::NotFound);
}
