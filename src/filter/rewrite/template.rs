//! What a regex match is replaced by: text with `$1` and `${name}`.
//!
//! `$1` takes all digits that follow and nothing else, so `$1a` is group 1 and an `a`; `$$` is a
//! dollar. A group that took no part in the match is empty.

use regex::{Captures, Regex};

use crate::config::Problem;

/// A replacement for one regex: all its groups exist.
#[derive(Debug)]
pub struct Template(Vec<Piece<usize>>);

/// A parsed replacement, whose groups have yet to be found in the regex.
#[derive(Debug)]
pub(super) struct Draft(Vec<Piece<String>>);

#[derive(Debug)]
enum Piece<G> {
    Text(String),
    Group(G),
}

// === impl Draft ===

impl Draft {
    /// Parses a replacement; `at` is its config path.
    pub(super) fn parse(text: &str, at: &str) -> Result<Self, Problem> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let (piece, tail) = group(after, text, at)?;
            pieces.extend([Piece::Text(before.to_owned()), piece]);
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        for piece in &pieces {
            if let Piece::Text(text) = piece {
                super::check(text, at)?;
            }
        }
        Ok(Self(pieces))
    }

    /// Finds the groups in the regex, by name or number.
    pub(super) fn bind(self, regex: &Regex, at: &str) -> Result<Template, Problem> {
        let find = |group: &str| match group.parse() {
            Ok(number) => Some(number).filter(|number| *number < regex.captures_len()),
            Err(_) => regex.capture_names().position(|name| name == Some(group)),
        };
        let pieces = self.0.into_iter().map(|piece| match piece {
            Piece::Text(text) => Ok(Piece::Text(text)),
            Piece::Group(group) => find(&group).map(Piece::Group).ok_or_else(|| unknown(&group, regex, at)),
        });
        pieces.collect::<Result<_, _>>().map(Template)
    }
}

// === impl Template ===

impl Template {
    /// The path with the match replaced.
    pub(super) fn fill(&self, path: &str, captures: &Captures<'_>) -> String {
        let matched = captures.get_match().range();
        let mut filled = path[..matched.start].to_owned();
        for piece in &self.0 {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(number) => captures.get(*number).map_or("", |group| group.as_str()),
            });
        }
        filled.push_str(&path[matched.end..]);
        filled
    }
}

fn unknown(group: &str, regex: &Regex, at: &str) -> Problem {
    let names: Vec<_> = regex.capture_names().flatten().collect();
    let known = match regex.captures_len() - 1 {
        0 => "the regex has no groups; put (...) around what is to be kept".to_owned(),
        count if names.is_empty() => format!("the regex has the groups 1 to {count}"),
        count => format!("the regex has the groups 1 to {count}, named {}", names.join(", ")),
    };
    Problem::new(at, format!("the regex has no group `{group}`")).hint(known).did_you_mean(group, names)
}

/// The piece after a `$`, and what follows it.
fn group<'t>(text: &'t str, whole: &str, at: &str) -> Result<(Piece<String>, &'t str), Problem> {
    let wrong = || {
        Problem::new(at, format!("`{whole}` has a `$` that names no group"))
            .hint("write $1 or ${name}, and $$ for a dollar")
    };
    if let Some(tail) = text.strip_prefix('$') {
        return Ok((Piece::Text("$".into()), tail));
    }
    let (name, tail) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or_else(wrong)?,
        None => text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())),
    };
    if name.is_empty() {
        return Err(wrong());
    }
    Ok((Piece::Group(name.to_owned()), tail))
}
