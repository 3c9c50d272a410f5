//! Curves over time, one below the other. Plain SVG, written by hand.

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const HEIGHT: f64 = 130.0;
const GAP: f64 = 46.0;

/// A figure over time.
pub(crate) struct Curve<'a> {
    pub(crate) title: String,
    /// `(seconds, value)`
    pub(crate) samples: &'a [(f64, f64)],
}

/// The chart. `warm`: until then nothing counts.
pub(crate) fn text(about: &str, curves: &[Curve<'_>], warm: f64) -> String {
    let mut body = words(10.0, 18.0, "about", about);
    let mut top = 30.0;
    for curve in curves {
        body.push_str(&drawn(curve, top + 20.0, warm));
        top += HEIGHT + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>.title{{font-weight:bold}}.about{{fill:#666;font-size:11px}}\
         .curve{{fill:none;stroke:#0a7c86;stroke-width:1.5}}.warm{{fill:#eee}}.axis{{stroke:#888}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{top}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// From nothing to the most, so that a drift is as large as it is.
fn drawn(curve: &Curve<'_>, top: f64, warm: f64) -> String {
    let most = |of: fn(&(f64, f64)) -> f64| curve.samples.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
    let (last, highest) = (most(|s| s.0), most(|s| s.1) * 1.1);
    let x = |seconds: f64| LEFT + seconds / last * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| top + HEIGHT * (1.0 - value / highest);
    let points: Vec<_> = curve.samples.iter().map(|s| format!("{:.1},{:.1}", x(s.0), y(s.1))).collect();
    let bottom = top + HEIGHT;
    words(LEFT, top - 6.0, "title", &curve.title)
        + &format!(
            "<rect class=\"warm\" x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>\n\
             <polyline class=\"curve\" points=\"{}\"/>\n\
             <line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\"/>\n",
            x(warm.min(last)) - LEFT,
            points.join(" "),
            WIDTH - RIGHT,
        )
        + &words(10.0, top + 12.0, "about", &format!("{highest:.1}"))
        + &words(10.0, bottom, "about", "0")
        + &words(WIDTH - RIGHT - 50.0, bottom + 14.0, "about", &format!("{last:.0} s"))
}

fn words(x: f64, y: f64, class: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n")
}
