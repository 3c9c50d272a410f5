//! The dashboard: three files in the binary, no build step, nothing fetched from elsewhere.
//!
//! The page holds no data of its own; its script asks `/v1/*` like any other client. Text from the
//! outside reaches it as text nodes only, never as markup.

pub(super) const INDEX: &str = include_str!("ui/index.html");
pub(super) const SCRIPT: &str = include_str!("ui/app.js");
pub(super) const STYLE: &str = include_str!("ui/style.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::path;

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for text in [INDEX, SCRIPT, STYLE] {
            for mark in ["http:", "https:", "src=\"//", "href=\"//", "@import", "url(", "innerHTML", "eval("]
            {
                assert!(!text.contains(mark), "`{mark}`");
            }
        }
        assert!(!INDEX.contains("style=") && !INDEX.contains("<style") && !INDEX.contains("onclick"));
    }

    #[test]
    fn every_path_that_the_page_asks_for_exists() {
        let mut seen = 0;
        for quote in ['"', '`'] {
            for literal in INDEX.split(quote).chain(SCRIPT.split(quote)) {
                if !literal.starts_with("/v1/") && !literal.starts_with("/ui/") {
                    continue;
                }
                let mut asked = String::new();
                for (i, part) in literal.split("${").enumerate() {
                    let fixed = if i == 0 { part } else { part.split_once('}').unwrap().1 };
                    asked += if i == 0 { "" } else { "x" };
                    asked += fixed;
                }
                assert!(path::find(&asked).is_some(), "{literal}");
                seen += 1;
            }
        }
        assert!(seen >= 8, "only {seen} found");
    }
}
