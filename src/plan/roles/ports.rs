//! The public ports of instances: a pure function of the old map and the list of instances.

use crate::base::port_range::PortRange;
use std::collections::{BTreeMap, BTreeSet};

/// The port of each instance of one endpoint, by its id.
pub type InstancePorts = BTreeMap<String, u16>;
/// The maps of all endpoints, by `Role.Endpoint`.
pub type PortMap = BTreeMap<String, InstancePorts>;

/// The next map: an instance that stays keeps its port, a new one gets the lowest free port, in the order of the list. An
/// instance for which there is none is not in the map.
pub fn next(old: &InstancePorts, instances: &[&str], ports: PortRange) -> InstancePorts {
    let stays =
        |id: &&str| old.get(*id).filter(|port| ports.contains(**port)).map(|port| ((*id).to_owned(), *port));
    let mut new: InstancePorts = instances.iter().filter_map(stays).collect();
    let taken: BTreeSet<u16> = new.values().copied().collect();
    let mut free = ports.ports().filter(|port| !taken.contains(port));
    for id in instances {
        if !new.contains_key(*id)
            && let Some(port) = free.next()
        {
            new.insert((*id).to_owned(), port);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(entries: &[(&str, u16)]) -> InstancePorts {
        entries.iter().map(|(id, port)| ((*id).to_owned(), *port)).collect()
    }

    #[test]
    fn a_freed_port_is_for_a_new_instance_and_the_others_stay() {
        let ports = PortRange { first: 10_105, last: 10_107 };
        let first = next(&map(&[]), &["A", "B", "C"], ports);
        assert_eq!(first, map(&[("A", 10_105), ("B", 10_106), ("C", 10_107)]));
        let without = next(&first, &["C", "A"], ports);
        assert_eq!(without, map(&[("A", 10_105), ("C", 10_107)]));
        let with = next(&without, &["D", "A", "C", "E"], ports);
        assert_eq!(with, map(&[("A", 10_105), ("C", 10_107), ("D", 10_106)]), "none is left for E");
    }

    proptest! {
        #[test]
        fn no_port_is_given_twice_and_an_instance_that_stays_never_moves(
            steps in prop::collection::vec((prop::collection::btree_set("[a-h]", 0..8), 1..6u16), 1..12)
        ) {
            let mut old = InstancePorts::new();
            for (instances, size) in steps {
                let ports = PortRange { first: 100, last: 99 + size };
                let ids: Vec<&str> = instances.iter().map(String::as_str).collect();
                let new = next(&old, &ids, ports);
                let used: BTreeSet<u16> = new.values().copied().collect();
                prop_assert_eq!(used.len(), new.len(), "no port twice");
                prop_assert_eq!(new.len(), ids.len().min(ports.len()), "as many as possible");
                prop_assert!(used.iter().all(|port| ports.contains(*port)));
                for (id, port) in &old {
                    if instances.contains(id) && ports.contains(*port) {
                        prop_assert_eq!(new.get(id), Some(port));
                    }
                }
                old = new;
            }
        }
    }
}
