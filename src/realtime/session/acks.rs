//! Which ack ids were processed: repeated messages are not executed again.

/// Most separate ranges of processed ids; of more the ones that were not extended for the longest time are forgotten.
const MAX_RANGES: usize = 10_000;

/// What a message with an ack id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckState {
    New,
    InProgress,
    Duplicate,
}

/// Processed ids as ranges: clients count, so that there is usually one range.
#[derive(Clone, Debug, Default)]
pub struct AckLog {
    /// Sorted, neither overlapping nor adjacent.
    ranges: Vec<AckRange>,
    in_progress: Vec<u64>,
    extensions: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AckRange {
    first: u64,
    last: u64,
    /// The number of the extension, for eviction.
    extended: u64,
}

impl AckLog {
    /// Begins a message; `New` must be followed by [`AckLog::finish`].
    pub fn begin(&mut self, id: u64) -> AckState {
        if self.contains(id) {
            return AckState::Duplicate;
        }
        if self.in_progress.contains(&id) {
            return AckState::InProgress;
        }
        self.in_progress.push(id);
        AckState::New
    }

    /// Ends a message: only a successful one is remembered.
    pub fn finish(&mut self, id: u64, is_success: bool) {
        self.in_progress.retain(|known| *known != id);
        if is_success {
            self.insert(id);
        }
    }

    fn contains(&self, id: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.last < id);
        self.ranges.get(at).is_some_and(|range| range.first <= id)
    }

    fn insert(&mut self, id: u64) {
        self.extensions += 1;
        let at = self.ranges.partition_point(|range| range.last < id);
        let joins_next = self.ranges.get(at).is_some_and(|next| id.checked_add(1) == Some(next.first));
        let joins_previous = at > 0 && self.ranges[at - 1].last.checked_add(1) == Some(id);
        let extended = self.extensions;
        match (joins_previous, joins_next) {
            (true, true) => {
                let next = self.ranges.remove(at);
                self.ranges[at - 1] = AckRange { last: next.last, extended, ..self.ranges[at - 1] };
            }
            (true, false) => self.ranges[at - 1] = AckRange { last: id, extended, ..self.ranges[at - 1] },
            (false, true) => self.ranges[at] = AckRange { first: id, extended, ..self.ranges[at] },
            (false, false) => {
                self.ranges.insert(at, AckRange { first: id, last: id, extended });
                self.evict();
            }
        }
    }

    fn evict(&mut self) {
        if self.ranges.len() > MAX_RANGES {
            let oldest = self.ranges.iter().enumerate().min_by_key(|(_, range)| range.extended);
            if let Some((at, _)) = oldest {
                self.ranges.remove(at);
            }
        }
    }

    /// The ranges, for another node.
    pub fn to_ranges(&self) -> Vec<(u64, u64)> {
        self.ranges.iter().map(|range| (range.first, range.last)).collect()
    }

    /// The log of another node.
    pub fn from_ranges(ranges: &[(u64, u64)]) -> AckLog {
        let range = |(first, last): &(u64, u64)| AckRange { first: *first, last: *last, extended: 0 };
        AckLog { ranges: ranges.iter().take(MAX_RANGES).map(range).collect(), ..AckLog::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_processed_once_and_a_failed_one_may_be_repeated() {
        let mut log = AckLog::default();
        assert_eq!(log.begin(5), AckState::New);
        assert_eq!(log.begin(5), AckState::InProgress);
        log.finish(5, false);
        assert_eq!(log.begin(5), AckState::New);
        log.finish(5, true);
        assert_eq!(log.begin(5), AckState::Duplicate);
        assert_eq!(
            (log.begin(4), log.begin(6), log.begin(u64::MAX)),
            (AckState::New, AckState::New, AckState::New)
        );
    }

    #[test]
    fn consecutive_ids_are_one_range_in_any_order() {
        let mut log = AckLog::default();
        for id in [3, 1, 2, 0, 9, u64::MAX, 8] {
            log.begin(id);
            log.finish(id, true);
        }
        assert_eq!(log.to_ranges(), [(0, 3), (8, 9), (u64::MAX, u64::MAX)]);
        let mut copy = AckLog::from_ranges(&log.to_ranges());
        assert_eq!((copy.begin(2), copy.begin(4)), (AckState::Duplicate, AckState::New));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut log = AckLog::default();
        for id in 0..20_000_u64 {
            log.begin(2 * id);
            log.finish(2 * id, true);
        }
        assert_eq!(log.to_ranges().len(), MAX_RANGES);
        assert_eq!(log.begin(2 * 19_999), AckState::Duplicate);
        assert_eq!(log.begin(0), AckState::New, "forgotten");
    }
}
