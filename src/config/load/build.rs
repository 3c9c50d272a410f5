//! Builds the tree of a YAML text.
//!
//! Anchors, aliases and merge keys (`<<`) work. What the loader could only guess about is refused,
//! with the place: duplicate keys, keys that are no text, tags other than `!!str`, a second
//! document. Aliases can make a small file huge, so depth and size are bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag,
};

use super::syntax;
use super::tree::{Entry, Mark, Node, Scalar, Step, Value};
use crate::config::Problem;

/// Levels of lists and mappings. The deepest key of a config is at about ten.
const MAX_DEPTH: usize = 64;

/// Values in a file after its aliases are expanded, a text of 16 bytes counting as one more. About
/// ten times what a file of 10,000 routes holds.
const MAX_WEIGHT: usize = 4_000_000;

/// A problem whose place is known, but not yet the file.
pub(crate) type Flaw = (Mark, Problem);

/// What could be built.
#[derive(Debug)]
pub(crate) struct Built {
    /// None: the file is empty, or not YAML.
    pub(crate) root: Option<Node>,
    pub(crate) flaws: Vec<Flaw>,
}

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    documents: usize,
    weight: usize,
    flaws: Vec<Flaw>,
}

/// A list or mapping that is not closed yet.
struct Open {
    at: Mark,
    anchor: usize,
    /// Written in brackets.
    flow: bool,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value is awaited.
struct Key {
    at: Mark,
    /// None: it was no text; its value is dropped.
    text: Option<Arc<str>>,
}

/// Up to so many keys of a mapping are compared one by one.
const FEW: usize = 16;

/// Where each key of a mapping stands first; none: it has few, which are compared one by one.
struct Lines(Option<HashMap<Arc<str>, u32>>);

/// The file is too large or too deep to go on with; why, is told already.
struct TooMuch;

/// Reads a text into a tree.
pub(crate) fn build(text: &str) -> Built {
    let mut builder = Builder {
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        weight: 0,
        flaws: Vec::new(),
    };
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    for event in Parser::new_from_str_with_options(text, options) {
        let goes_on = match event {
            Ok((event, span)) => builder.event(event, &span).is_ok(),
            Err(error) => builder.broken(&error),
        };
        if !goes_on {
            return Built { root: None, flaws: builder.flaws };
        }
        if builder.documents > 1 {
            break;
        }
    }
    Built { root: builder.root, flaws: builder.flaws }
}

// === impl Builder ===

impl Builder {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), TooMuch> {
        let at = mark(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, tag, at, anchor),
            Event::SequenceStart(style, anchor, tag) => {
                self.tag(tag, at);
                let flow = style == StructureStyle::Flow;
                self.start(Open { at, anchor, flow, kind: Kind::List(Vec::new()) })
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tag(tag, at);
                let flow = style == StructureStyle::Flow;
                self.start(Open { at, anchor, flow, kind: Kind::Map { entries: Vec::new(), key: None } })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::UnresolvedAlias(name) => self.unresolved(&name, at),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.flaw(at, "a second document starts here; a config is one document");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A YAML error ends the reading; whatever was found before it stays told.
    fn broken(&mut self, error: &ScanError) -> bool {
        let marker = error.marker();
        let at = Mark { line: count(marker.line()), column: count(marker.col() + 1) };
        let (what, mut hint) = syntax::explain(error.kind());
        // What goes wrong on a later line is mostly the bracket that was not closed.
        if let Some(Open { at: start, kind, .. }) = self.open.iter().find(|o| o.flow && o.at.line < at.line) {
            let bracket = if matches!(kind, Kind::List(_)) { '[' } else { '{' };
            hint = format!("is the `{bracket}` on line {}, column {} closed?", start.line, start.column);
        }
        let problem = Problem::new(self.path(), what);
        self.flaws.push((at, if hint.is_empty() { problem } else { problem.hint(hint) }));
        false
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        at: Mark,
        anchor: usize,
    ) -> Result<(), TooMuch> {
        let plain = style == ScalarStyle::Plain && !self.tag(tag, at);
        let scalar = Scalar { text: text.into(), plain, expanded: false };
        self.complete(Node::new(at, Value::Scalar(scalar)), anchor)
    }

    /// Whether the tag says that a scalar is a text. Other tags are refused.
    fn tag(&mut self, tag: Option<Cow<'_, Tag>>, at: Mark) -> bool {
        match tag {
            None => false,
            Some(tag) if tag.is_yaml_core_schema_tag("str") => true,
            Some(tag) if tag.core_suffix().is_some() => false,
            Some(tag) => {
                self.flaw(at, format!("the tag `{tag}` means nothing here; leave it out"));
                false
            }
        }
    }

    fn start(&mut self, open: Open) -> Result<(), TooMuch> {
        if self.open.len() >= MAX_DEPTH {
            let what = format!("lists and mappings are nested more than {MAX_DEPTH} levels deep");
            self.flaws.push((open.at, Problem::new("", what)));
            return Err(TooMuch);
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), TooMuch> {
        let Some(Open { at, anchor, kind, .. }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { entries, .. } => Value::Map(self.close(entries)),
        };
        self.complete(Node::new(at, value), anchor)
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Result<(), TooMuch> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.flaw(at, "an alias inside of what it stands for never ends");
            return Err(TooMuch);
        };
        if self.open.len() + node.depth() > MAX_DEPTH {
            self.flaw(at, format!("with this alias, the config is nested more than {MAX_DEPTH} levels deep"));
            return Err(TooMuch);
        }
        self.weight += node.weight();
        self.complete(node, 0)
    }

    /// The usual cause is a host pattern, so it is read as the text it was probably meant to be.
    fn unresolved(&mut self, name: &str, at: Mark) -> Result<(), TooMuch> {
        let text = format!("*{name}");
        let what = format!("`{text}` is read as an alias, and there is no anchor `&{name}`");
        let problem =
            Problem::new(self.path(), what).hint(format!("if it is a text, put it in quotes: \"{text}\""));
        self.flaws.push((at, problem));
        self.scalar(&text, ScalarStyle::DoubleQuoted, None, at, 0)
    }

    /// Puts a complete node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), TooMuch> {
        self.weight += 1;
        if self.weight > MAX_WEIGHT {
            self.flaw(node.at, "there are too many values, aliases included");
            return Err(TooMuch);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, key } => match key.take() {
                Some(Key { at, text: Some(text) }) => {
                    entries.push(Entry { key: text, at, value: node, meant: None });
                }
                Some(Key { text: None, .. }) => {}
                None => {
                    let text = match &node.value {
                        Value::Scalar(scalar) => Some(Arc::clone(&scalar.text)),
                        _ => None,
                    };
                    let wrong = text.is_none();
                    *key = Some(Key { at: node.at, text });
                    if wrong {
                        self.flaw(node.at, "a key must be a text, not a list or mapping");
                    }
                }
            },
        }
        Ok(())
    }

    /// Merges `<<`, and refuses the second of two equal keys.
    fn close(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut merged = Vec::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        // Most mappings have a handful of keys, and are as many as there are routes.
        let few = entries.len() <= FEW && entries.iter().all(|entry| &*entry.key != "<<");
        let mut lines = Lines((!few).then(|| HashMap::with_capacity(entries.len())));
        // The mapping is closed already: its own path is that of the value that is being completed.
        let path = self.path();
        for entry in entries {
            if &*entry.key == "<<" {
                merged.push(entry);
                continue;
            }
            if let Some(first) = lines.first(&kept, &entry.key) {
                let mut at_key = path.clone();
                Step::Key(&entry.key).push_to(&mut at_key);
                let what = format!("`{}` is given twice, first on line {first}", entry.key);
                self.flaws.push((entry.at, Problem::new(at_key, what).hint("keep one of them")));
                continue;
            }
            lines.put(&entry);
            kept.push(entry);
        }
        for entry in merged {
            self.merge(entry, &mut kept, &mut lines, &path);
        }
        kept
    }

    /// Adds what `<<` names, under keys that are not there yet.
    fn merge(&mut self, entry: Entry, kept: &mut Vec<Entry>, lines: &mut Lines, path: &str) {
        let sources = match entry.value.value {
            Value::List(items) => items,
            _ => vec![entry.value],
        };
        for source in sources {
            let Value::Map(entries) = source.value else {
                let problem = Problem::new(path, "`<<` takes a mapping, or a list of mappings, by alias");
                self.flaws.push((entry.at, problem.hint("write it as <<: *name")));
                continue;
            };
            for entry in entries {
                if lines.first(kept, &entry.key).is_none() {
                    lines.put(&entry);
                    kept.push(entry);
                }
            }
        }
    }

    fn flaw(&mut self, at: Mark, text: impl Into<String>) {
        let text = text.into();
        let path = self.path();
        self.flaws.push((at, super::words::split(path, &text)));
    }

    /// The path of the value that comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.kind {
                Kind::List(items) => Step::Item(items.len()).push_to(&mut path),
                Kind::Map { key: Some(Key { text: Some(text), .. }), .. } => {
                    Step::Key(text).push_to(&mut path)
                }
                Kind::Map { .. } => {}
            }
        }
        path
    }
}

// === impl Lines ===

impl Lines {
    fn first(&self, kept: &[Entry], key: &Arc<str>) -> Option<u32> {
        match &self.0 {
            Some(lines) => lines.get(key).copied(),
            None => kept.iter().find(|entry| entry.key == *key).map(|entry| entry.at.line),
        }
    }

    fn put(&mut self, entry: &Entry) {
        if let Some(lines) = &mut self.0 {
            lines.insert(Arc::clone(&entry.key), entry.at.line);
        }
    }
}

// === places ===

fn mark(span: &Span) -> Mark {
    Mark { line: count(span.start.line()), column: count(span.start.col() + 1) }
}

/// A file of at most 16 MiB has no line or column beyond u32.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
