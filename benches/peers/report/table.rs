//! Tables that read well in a terminal and in Markdown: medians with the least and the most, and the
//! ratio to Tidegate of what the scenario is about.

use crate::outcome::{Figure, Outcome, Row};

pub(super) fn text(about: &str, outcomes: &[Outcome]) -> String {
    let mut text = format!("{about}\n");
    for outcome in outcomes {
        text.push_str(&format!("\n### {}: {}\n\n", outcome.scenario.name(), outcome.scenario.title()));
        text.push_str(&aligned(&rows(outcome)));
        for row in &outcome.rows {
            if let Some(note) = &row.note {
                text.push_str(&format!("\n- {}: {note}", row.peer));
            }
        }
        text.push('\n');
    }
    text
}

/// The cells, headings first.
fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let main = outcome.main_figure();
    let shown = |figure: &Figure| outcome.rows.iter().any(|row| row.spread(*figure).is_some());
    let mut figures: Vec<_> = Figure::ALL.into_iter().filter(shown).collect();
    // What it is about comes first.
    figures.sort_by_key(|figure| *figure != main);
    let mut cells =
        vec![vec![String::new(), format!("{} (min-max)", main.title()), "ratio to Tidegate".into()]];
    cells[0].extend(figures.iter().skip(1).map(|figure| figure.title().to_owned()));
    cells.extend(outcome.rows.iter().map(|row| line(outcome, row, &figures)));
    cells
}

fn line(outcome: &Outcome, row: &Row, figures: &[Figure]) -> Vec<String> {
    let text = |figure: Figure| row.spread(figure).map_or_else(|| "-".into(), |s| s.text(figure.digits()));
    let main = outcome.main_figure();
    let ratio = outcome.tidegate().and_then(|tidegate| row.ratio(tidegate, main));
    let mut line = vec![row.peer.clone(), text(main), ratio.map_or_else(|| "-".into(), |r| r.text(2))];
    line.extend(figures.iter().skip(1).map(|figure| text(*figure)));
    line
}

/// With columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(i, (cell, width))| match i {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths
        .iter()
        .enumerate()
        .map(|(i, width)| match i {
            0 => format!("{}|", "-".repeat(width + 2)),
            _ => format!("{}:|", "-".repeat(width + 1)),
        })
        .collect();
    let mut lines = rows.iter().map(line);
    let head = lines.next().unwrap_or_default();
    format!("{head}|{rule}\n{}", lines.collect::<String>())
}
