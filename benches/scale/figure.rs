//! The figures and their targets: a table to read, and the same as JSON.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;

/// One figure.
pub(crate) struct Figure {
    part: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    /// The most that it may be. None: it is told for information.
    most: Option<f64>,
}

/// All of a run.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

// === impl Figure ===

impl Figure {
    fn met(&self) -> Option<bool> {
        self.most.map(|most| self.value <= most)
    }

    fn cells(&self) -> [String; 5] {
        let target = self.most.map_or_else(String::new, |most| format!("<= {}", number(most)));
        let verdict = self.met().map_or("", |met| if met { "met" } else { "MISSED" });
        let value = format!("{} {}", number(self.value), self.unit);
        [self.part.into(), self.name.clone(), value.trim_end().into(), target, verdict.into()]
    }
}

// === impl Figures ===

impl Figures {
    /// One for information.
    pub(crate) fn tell(
        &mut self,
        part: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) {
        self.add(Figure { part, name: name.into(), value, unit, most: None });
    }

    /// One that may be so much at most.
    pub(crate) fn hold(
        &mut self,
        part: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        most: f64,
    ) {
        self.add(Figure { part, name: name.into(), value, unit, most: Some(most) });
    }

    fn add(&mut self, figure: Figure) {
        let [part, name, value, target, verdict] = figure.cells();
        eprintln!("scale: {part}: {name}: {value} {target} {verdict}");
        self.0.push(figure);
    }

    /// A table that reads well in a terminal and in Markdown.
    pub(crate) fn table(&self) -> String {
        let head = ["", "what", "measured", "target", ""].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.0.iter().map(Figure::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(1);
        let widths: Vec<_> = (0..5).map(width).collect();
        let mut text = String::new();
        for (i, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            text.push_str(&format!("|{}\n", cells.collect::<String>()));
            if i == 0 {
                let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
                text.push_str(&format!("|{}\n", rule.collect::<String>()));
            }
        }
        text
    }

    /// Prints the table and writes `scale.json`.
    pub(crate) fn write(&self, folder: &Path, about: &str) -> Result<()> {
        println!("\n{about}\n\n{}", self.table());
        let figures: Vec<_> = self.0.iter().map(Value::from).collect();
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(&json!({ "about": about, "figures": figures }))?;
        fs::write(folder.join("scale.json"), text + "\n")?;
        println!("also in {}: scale.json", folder.display());
        Ok(())
    }

    /// The names of those that missed their target.
    pub(crate) fn missed(&self) -> Vec<&str> {
        let missed = self.0.iter().filter(|figure| figure.met() == Some(false));
        missed.map(|figure| figure.name.as_str()).collect()
    }
}

impl From<&Figure> for Value {
    fn from(figure: &Figure) -> Self {
        json!({
            "part": figure.part, "name": figure.name, "value": figure.value, "unit": figure.unit,
            "target": figure.most, "met": figure.met(),
        })
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}
