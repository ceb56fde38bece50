//! The CPU time that a worker spends on signatures. All other connections of the worker wait for it, so it is a small part
//! of each tick; what exceeds it runs in the verification pool.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Largest cost of one verification on a worker, in microseconds.
const MAX_COST: u32 = 60;
/// Cost of all verifications of one tick, in microseconds: 5 % of its time.
const MAX_TICK_COST: u32 = 500;
const TICK_INTERVAL: Duration = Duration::from_millis(10);

thread_local! {
    static TICK: Cell<Option<Tick>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Tick {
    began: Instant,
    spent: u32,
}

/// The place where a token is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuBudget {
    /// A worker.
    Worker,
    /// A background thread, or a dry run.
    Unlimited,
}

impl CpuBudget {
    /// Whether a verification of this cost may run here; counts it.
    pub fn try_spend(self, cost: u32) -> bool {
        self == CpuBudget::Unlimited || spend(Instant::now(), cost)
    }
}

fn spend(now: Instant, cost: u32) -> bool {
    if cost > MAX_COST {
        return false;
    }
    let tick = TICK.get().filter(|tick| now < tick.began + TICK_INTERVAL);
    let tick = tick.unwrap_or(Tick { began: now, spent: 0 });
    let spent = tick.spent + cost;
    let fits = spent <= MAX_TICK_COST;
    if fits {
        TICK.set(Some(Tick { spent, ..tick }));
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_a_budget_and_the_next_one_has_another() {
        let now = Instant::now();
        let fitting = (0..100).filter(|_| spend(now, 50)).count();
        assert_eq!(fitting, 10);
        assert!(!spend(now + Duration::from_millis(9), 50));
        assert!(spend(now + TICK_INTERVAL, 50));
        assert!(CpuBudget::Unlimited.try_spend(10_000));
    }

    #[test]
    fn an_expensive_verification_never_runs_on_a_worker() {
        assert!(!CpuBudget::Worker.try_spend(MAX_COST + 1));
        assert!(CpuBudget::Worker.try_spend(MAX_COST));
    }
}
