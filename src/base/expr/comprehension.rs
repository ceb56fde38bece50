//! `map`, `filter`, `all`, `exists` and `exists_one`: the parser expands them to one form of loop.

use super::{
    compile::Compiler,
    error::{CompileError, EvalError},
    machine::Machine,
    node::{Body, Comprehension},
    value::Value,
};
use cel::common::ast::{ComprehensionExpr, Expr, operators as names};
use std::sync::Arc;

impl Compiler {
    /// Compiles a loop.
    pub fn comprehension(&mut self, tree: &ComprehensionExpr) -> Result<Comprehension, CompileError> {
        let range = self.node(&tree.iter_range)?;
        let accumulator = self.bind(&tree.accu_var);
        let item = self.bind(&tree.iter_var);
        let body = compile_body(self, tree);
        self.unbind(2);
        Ok(Comprehension { range, item, accumulator, body: body? })
    }
}

fn compile_body(compiler: &mut Compiler, tree: &ComprehensionExpr) -> Result<Body, CompileError> {
    if let Some((condition, item)) = collected(tree) {
        let condition = condition.map(|condition| compiler.node(condition)).transpose()?;
        return Ok(Body::Collect { condition, item: compiler.node(item)? });
    }
    Ok(Body::Fold {
        start: compiler.node(&tree.accu_init)?,
        condition: compiler.node(&tree.loop_cond)?,
        step: compiler.node(&tree.loop_step)?,
        result: compiler.node(&tree.result)?,
    })
}

type Tree = cel::common::ast::IdedExpr;

/// The condition and the item of a loop that appends to a list.
fn collected(tree: &ComprehensionExpr) -> Option<(Option<&Tree>, &Tree)> {
    let Expr::List(start) = &tree.accu_init.expr else { return None };
    if !start.elements.is_empty() {
        return None;
    }
    let Expr::Call(step) = &tree.loop_step.expr else { return None };
    match (step.func_name.as_str(), step.args.as_slice()) {
        (names::CONDITIONAL, [condition, appended, _]) => Some((Some(condition), appended_item(appended)?)),
        _ => Some((None, appended_item(&tree.loop_step)?)),
    }
}

/// `x` of `accumulator + [x]`.
fn appended_item(tree: &Tree) -> Option<&Tree> {
    let Expr::Call(call) = &tree.expr else { return None };
    let (names::ADD, [_, list]) = (call.func_name.as_str(), call.args.as_slice()) else { return None };
    let Expr::List(list) = &list.expr else { return None };
    list.elements.first()
}

impl Machine<'_> {
    /// Runs a loop.
    pub fn comprehension(&mut self, tree: &Comprehension) -> Result<Value, EvalError> {
        let items = self.items(&tree.range)?;
        match &tree.body {
            Body::Collect { condition, item } => {
                let mut list = Vec::new();
                for value in items {
                    self.slots[tree.item] = value;
                    let is_wanted = match condition {
                        Some(condition) => self.condition(condition)?,
                        None => true,
                    };
                    if is_wanted {
                        list.push(self.evaluate(item)?);
                    }
                }
                Ok(Value::List(Arc::new(list)))
            }
            Body::Fold { start, condition, step, result } => {
                self.slots[tree.accumulator] = self.evaluate(start)?;
                for value in items {
                    self.slots[tree.item] = value;
                    if !self.condition(condition)? {
                        break;
                    }
                    self.slots[tree.accumulator] = self.evaluate(step)?;
                }
                self.evaluate(result)
            }
        }
    }
}
