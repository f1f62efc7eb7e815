//! What a learned contract is, and when one by hand takes its place.

use truegreen_engine::learn::contract::{LEARNED, LEARNED_FROM};
use truegreen_model::flow::{Allowance, Flow, Pattern};

/// Told by its name and what it says of itself, so that it is seen on every page, and known after a restart.
pub(crate) fn is_learned(flow: &Flow) -> bool {
    flow.name.starts_with(LEARNED) && flow.description.starts_with(LEARNED_FROM)
}

/// Learned contracts among those that were in force, as far as none by hand takes their place.
pub(crate) fn kept(in_force: impl Iterator<Item = Flow>, by_hand: &[Flow]) -> Vec<Flow> {
    in_force.filter(|flow| is_learned(flow) && !is_replaced(flow, by_hand)).collect()
}

/// Whether a contract by hand has its name, or begins with what it begins with.
pub(super) fn is_replaced(learned: &Flow, by_hand: &[Flow]) -> bool {
    let starts = |flow: &Flow| flow.steps.first().map(|start| start.any_of.clone()).unwrap_or_default();
    let own = starts(learned);
    by_hand.iter().any(|flow| {
        flow.name == learned.name || starts(flow).iter().any(|by_hand| own.iter().any(|own| covers(by_hand, own)))
    })
}

/// Whether a pattern matches what another, exact one does, its attributes aside.
fn covers(by_hand: &Pattern, learned: &Pattern) -> bool {
    let text =
        |one: &Option<truegreen_model::flow::Text>, other: &Option<truegreen_model::flow::Text>| match (one, other) {
            (None, _) => true,
            (Some(one), Some(other)) => one.matches(other.0.as_bytes()),
            (Some(_), None) => false,
        };
    by_hand.signal == learned.signal
        && text(&by_hand.service, &learned.service)
        && text(&by_hand.name, &learned.name)
        && (by_hand.kind.is_none() || by_hand.kind == learned.kind)
}

/// The share of journeys that is no finding.
pub(super) fn usually_broken(flow: &Flow) -> Option<f64> {
    match flow.limits.unaccounted {
        Some(Allowance::Share(share)) => Some(share),
        Some(Allowance::Usual) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use truegreen_engine::flow::Source;

    use super::*;

    fn flow(name: &str, description: &str, start: &str) -> Flow {
        let steps = "steps: [{name: b, span: ship, service: shop, within: 5s}]";
        let text = format!("flow: {name}\ndescription: {description}\nkey: order.id\nstart: {start}\n{steps}\n");
        let (compiled, told) = crate::flows::compiled(&[Source { path: "a.yaml".to_owned(), text }], false);
        compiled.unwrap_or_else(|| panic!("{}", told.join("\n"))).flows.remove(0)
    }

    #[test]
    fn contracts_by_hand_take_the_place_of_learned_ones_with_the_same_start() {
        let exact = "{name: a, span: place order, service: shop, kind: server}";
        let learned = flow("learned-shop", "Learned from 100 cases.", exact);
        assert!(is_learned(&learned) && !is_learned(&flow("learned-shop", "Orders.", exact)));
        let by_hand = |start: &str| [flow("orders", "By hand.", start)];
        for start in [exact, "{name: a, span: \"place *\"}"] {
            assert!(is_replaced(&learned, &by_hand(start)), "{start}");
        }
        for start in ["{name: a, span: cancel order, service: shop}", "{name: a, log: \"*\"}"] {
            assert!(!is_replaced(&learned, &by_hand(start)), "{start}");
            assert_eq!(kept([learned.clone()].into_iter(), &by_hand(start)).len(), 1);
        }
    }
}
