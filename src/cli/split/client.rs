//! The questions about splits, over [`Admin`].

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::admin::{Admin, Failure};
use crate::cli::split::args::Target;
use crate::cli::split::wire::{Changed, Preview, Split, Weights, Wish};
use crate::config::problem::{closest, list};
use crate::config::value::Name;

/// Asks one admin API about its splits, and says who asks.
#[derive(Debug)]
pub(super) struct Client {
    admin: Admin,
    pub(super) author: String,
    /// How this was called, up to the command: `tidegate split --admin URL`.
    pub(super) call: String,
}

/// Who makes the changes: the person behind `sudo`, if there is one, at this machine.
fn author() -> String {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = var("SUDO_USER").or_else(|| var("USER")).unwrap_or_else(|| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| var("HOSTNAME"));
    match host.as_deref().map(str::trim).filter(|host| !host.is_empty()) {
        Some(host) => format!("{user}@{host}"),
        None => user,
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|e| Failure::Odd(format!("the answer is not as expected: {e}")))
}

/// The weights that a split gets when the targets are applied to what serves, and which variants
/// were not named.
pub(super) fn filled(split: &Split, targets: &[Target]) -> Result<(Vec<u64>, Vec<Name>), Failure> {
    let known = || split.variants.iter().map(|variant| variant.name.as_str());
    for target in targets {
        if !known().any(|name| name == target.name.as_str()) {
            let hint = match closest(target.name.as_str(), known()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("its variants are {}", list(known())),
            };
            let text = format!("route {} has no variant `{}`; {hint}", split.route, target.name);
            return Err(Failure::Odd(text));
        }
    }
    let said = |name: &Name| targets.iter().find(|target| target.name == *name).map(|target| target.weight);
    let weights = split.variants.iter().map(|v| said(&v.name).unwrap_or(v.weight)).collect();
    let kept = split.variants.iter().map(|v| &v.name).filter(|name| said(name).is_none());
    Ok((weights, kept.cloned().collect()))
}

// === impl Client ===

impl Client {
    pub(super) fn new(admin: Admin, call: String) -> Self {
        Self { admin, author: author(), call }
    }

    /// One or all, as the API says it.
    pub(super) async fn raw(&self, route: Option<&Name>) -> Result<Value, Failure> {
        match route {
            Some(route) => self.admin.read(&format!("/v1/splits/{route}")).await,
            None => self.admin.read("/v1/splits").await,
        }
    }

    pub(super) async fn all(&self) -> Result<Vec<Split>, Failure> {
        read(self.raw(None).await?)
    }

    pub(super) async fn one(&self, route: &Name) -> Result<Split, Failure> {
        read(self.raw(Some(route)).await?)
    }

    pub(super) async fn put(&self, route: &Name, wish: &Wish<'_>) -> Result<Changed, Failure> {
        read(self.admin.put(&format!("/v1/splits/{route}"), wish).await?)
    }

    pub(super) async fn reset(&self, route: &Name, wish: &Wish<'_>) -> Result<Changed, Failure> {
        read(self.admin.post(&format!("/v1/splits/{route}/reset"), wish).await?)
    }

    pub(super) async fn preview(&self, route: &Name, weights: &Weights) -> Result<Preview, Failure> {
        let body = serde_json::json!({ "weights": weights });
        read(self.admin.post(&format!("/v1/splits/{route}/preview"), &body).await?)
    }
}
