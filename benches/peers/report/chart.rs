//! The chart: for each scenario a bar for each peer, shorter is better, with a line from the least to the
//! most of the rounds. Plain SVG, written by hand: it needs no more than rectangles and words.

use crate::outcome::{Outcome, Row};

const WIDTH: f64 = 860.0;
/// Where bars begin and how long the longest is; what is right of it is for its figure.
const LEFT: f64 = 120.0;
const LONGEST: f64 = 560.0;
const BAR: f64 = 20.0;
const HEAD: f64 = 44.0;

pub(super) fn text(about: &str, outcomes: &[Outcome]) -> String {
    let mut body = String::new();
    let mut y = 8.0;
    for sentence in about.split_inclusive(". ") {
        y += 16.0;
        body.push_str(&words(10.0, y, "about", sentence.trim_end()));
    }
    for outcome in outcomes {
        y += HEAD;
        let title = format!("{} - {}", outcome.scenario.title(), outcome.main_figure().title());
        body.push_str(&words(10.0, y - 12.0, "title", &title));
        let most = |row: &Row| row.spread(outcome.main_figure()).map_or(0.0, |spread| spread.most);
        let scale = LONGEST / outcome.rows.iter().map(most).fold(f64::MIN_POSITIVE, f64::max);
        for row in &outcome.rows {
            body.push_str(&bar(outcome, row, y, scale));
            y += BAR;
        }
    }
    let height = y + 16.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

const STYLE: &str = ".title{font-weight:bold}.about{fill:#666;font-size:11px}.own{fill:#0a7c86}\
                     .floor{fill:#fff;stroke:#888}.other{fill:#b9c3cc}.range{stroke:#333}.value{fill:#333}";

/// A bar with its name, its figure and its ratio.
fn bar(outcome: &Outcome, row: &Row, y: f64, scale: f64) -> String {
    let figure = outcome.main_figure();
    let mut text = words(10.0, y + 13.0, "value", &row.peer);
    let Some(spread) = row.spread(figure) else {
        return text + &words(LEFT, y + 13.0, "about", row.note.as_deref().unwrap_or("not measured"));
    };
    let class = match row.peer.as_str() {
        "Tidegate" => "own",
        "bare Pingora" => "floor",
        _ => "other",
    };
    // Memory of a connection may come out below nothing, within its noise.
    let at = |value: f64| value.max(0.0) * scale;
    let (x, middle) = (LEFT + at(spread.least), y + 9.0);
    text.push_str(&format!(
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\"/>\n\
         <line class=\"range\" x1=\"{x:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\"/>\n",
        y + 2.0,
        at(spread.median),
        LEFT + at(spread.most),
    ));
    let ratio = outcome.tidegate().and_then(|tidegate| row.ratio(tidegate, figure));
    let ratio = ratio.map_or(String::new(), |ratio| format!("  x{:.2}", ratio.median));
    let figure = format!("{:.*}{ratio}", figure.digits(), spread.median);
    text + &words(LEFT + at(spread.most) + 8.0, y + 13.0, "value", &figure)
}

fn words(x: f64, y: f64, class: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n")
}
