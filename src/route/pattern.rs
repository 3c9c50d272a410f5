//! Regexes from the config: linear in time by construction, bounded in size by the limits here.
//!
//! The `regex` crate never backtracks, so a request cannot make a match slow; what an operator can
//! make big is the program, and `(\w{100}){100}` would be. Both the program and the lazily built
//! automaton are therefore capped. The bad side: a regex that is legal elsewhere, with large
//! counted repetitions of Unicode classes, is refused.
//!
//! Those of conditions are compiled below the crate's own door: it would turn each small one into a
//! whole automaton at once, which took nine tenths of the time to compile a table with regexes and most
//! of its memory. The lazy automaton is as quick from the second look on.

use regex::{Regex, RegexBuilder};
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Hir, HirKind, Literal, Look};

use crate::config::Problem;

/// Bytes that one compiled regex may take. `\w+` takes about a tenth of it.
const SIZE_LIMIT: usize = 256 << 10;

/// Bytes that the automaton of one regex may take on each thread that uses it.
const CACHE_LIMIT: usize = 256 << 10;

/// A regex that must match the whole text.
#[derive(Clone, Debug)]
pub struct Whole {
    regex: meta::Regex,
    lead: Box<str>,
}

/// Compiles a regex that may match anywhere.
///
/// # Errors
///
/// A problem at `at` when it is no regex, or too big.
pub fn anywhere(pattern: &str, at: &str) -> Result<Regex, Problem> {
    let builder = RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(CACHE_LIMIT).build();
    builder.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => too_big(at),
        other => no_regex(&other.to_string(), at),
    })
}

// === impl Whole ===

impl Whole {
    /// Compiles a regex that must match the whole text.
    ///
    /// The pattern is parsed by itself and then anchored: as text, `a)|(?:b` between `^(?:` and `)$` would
    /// become a regex that is not.
    ///
    /// # Errors
    ///
    /// A problem at `at` when it is no regex, or too big.
    pub fn new(pattern: &str, at: &str) -> Result<Self, Problem> {
        let hir = regex_syntax::parse(pattern).map_err(|error| no_regex(&error.to_string(), at))?;
        let mut lead = Vec::new();
        extend(&mut lead, &hir);
        let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let config = meta::Config::new()
            .nfa_size_limit(Some(SIZE_LIMIT))
            .hybrid_cache_capacity(CACHE_LIMIT)
            .dfa(false)
            .which_captures(WhichCaptures::None);
        let regex = meta::Builder::new().configure(config).build_from_hir(&whole).map_err(|error| {
            if error.size_limit().is_some() { too_big(at) } else { no_regex(&error.to_string(), at) }
        })?;
        Ok(Self { regex, lead: utf8(&lead).into() })
    }

    /// Whether it takes a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The literal text that everything it takes starts with. Errs on the short side.
    pub fn lead(&self) -> &str {
        &self.lead
    }
}

/// What of these bytes is a text; a class may end within a character.
fn utf8(bytes: &[u8]) -> &str {
    let whole = bytes.utf8_chunks().next();
    whole.map_or("", |chunk| chunk.valid())
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

fn no_regex(text: &str, at: &str) -> Problem {
    // The crate's text draws a caret over several lines; its last line is the sentence.
    let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Problem::new(at, format!("not a regex: {why}"))
        .hint("the syntax is that of Rust's regex crate: no look-around, no back-references")
}

fn too_big(at: &str) -> Problem {
    Problem::new(at, format!("the regex is over {} KiB when compiled", SIZE_LIMIT >> 10))
        .hint("use smaller repetition counts, or (?-u) where ASCII is enough")
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
            let regex = Whole::new(pattern, "").unwrap();
            assert!(regex.is_match(takes), "{pattern} takes {takes}");
            assert!(!regex.is_match(not), "{pattern} does not take {not}");
        }
    }

    #[test]
    fn what_is_no_regex_is_refused_also_if_wrapping_would_mend_it() {
        for pattern in ["(", "a)|(?:b", "[(])|(?:b[)]", r"\p{Nope}", "(?=a)"] {
            let problem = Whole::new(pattern, "p").unwrap_err();
            assert!(problem.what.starts_with("not a regex: "), "{problem}");
            assert!(!problem.what.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_huge_regex_is_refused() {
        let problem = Whole::new(r"(\w{100}){100}", "p").unwrap_err();
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
        ] {
            assert_eq!(Whole::new(pattern, "").unwrap().lead(), text, "{pattern}");
        }
    }
}
