//! Reads a config file: text to [`Config`], or every problem with its place in the file.
//!
//! The way: bytes -> text ([`read`]) -> tree of nodes with places ([`build`]) -> `${ENV}`
//! ([`expand`]) -> types, mistake by mistake ([`repair`]) -> rules between keys
//! ([`validate`](super::validate)). Nothing stops at the first problem but a text that is not YAML.
//! Reading is synchronous on purpose: it also happens before any runtime exists.
//!
//! Relative paths in the file (`token_file`, `file:` secrets, `state_dir`, ...) start from the
//! file's own folder, so that a config works the same from wherever the proxy is started.

mod build;
mod de;
mod expand;
mod mistake;
mod places;
mod read;
mod repair;
mod syntax;
mod tree;
mod words;

use std::path::{Path, PathBuf};

pub use self::places::Places;
use crate::config::boot::Certificate;
use crate::config::{Config, File, Problem, validate};

/// What a file gave, problems or not.
#[derive(Debug)]
pub struct Attempt {
    /// What could be read; parts with problems are left out or hold something meaningless. None:
    /// nothing. Only to look for more problems in; with any problem at all it must not be run.
    pub config: Option<Config>,
    /// Every problem, in the order of the file.
    pub problems: Vec<Problem>,
    pub places: Places,
    /// The text, to show the lines of problems.
    pub text: String,
}

/// Reads, expands, parses and validates a file.
///
/// # Errors
///
/// Every problem found, each with its place.
pub fn file(path: &Path) -> Result<(Config, Places), Vec<Problem>> {
    attempt(path).finish()
}

/// As [`file()`]; and where there are problems, `compile` is asked for more of them in what could
/// be read, so that all come at once. A good config is not compiled here: whoever runs it does so
/// anyway.
///
/// # Errors
///
/// Every problem found, each with its place.
pub fn file_and(
    path: &Path,
    compile: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<(Config, Places), Vec<Problem>> {
    let mut attempt = attempt(path);
    if !attempt.problems.is_empty()
        && let Some(config) = &attempt.config
    {
        let more = compile(config);
        attempt.add(more);
    }
    attempt.finish()
}

/// As [`file()`], for a text that is already in memory; `path` names it in problems, and its folder
/// is where relative paths start.
///
/// # Errors
///
/// Every problem found, each with its place.
pub fn text_of(text: &str, path: &Path) -> Result<(Config, Places), Vec<Problem>> {
    attempt_text(text, path, &from_environment).finish()
}

/// As [`file()`], but gives what could be read beside the problems, so that `tidegate check` can
/// look on.
pub fn attempt(path: &Path) -> Attempt {
    match read::text(path) {
        Ok(text) => attempt_text(&text, path, &from_environment),
        Err(problem) => {
            Attempt { config: None, problems: vec![*problem], places: Places::default(), text: String::new() }
        }
    }
}

/// As [`attempt`], for a text in memory and any environment.
pub fn attempt_text(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Attempt {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let built = build::build(text);
    let mut flaws = built.flaws;
    let mut root = built.root;
    let mut config = None;
    if let Some(root) = &mut root {
        expand::expand(root, env, &mut flaws);
        config = repair::read::<File>(root, base, &mut flaws).map(Config::from);
    } else if flaws.is_empty() {
        let hint =
            "the least it needs is a listener, a route and what the route answers; see conf/static.yaml";
        flaws.push((tree::Mark::START, Problem::new("", "the file is empty").hint(hint)));
    }
    if config.is_none() && flaws.is_empty() {
        flaws.push((tree::Mark::START, Problem::new("", "the file cannot be read as a config")));
    }
    let places = Places::new(path.to_owned(), root);
    let mut problems: Vec<Problem> = flaws.into_iter().map(|flaw| places.told(flaw)).collect();
    if let Some(config) = &mut config {
        problems.extend(places.place(validate::validate(config)));
        rebase(config, base);
    }
    settle(&mut problems);
    Attempt { config, problems, places, text: text.to_owned() }
}

// === impl Attempt ===

impl Attempt {
    /// The config if there was no problem, else the problems.
    ///
    /// # Errors
    ///
    /// Every problem.
    pub fn finish(self) -> Result<(Config, Places), Vec<Problem>> {
        match self.config {
            Some(config) if self.problems.is_empty() => Ok((config, self.places)),
            _ => Err(self.problems),
        }
    }

    /// Adds what a later stage found in [`config`](Self::config), less what is told already.
    pub fn add(&mut self, problems: Vec<Problem>) {
        let told = |known: &[Problem], new: &Problem| known.iter().any(|k| k.path == new.path);
        let mut new = self.places.place(problems);
        new.retain(|p| p.path.is_empty() || !told(&self.problems, p));
        self.problems.append(&mut new);
        settle(&mut self.problems);
    }
}

// === pieces ===

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Sorts by place, those without one last, and keeps each problem on one line whatever it quotes.
fn settle(problems: &mut [Problem]) {
    for problem in problems.iter_mut() {
        let texts = [&mut problem.path, &mut problem.what];
        for text in texts.into_iter().chain(&mut problem.hint) {
            if text.contains(char::is_control) {
                *text = words::escaped(text);
            }
        }
    }
    let place = |p: &Problem| p.at.as_ref().map_or((u32::MAX, u32::MAX), |at| (at.line, at.column));
    problems.sort_by_key(place);
}

/// Makes the paths of a config start from the folder of its file. (Secrets did so when they were
/// read.)
fn rebase(config: &mut Config, base: &Path) {
    let rebase = |path: &mut PathBuf| {
        if path.is_relative() {
            *path = base.join(&path);
        }
    };
    let Config { boot, live } = config;
    rebase(&mut boot.server.upgrade_socket);
    let optional = [
        &mut boot.server.pid_file,
        &mut boot.server.state_dir,
        &mut boot.admin.token_file,
        &mut live.consul.token_file,
        &mut live.consul.ca,
        &mut live.consul.cert,
        &mut live.consul.key,
    ];
    optional.into_iter().flatten().for_each(rebase);
    for tls in boot.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        for Certificate { cert, key, ocsp } in &mut tls.certificates {
            [Some(cert), Some(key), ocsp.as_mut()].into_iter().flatten().for_each(rebase);
        }
        tls.client_auth.iter_mut().for_each(|auth| rebase(&mut auth.ca));
    }
    for tls in live.clusters.values_mut().filter_map(|cluster| cluster.tls.as_mut()) {
        [&mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten().for_each(rebase);
    }
    let log = &mut live.access_log.path;
    if !matches!(log.as_str(), "stdout" | "stderr" | "none") && Path::new(log.as_str()).is_relative() {
        *log = base.join(&log).display().to_string();
    }
}

#[cfg(test)]
mod tests;
