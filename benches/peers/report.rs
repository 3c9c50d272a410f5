//! What a run says: tables to read, the same as JSON, and a chart.

mod chart;
mod json;
mod table;

use std::fs;
use std::path::Path;

use crate::Result;
use crate::outcome::Outcome;

/// Prints the tables, and writes `peers.md`, `peers.json` and `peers.svg`.
pub(crate) fn write(folder: &Path, about: &str, outcomes: &[Outcome]) -> Result<()> {
    let text = table::text(about, outcomes);
    println!("\n{text}");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("peers.md"), text)?;
    fs::write(folder.join("peers.json"), json::text(about, outcomes)?)?;
    fs::write(folder.join("peers.svg"), chart::text(about, outcomes))?;
    println!("also in {}: peers.md, peers.json, peers.svg", folder.display());
    Ok(())
}
