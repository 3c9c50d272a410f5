//! Regexes from the config: linear in time by construction, bounded in size by the limits here.
//!
//! The `regex` crate never backtracks, so a request cannot make a match slow; what an operator can
//! make big is the program, and `(\w{100}){100}` would be. Both the program and the lazily built
//! automaton are therefore capped. The bad side: a regex that is legal elsewhere, with large
//! counted repetitions of Unicode classes, is refused.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Literal};

use crate::config::Problem;

/// Bytes that one compiled regex may take. `\w+` takes about a tenth of it.
const SIZE_LIMIT: usize = 256 << 10;

/// Bytes that the automaton of one regex may take on each thread that uses it.
const CACHE_LIMIT: usize = 256 << 10;

/// Compiles a regex that may match anywhere.
///
/// # Errors
///
/// A problem at `at` when it is no regex, or too big.
pub fn anywhere(pattern: &str, at: &str) -> Result<Regex, Problem> {
    build(pattern).map_err(|error| problem(&error, at))
}

/// Compiles a regex that must match the whole text.
///
/// The pattern is compiled by itself first: `a)|(?:b` is no regex, yet between `^(?:` and `)$` it
/// would become one that is not anchored.
///
/// # Errors
///
/// A problem at `at` when it is no regex, or too big.
pub fn whole(pattern: &str, at: &str) -> Result<Regex, Problem> {
    if pattern.contains(')') && regex_syntax::parse(pattern).is_err() {
        // Says why, in the words of the crate that compiles it.
        anywhere(pattern, at)?;
    }
    // In the `x` mode a comment at the end swallows the bracket that closes the group; a line break
    // ends it, and is ignored in that mode.
    build(&format!("^(?:{pattern})$"))
        .or_else(|error| match build(pattern) {
            Ok(_) => build(&format!("^(?:{pattern}\n)$")),
            Err(_) => Err(error),
        })
        .map_err(|error| problem(&error, at))
}

/// The literal text that everything the regex matches (as a [`whole`] one) must start with. Errs on
/// the short side.
pub fn lead(pattern: &str) -> String {
    let mut lead = Vec::new();
    if let Ok(hir) = regex_syntax::parse(pattern) {
        extend(&mut lead, &hir);
    }
    // A class of bytes may end within a character.
    let whole = std::str::from_utf8(&lead).unwrap_or_else(|error| {
        // Up to there it is UTF-8.
        std::str::from_utf8(lead.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
    });
    whole.to_owned()
}

/// Appends the text that a match of `hir` must start with. False: what follows it can be anything.
fn extend(lead: &mut Vec<u8>, hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(Literal(text)) => {
            lead.extend_from_slice(text);
            true
        }
        HirKind::Capture(group) => extend(lead, &group.sub),
        HirKind::Concat(parts) => parts.iter().all(|part| extend(lead, part)),
        HirKind::Alternation(ways) => {
            lead.extend(common(ways));
            false
        }
        HirKind::Repetition(again) if again.min > 0 => {
            extend(lead, &again.sub);
            false
        }
        HirKind::Repetition(_) | HirKind::Class(_) => false,
    }
}

/// What all of several ways start with.
fn common(ways: &[Hir]) -> Vec<u8> {
    let mut starts = ways.iter().map(|way| {
        let mut start = Vec::new();
        extend(&mut start, way);
        start
    });
    let first = starts.next().unwrap_or_default();
    starts.fold(first, |mut common, start| {
        common.truncate(common.iter().zip(&start).take_while(|(a, b)| a == b).count());
        common
    })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(CACHE_LIMIT).build()
}

fn problem(error: &regex::Error, at: &str) -> Problem {
    match error {
        regex::Error::CompiledTooBig(_) => {
            Problem::new(at, format!("the regex is over {} KiB when compiled", SIZE_LIMIT >> 10))
                .hint("use smaller repetition counts, or (?-u) where ASCII is enough")
        }
        // The crate's text draws a caret over several lines; its last line is the sentence.
        other => {
            let text = other.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Problem::new(at, format!("not a regex: {why}"))
                .hint("the syntax is that of Rust's regex crate: no look-around, no back-references")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_regex_is_anchored_whatever_it_holds() {
        for (pattern, takes, not) in [
            ("a|b", "a", "ab"),
            ("^/a/.*$", "/a/x", "x/a/x"),
            ("(?i)abc", "ABC", "abcd"),
            ("(?x) /a  # a comment", "/a", "/ab"),
            ("[)]", ")", "))"),
            ("(?m)a", "a", "a\na"),
        ] {
            let regex = whole(pattern, "").unwrap();
            assert!(regex.is_match(takes), "{pattern} takes {takes}");
            assert!(!regex.is_match(not), "{pattern} does not take {not}");
        }
    }

    #[test]
    fn what_is_no_regex_is_refused_also_if_wrapping_would_mend_it() {
        for pattern in ["(", "a)|(?:b", "[(])|(?:b[)]", r"\p{Nope}", "(?=a)"] {
            let problem = whole(pattern, "p").unwrap_err();
            assert!(problem.what.starts_with("not a regex: "), "{problem}");
            assert!(!problem.what.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_huge_regex_is_refused() {
        let problem = whole(r"(\w{100}){100}", "p").unwrap_err();
        assert_eq!(problem.what, "the regex is over 256 KiB when compiled");
    }

    #[test]
    fn the_lead_is_what_every_match_starts_with() {
        for (pattern, text) in [
            ("/users/[0-9]+", "/users/"),
            ("^/a/b$", "/a/b"),
            ("/ab?", "/a"),
            ("/ab*c", "/a"),
            ("/ab{0,2}", "/a"),
            ("/ab+", "/ab"),
            ("/a|/b", "/"),
            ("/a|b", ""),
            ("/a/(x|y)/b", "/a/"),
            ("/(abc|abd|ab)/", "/ab"),
            ("/a/[|]", "/a/|"),
            ("/a/[xy]", "/a/"),
            ("(?i)/a", "/"),
            ("/é|/è", "/"),
            (r"/a\.b", "/a.b"),
            ("(/a/)(b)c?", "/a/b"),
            ("(/a)+/b", "/a"),
            ("(/a)*/b", ""),
            ("(?x) /a  # |", "/a"),
            ("", ""),
            ("?", ""),
        ] {
            assert_eq!(lead(pattern), text, "{pattern}");
        }
    }
}
