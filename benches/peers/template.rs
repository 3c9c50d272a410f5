//! The peers' configs are files in `conf/`, written as their users write them, with marks for what a run
//! decides: `{{name}}` for a value, and lines of their own for what comes or stays away:
//!
//! ```text
//! %if full            until %else or %end, if the flag is set
//! %for guarded        until %end, for each i of the list: {{i}}
//! %end
//! ```
//!
//! A mark that nobody knows is an error. The bad side is one more little language; but a config that is
//! put together by code cannot be read, and so nobody could say whether it is fair.

use std::collections::HashMap;

use crate::Result;

/// What the marks mean in one config.
#[derive(Default)]
pub(crate) struct Values {
    pub(crate) values: HashMap<&'static str, String>,
    pub(crate) flags: HashMap<&'static str, bool>,
    pub(crate) lists: HashMap<&'static str, Vec<usize>>,
}

/// An open `%if` or `%for`.
enum Block<'a> {
    If { on: bool },
    For { over: &'a [usize], lines: Vec<&'a str> },
}

// === impl Values ===

impl Values {
    /// Fills in a template.
    pub(crate) fn fill<'a>(&'a self, template: &'a str) -> Result<String> {
        let mut out = String::new();
        let mut open: Vec<Block<'a>> = Vec::new();
        for line in template.lines() {
            match line.strip_prefix('%') {
                Some("end") => match open.pop().ok_or("%end without a beginning")? {
                    Block::For { over, lines } if shown(&open) => {
                        for i in over {
                            lines.iter().try_for_each(|line| self.line(line, Some(*i), &mut out))?;
                        }
                    }
                    Block::For { .. } | Block::If { .. } => {}
                },
                Some("else") => match open.last_mut() {
                    Some(Block::If { on }) => *on = !*on,
                    _ => return Err("%else without %if".into()),
                },
                Some(mark) if matches!(open.last(), Some(Block::For { .. })) => {
                    return Err(format!("%{mark} within %for").into());
                }
                Some(mark) => open.push(self.block(mark)?),
                None => {
                    if let Some(Block::For { lines, .. }) = open.last_mut() {
                        lines.push(line);
                    } else if shown(&open) {
                        self.line(line, None, &mut out)?;
                    }
                }
            }
        }
        if open.is_empty() { Ok(out) } else { Err("a block without %end".into()) }
    }

    fn block(&self, mark: &str) -> Result<Block<'_>> {
        let unknown = || format!("%{mark}? %if FLAG, %for LIST, %else, %end");
        let (kind, name) = mark.split_once(' ').ok_or_else(unknown)?;
        match kind {
            "if" => Ok(Block::If { on: *self.flags.get(name).ok_or_else(unknown)? }),
            "for" => Ok(Block::For { over: self.lists.get(name).ok_or_else(unknown)?, lines: Vec::new() }),
            _ => Err(unknown().into()),
        }
    }

    fn line(&self, line: &str, i: Option<usize>, out: &mut String) -> Result<()> {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or_else(|| format!("no }}}} in {line}"))?;
            out.push_str(before);
            match (name, i) {
                ("i", Some(i)) => out.push_str(&i.to_string()),
                _ => out.push_str(self.values.get(name).ok_or_else(|| format!("{{{{{name}}}}}?"))?),
            }
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
        Ok(())
    }
}

/// Whether all blocks around are on.
fn shown(open: &[Block<'_>]) -> bool {
    open.iter().all(|block| !matches!(block, Block::If { on: false }))
}
