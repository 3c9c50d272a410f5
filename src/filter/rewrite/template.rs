//! What a regex match is replaced by: text with `$1` and `${name}`.
//!
//! `$1` takes all digits that follow and nothing else, so `$1a` is group 1 and an `a`; `$$` is a dollar. A group that
//! took no part in the match is empty.

use regex::{Captures, Regex};

use crate::config::Problem;

/// A parsed replacement. After [`Template::bind`] every group is one that the regex has.
#[derive(Debug)]
pub struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

// === impl Template ===

impl Template {
    /// Parses a replacement; `at` is its config path.
    pub(super) fn parse(text: &str, at: &str) -> Result<Self, Problem> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            pieces.push(Piece::Text(rest[..dollar].to_owned()));
            let (piece, tail) = group(&rest[dollar + 1..], text, at)?;
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        for piece in &pieces {
            if let Piece::Text(text) = piece {
                super::check(text, at)?;
            }
        }
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self(pieces))
    }

    /// Finds the groups in the regex.
    pub(super) fn bind(self, regex: &Regex, at: &str) -> Result<Self, Problem> {
        let names = || regex.capture_names().flatten();
        let known = match (regex.captures_len() - 1, names().collect::<Vec<_>>().join(", ")) {
            (0, _) => "the regex has no groups; put (...) around what is to be kept".to_owned(),
            (count, names) if names.is_empty() => format!("the regex has the groups 1 to {count}"),
            (count, names) => format!("the regex has the groups 1 to {count}, named {names}"),
        };
        let unknown =
            |group: &str| Problem::new(at, format!("the regex has no group `{group}`")).hint(known.as_str());
        let pieces = self.0.into_iter().map(|piece| match piece {
            Piece::Group(number) if number >= regex.captures_len() => Err(unknown(&number.to_string())),
            Piece::Named(name) => match regex.capture_names().position(|known| known == Some(&*name)) {
                Some(number) => Ok(Piece::Group(number)),
                None => Err(unknown(&name).did_you_mean(&name, names())),
            },
            piece => Ok(piece),
        });
        pieces.collect::<Result<_, _>>().map(Self)
    }

    /// The path with the match replaced.
    pub(super) fn fill(&self, path: &str, captures: &Captures<'_>) -> String {
        let matched = captures.get_match().range();
        let mut filled = path[..matched.start].to_owned();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Group(number) => filled.push_str(captures.get(*number).map_or("", |m| m.as_str())),
                // Bound at compile time.
                Piece::Named(name) => filled.push_str(captures.name(name).map_or("", |m| m.as_str())),
            }
        }
        filled.push_str(&path[matched.end..]);
        filled
    }
}

/// The piece after a `$`, and what follows it.
fn group<'t>(text: &'t str, whole: &str, at: &str) -> Result<(Piece, &'t str), Problem> {
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
    Ok((name.parse().map_or_else(|_| Piece::Named(name.to_owned()), Piece::Group), tail))
}
