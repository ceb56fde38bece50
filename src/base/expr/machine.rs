//! One evaluation: the exchange it reads, its local values, and the work it may do.

use super::{context::ExpressionContext, error::EvalError, value::Value};
use smallvec::SmallVec;

/// Maximum number of steps of one evaluation.
const MAX_STEPS: u32 = 200_000;

/// One evaluation.
pub(super) struct Machine<'c> {
    pub context: &'c dyn ExpressionContext,
    pub slots: SmallVec<[Value; 4]>,
    steps: u32,
}

impl<'c> Machine<'c> {
    /// An evaluation with these local values.
    pub fn new(context: &'c dyn ExpressionContext, slots: SmallVec<[Value; 4]>) -> Self {
        Machine { context, slots, steps: 0 }
    }

    /// Counts work; an error when there was too much.
    pub fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        if self.steps > MAX_STEPS {
            return Err(EvalError::new(format!("the evaluation needs more than {MAX_STEPS} steps")));
        }
        Ok(())
    }
}
