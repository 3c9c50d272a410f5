//! A split that is asked for its variant.

use std::cell::RefCell;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use tidegate::config::live;
use tidegate::route::RequestView;
use tidegate::split::{Assignment, Excluded, Split, Weights};

/// A split, its weights, and a request.
pub struct Assign {
    split: Split,
    weights: Weights,
    headers: HeaderMap,
    rng: RefCell<fastrand::Rng>,
}

// === impl Assign ===

impl Assign {
    /// So many variants. `keyed`: the request has the key, a cookie as it is minted.
    pub fn new(variants: usize, keyed: bool) -> Self {
        let variant = |i: usize| json!({"name": format!("variant-{i}"), "cluster": "web", "weight": i + 1});
        let config: live::Split = serde_json::from_value(json!({
            "seed": "checkout-2026",
            "key": [{"header": "x-user-id"}, {"cookie": {"name": "tg_id"}}],
            "variants": (0..variants).map(variant).collect::<Vec<_>>(),
        }))
        .expect("a split");
        let split = Split::compile(&config, &|_| Some(0), "split").expect("the split is right");
        let weights = Weights::of_file(&"shop".parse().expect("a name"), &config);
        let mut headers = super::headers();
        let cookie = "theme=dark; tg_id=9f86d081884c7d659a2feaa0c55ad015; lang=en";
        if keyed {
            headers.insert("cookie", HeaderValue::from_static(cookie));
        } else {
            headers.remove("cookie");
        }
        let assign = Self { split, weights, headers, rng: RefCell::new(fastrand::Rng::with_seed(1)) };
        assign.assign(); // the first search of a process finds out what the CPU can do
        assign
    }

    pub fn assign(&self) -> Assignment {
        let view = RequestView {
            host: "shop.example.com",
            path: "/checkout",
            query: None,
            method: &Method::GET,
            headers: &self.headers,
        };
        self.split.assign(&self.weights, &view, None, Excluded::default(), &mut self.rng.borrow_mut())
    }
}
