use super::*;
use proptest::prelude::*;

/// `allow` of the specification, from the rules as they are written.
fn naive(
    rules: Option<&TrafficRules>,
    roles_of: &[usize],
    source: Option<usize>,
    destination: usize,
) -> (bool, Because) {
    let Some(source) = source else {
        return (rules.is_some_and(|rules| rules.allows_unknown_source), Because::Unknown);
    };
    let Some(rules) = rules else { return (true, Because::NoRules) };
    let names_source = |rule: &TrafficRule| rule.from.as_ref().is_none_or(|from| from.contains(&source));
    let names_destination = |rule: &&TrafficRule| rule.to.contains(&destination);
    if rules.rules.iter().filter(names_destination).any(names_source) {
        return (true, Because::Rule);
    }
    if roles_of[destination] == source && rules.allows_same_role {
        return (true, Because::SameRole);
    }
    if rules.rules.iter().any(|rule| names_destination(&rule)) {
        return (false, Because::NotNamed);
    }
    (rules.allows_by_default, Because::Default)
}

fn rule(roles: usize, destinations: usize) -> impl Strategy<Value = TrafficRule> {
    let from = prop::option::of(prop::collection::vec(0..roles, 0..4));
    (from, prop::collection::vec(0..destinations, 1..4)).prop_map(|(from, to)| TrafficRule { from, to })
}

fn document() -> impl Strategy<Value = (usize, Vec<usize>, Option<TrafficRules>)> {
    (1..130usize, 1..12usize).prop_flat_map(|(roles, destinations)| {
        let rules = (any::<[bool; 3]>(), prop::collection::vec(rule(roles, destinations), 0..6)).prop_map(
            |([allows_by_default, allows_same_role, allows_unknown_source], rules)| TrafficRules {
                allows_by_default,
                allows_same_role,
                allows_unknown_source,
                audits: false,
                revoke_grace: Duration::ZERO,
                rules,
            },
        );
        (Just(roles), prop::collection::vec(0..roles, destinations), prop::option::of(rules))
    })
}

proptest! {
    #[test]
    fn the_bits_decide_as_the_rules_do((roles, roles_of, rules) in document()) {
        let sources = (0..roles).map(|n| format!("R{n}").into()).collect();
        let destinations = roles_of.iter().enumerate().map(|(n, role)| (format!("D{n}").into(), *role)).collect();
        let matrix = TrafficMatrix::new(sources, destinations, rules.clone());
        for destination in 0..roles_of.len() {
            for source in (0..roles).map(Some).chain([None]) {
                let Decision { allowed, because } = matrix.decide(source, destination);
                let expected = naive(rules.as_ref(), &roles_of, source, destination);
                prop_assert_eq!((allowed, because), expected);
                let place = source.and_then(|source| matrix.rule_place(source, destination));
                prop_assert_eq!(place.is_some(), because == Because::Rule);
            }
        }
    }
}
