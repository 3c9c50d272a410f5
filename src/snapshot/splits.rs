//! What a split serves with: the part of a route that changes without a config.
//!
//! It lies beside the table, since a shift of weights changes it every second and the table is large;
//! and a snapshot that changes nothing of it shares it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Name;
use crate::config::digest::digest;
use crate::config::live;
use crate::split::sample::Sample;
use crate::split::{Origin, Standing, Weights};

/// What one split serves with.
#[derive(Debug)]
pub struct Serving {
    pub route: Name,
    pub weights: Weights,
    /// The names of the variants, in the order of the config.
    pub variants: Box<[Name]>,
    /// What was said over the file, whether or not it is served.
    pub standing: Standing,
    /// What of it is not served as it was said, and why.
    pub problem: Option<String>,
    /// Who got what, under these weights.
    pub sample: Arc<Sample>,
    /// A hash of what requests can notice, for the snapshot's digest.
    pub digest: u64,
}

// === impl Serving ===

impl Serving {
    /// What serves for a route of the file with `standing` over it; the one that served before, if
    /// nothing changed.
    pub fn next(
        route: &Name,
        split: &live::Split,
        standing: Standing,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let (weights, unfit) = match &standing.amendment {
            Some(amendment) => Weights::amended(route, split, amendment),
            None => (Weights::of_file(route, split), None),
        };
        let names = || split.variants.iter().map(|variant| &variant.name);
        let alike = |old: &&Arc<Self>| old.weights == weights && names().eq(old.variants.iter());
        let previous = previous.filter(alike);
        if let Some(old) = previous.filter(|old| old.standing == standing) {
            return old.clone();
        }
        let sample =
            previous.map_or_else(|| Arc::new(Sample::new(names().count())), |old| old.sample.clone());
        let noticed = (route, &*weights.seed, weights.values());
        Arc::new(Self {
            route: route.clone(),
            digest: digest(&noticed),
            variants: names().cloned().collect(),
            sample,
            problem: standing.problem.clone().or(unfit),
            weights,
            standing,
        })
    }

    /// Where the weights come from. After a reset, the file.
    pub fn origin(&self) -> Origin {
        match &self.standing.amendment {
            Some(amendment) if !amendment.weights.is_empty() || amendment.seed.is_some() => {
                self.standing.origin
            }
            _ => Origin::File,
        }
    }

    /// What others would change, in words: `control 90 -> 80, candidate 10 -> 20`.
    pub fn change(&self, variants: &[Name], weights: &Weights) -> String {
        let old: BTreeMap<_, _> = self.variants.iter().zip(self.weights.values()).collect();
        let new: BTreeMap<_, _> = variants.iter().zip(weights.values()).collect();
        let told = |weight: Option<&&u64>| weight.map_or_else(|| "none".into(), ToString::to_string);
        let gone = self.variants.iter().filter(|name| !new.contains_key(name));
        let steps = variants.iter().chain(gone).filter_map(|name| {
            let (old, new) = (old.get(name), new.get(name));
            (old != new).then(|| format!("{name} {} -> {}", told(old), told(new)))
        });
        let mut steps: Vec<_> = steps.collect();
        if self.weights.seed != weights.seed {
            steps.push(format!("seed {:?} -> {:?}", self.weights.seed, weights.seed));
        }
        if steps.is_empty() { "the same weights".into() } else { steps.join(", ") }
    }

    /// How often they were changed since the file.
    pub fn epoch(&self) -> u64 {
        self.standing.amendment.as_ref().map_or(0, |amendment| amendment.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Amendment;

    #[test]
    fn what_did_not_change_is_shared() {
        let split: live::Split = serde_json::from_value(serde_json::json!({"variants": [
            {"name": "a", "cluster": "c", "weight": 1}, {"name": "b", "cluster": "c", "weight": 1},
        ]}))
        .unwrap();
        let route: Name = "r".parse().unwrap();
        let standing = |weight: u64, epoch| Standing {
            origin: Origin::Overlay,
            amendment: Some(Amendment {
                weights: [("a".parse().unwrap(), weight)].into(),
                epoch,
                ..Amendment::default()
            }),
            ..Standing::default()
        };
        let file = Serving::next(&route, &split, Standing::default(), None);
        assert_eq!((file.origin(), file.epoch()), (Origin::File, 0));
        let set = Serving::next(&route, &split, standing(5, 1), Some(&file));
        assert_eq!((set.origin(), set.epoch(), set.weights.values()), (Origin::Overlay, 1, &[5, 1][..]));
        assert_ne!(set.digest, file.digest);
        assert!(Arc::ptr_eq(&set, &Serving::next(&route, &split, standing(5, 1), Some(&set))));
        let again = Serving::next(&route, &split, standing(5, 2), Some(&set));
        assert_eq!((again.epoch(), again.digest), (2, set.digest), "the same weights on two nodes");
    }
}
