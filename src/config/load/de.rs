//! serde over the tree: a [`Deserializer`] that knows, when a type refuses a value, which node it
//! was.
//!
//! Scalars are typed by YAML 1.2's core schema: `yes` and `on` are texts, `1.10` in quotes stays a
//! text, and a number where a text is wanted is a mistake rather than a guess. Two things are
//! looser. A text that holds a value from the environment fits whatever is wanted. A
//! [`Secret`](crate::config::value::Secret) takes any scalar, so that no message shows it.

use std::path::Path;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::mistake::{Error, Mistake};
use super::tree::{Entry, Node, Scalar, State, Value};
use crate::config::value::SECRET;

/// A node, as serde sees it. `base` is the folder that relative paths start from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct De<'a> {
    pub(crate) node: &'a Node,
    pub(crate) base: &'a Path,
}

/// What is to be read in place of the node, after its state.
enum View<'a> {
    Scalar(&'a Scalar),
    List(&'a [Node]),
    Map(&'a [Entry]),
    /// A text that stands in for one that cannot be used. Different for every place, since names
    /// must be.
    Invented(String),
}

/// What a plain scalar is by the core schema.
enum Typed<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

// === impl De ===

impl<'a> De<'a> {
    fn view(self) -> View<'a> {
        let at = self.node.at;
        match (self.node.state, &self.node.value) {
            (State::Text, _) => View::Invented(format!("unusable-{}-{}", at.line, at.column)),
            (State::Map, _) => View::Map(&[]),
            (_, Value::Scalar(scalar)) => View::Scalar(scalar),
            (_, Value::List(items)) => View::List(items),
            (_, Value::Map(entries)) => View::Map(entries),
        }
    }

    fn is_null(self) -> bool {
        matches!(self.view(), View::Scalar(s) if s.plain && matches!(typed(&s.text), Typed::Null))
    }

    /// Reads a scalar as YAML types it; `loose`: as if it had no quotes.
    fn typed_or<V: Visitor<'a>>(self, visitor: V, loose: bool) -> Result<V::Value, Error> {
        match self.view() {
            View::Invented(text) => visitor.visit_string(text),
            View::List(items) => visitor.visit_seq(Items { items, next: 0, base: self.base }),
            View::Map(entries) => visitor.visit_map(Entries { entries, next: 0, base: self.base }),
            View::Scalar(scalar) if !scalar.plain && !loose => visitor.visit_str(&scalar.text),
            View::Scalar(scalar) => match typed(&scalar.text) {
                Typed::Null => visitor.visit_unit(),
                Typed::Bool(value) => visitor.visit_bool(value),
                Typed::Unsigned(value) => visitor.visit_u64(value),
                Typed::Signed(value) => visitor.visit_i64(value),
                Typed::Float(value) => visitor.visit_f64(value),
                Typed::Text(text) => visitor.visit_str(text),
            },
        }
    }

    fn expanded(self) -> bool {
        matches!(self.view(), View::Scalar(scalar) if scalar.expanded)
    }

    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view() {
            View::Scalar(scalar) if scalar.expanded => visitor.visit_str(&scalar.text),
            _ => self.typed_or(visitor, false),
        }
    }

    /// The text of a secret, `file:` made relative to the config file's folder.
    fn secret(self) -> Option<String> {
        let View::Scalar(scalar) = self.view() else { return None };
        if self.is_null() {
            return None;
        }
        Some(match scalar.text.strip_prefix("file:") {
            Some(path) => format!("file:{}", self.base.join(path).display()),
            None => scalar.text.to_string(),
        })
    }
}

/// Numbers and truth values: a text from the environment is read as if it had no quotes.
macro_rules! loose {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
            let loose = self.expanded();
            self.typed_or(visitor, loose)
        }
    )*};
}

impl<'a> Deserializer<'a> for De<'a> {
    type Error = Error;

    loose! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.typed_or(visitor, false)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.secret() {
            Some(text) if name == SECRET => {
                visitor.visit_newtype_struct(IntoDeserializer::<Error>::into_deserializer(text))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    /// Derived types would also take their fields from a list, in the order of the Rust code.
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.view() {
            View::List(_) => Err(Error::new(Mistake::Type { wanted: format!("struct {name}") })),
            _ => self.typed_or(visitor, false),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.view() {
            View::Invented(text) => visitor.visit_enum(Unit { text: &text, name, variants }),
            View::Scalar(scalar) if !self.is_null() => {
                visitor.visit_enum(Unit { text: &scalar.text, name, variants })
            }
            View::Map(entries) => {
                let live = |(_, e): &(usize, &Entry)| e.value.present();
                let mut present = entries.iter().enumerate().filter(live);
                match (present.next(), present.next()) {
                    (Some((position, entry)), None) => {
                        visitor.visit_enum(Tagged { entry, position, base: self.base })
                    }
                    _ => Err(Error::new(Mistake::OneOf(variants))),
                }
            }
            _ => Err(Error::new(Mistake::Choice { name, variants })),
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

// === lists and mappings ===

struct Items<'a> {
    items: &'a [Node],
    next: usize,
    base: &'a Path,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while let Some(node) = self.items.get(self.next) {
            let position = self.next;
            self.next += 1;
            if node.present() {
                let value = seed.deserialize(De { node, base: self.base });
                return value.map(Some).map_err(|e| e.within(position));
            }
        }
        Ok(None)
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
    base: &'a Path,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some(entry) = self.entries.get(self.next) {
            if entry.value.present() {
                let key: StrDeserializer<'_, Error> = entry.name().into_deserializer();
                return seed.deserialize(key).map(Some).map_err(|e| e.at_key(self.next));
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let position = self.next;
        let entry = self.entries.get(position).ok_or_else(|| de::Error::custom("a value without a key"))?;
        self.next += 1;
        seed.deserialize(De { node: &entry.value, base: self.base }).map_err(|e| e.within(position))
    }
}

// === choices ===

/// A choice written as a bare word.
struct Unit<'t> {
    text: &'t str,
    name: &'static str,
    variants: &'static [&'static str],
}

impl<'de> EnumAccess<'de> for Unit<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'_, Error> = self.text.into_deserializer();
        match seed.deserialize(word) {
            Ok(variant) => Ok((variant, self)),
            Err(_) => Err(Error::new(Mistake::Choice { name: self.name, variants: self.variants })),
        }
    }
}

impl<'de> VariantAccess<'de> for Unit<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::new(Mistake::Bare))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::new(Mistake::Bare))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::new(Mistake::Bare))
    }
}

/// A choice written as the only key of a mapping.
struct Tagged<'a> {
    entry: &'a Entry,
    position: usize,
    base: &'a Path,
}

impl<'a> EnumAccess<'a> for Tagged<'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'_, Error> = self.entry.name().into_deserializer();
        let variant = seed.deserialize(word).map_err(|e| e.at_key(self.position))?;
        Ok((variant, self))
    }
}

impl<'a> Tagged<'a> {
    fn de(&self) -> De<'a> {
        De { node: &self.entry.value, base: self.base }
    }
}

impl<'a> VariantAccess<'a> for Tagged<'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::new(Mistake::Valueless))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.de()).map_err(|e| e.within(self.position))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.de().deserialize_any(visitor).map_err(|e| e.within(self.position))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.de().deserialize_any(visitor).map_err(|e| e.within(self.position))
    }
}

// === scalars ===

/// YAML 1.2, section 10.3.2, without octal and hexadecimal numbers, which no key here wants.
fn typed(text: &str) -> Typed<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Typed::Text(text);
    }
    if let Ok(number) = text.parse() {
        return Typed::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return Typed::Signed(number);
    }
    match text.parse() {
        Ok(number) => Typed::Float(number),
        Err(_) => Typed::Text(text),
    }
}
