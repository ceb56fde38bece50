//! The free variables of a CEL expression, without those that macros bind (`list.exists(x, ...)`).

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};

/// The free variables, each once.
pub(super) fn free_variables(expression: &IdedExpr) -> Vec<&str> {
    let mut walk = FreeVariables::default();
    walk.expression(expression);
    walk.free_variables.sort_unstable();
    walk.free_variables.dedup();
    walk.free_variables
}

#[derive(Default)]
struct FreeVariables<'e> {
    bound: Vec<&'e str>,
    free_variables: Vec<&'e str>,
}

impl<'e> FreeVariables<'e> {
    fn expression(&mut self, expression: &'e IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) if self.bound.contains(&name.as_str()) => {}
            Expr::Ident(name) => self.free_variables.push(name),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(structure) => self.entries(&structure.entries),
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.expression(target));
                call.args.iter().for_each(|arg| self.expression(arg));
            }
            Expr::Comprehension(one) => {
                self.expression(&one.iter_range);
                self.expression(&one.accu_init);
                let before = self.bound.len();
                self.bound.push(&one.accu_var);
                self.expression(&one.result);
                self.bound.push(&one.iter_var);
                self.bound.extend(one.iter_var2.as_deref());
                self.expression(&one.loop_cond);
                self.expression(&one.loop_step);
                self.bound.truncate(before);
            }
        }
    }

    fn entries(&mut self, entries: &'e [IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.expression(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key);
                    self.expression(&entry.value);
                }
            }
        }
    }
}
