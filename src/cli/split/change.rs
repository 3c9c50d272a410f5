//! `tidegate split set` and `reset`: one change, and what it did.

use crate::cli::admin::Failure;
use crate::cli::split::args::{Reset, Set};
use crate::cli::split::client::{Client, filled};
use crate::cli::split::wire::{Changed, Split, Wish};
use crate::cli::split::{say, words};

/// Gives new weights, all at once.
pub(super) async fn set(client: &Client, args: &Set) -> Result<(), Failure> {
    let before = client.one(&args.route).await?;
    let (weights, kept) = filled(&before, &args.targets)?;
    let named = before.named(&weights);
    // What was filled in is what served when we looked; it must still do so.
    let if_epoch = args.if_epoch.or_else(|| (!kept.is_empty()).then_some(before.epoch));
    let wish = Wish { weights: Some(&named), if_epoch, author: &client.author, why: args.why.as_deref() };
    let changed = client.put(&args.route, &wish).await?;
    say(&told(&before, &weights, &changed));
    if !kept.is_empty() {
        say(&format!("{}\n", words::kept(&kept)));
    }
    Ok(())
}

/// Goes back to the file's weights.
pub(super) async fn reset(client: &Client, args: &Reset) -> Result<(), Failure> {
    let before = client.one(&args.route).await?;
    let wish = Wish { weights: None, if_epoch: None, author: &client.author, why: args.why.as_deref() };
    let changed = client.reset(&args.route, &wish).await?;
    let after = client.one(&args.route).await?;
    say(&told(&before, &after.weights(), &changed));
    Ok(())
}

/// What was, and what is.
fn told(before: &Split, after: &[u64], changed: &Changed) -> String {
    let Changed { generation, epoch, warnings } = changed;
    let notes: String = warnings.iter().map(|warning| format!("note: {warning}\n")).collect();
    let route = &before.route;
    format!(
        "{route}: serves with generation {generation}, epoch {epoch}\n{}{notes}",
        difference(before, after)
    )
}

/// A line for each variant, `control  90 -> 80  90.0 % -> 80.0 %`.
pub(super) fn difference(before: &Split, after: &[u64]) -> String {
    let shares = (words::shares(&before.weights()), words::shares(after));
    let rows: Vec<Vec<String>> = before
        .variants
        .iter()
        .zip(after)
        .zip(shares.0.iter().zip(&shares.1))
        .map(|((variant, after), (was, is))| {
            let weights = [variant.weight.to_string(), "->".into(), after.to_string()];
            let shares = [words::percent(*was), "->".into(), words::percent(*is)];
            [variant.name.to_string()].into_iter().chain(weights).chain(shares).collect()
        })
        .collect();
    words::columns(&rows, &[false, true, false, true, true, false, true], "  ")
}
