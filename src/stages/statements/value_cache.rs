//! Values that programs keep.

use crate::{
    base::expr::{Usage, Value},
    pipeline::cancel::until_client_closes,
    stages::program::{
        Context, Failure, Flow, Instruction, Statement, StatementFuture, Template,
        block::{raise, run_block},
        counters::KeptValue,
        instruction::usage_of_block,
        template::usage_of,
    },
};
use std::{sync::Arc, time::Duration};

/// The longest time for which something is kept.
pub(super) const MAX_SECONDS: f64 = 365.0 * 86_400.0;

pub(super) fn seconds(template: &Template, context: &Context<'_>) -> Result<Duration, Failure> {
    Ok(Duration::from_secs_f64(template.number(context)?.clamp(0.0, MAX_SECONDS)))
}

fn value_key(template: &Template, context: &Context<'_>) -> Result<String, Failure> {
    Ok(format!("value\n{}", template.text_or_empty(context)?))
}

/// About how many bytes a value takes.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 16,
        Value::Bytes(bytes) => bytes.len() + 16,
        Value::List(items) => items.iter().map(size_of_value).sum::<usize>() + 16,
        Value::Map(map) => {
            map.0.iter().map(|(key, value)| size_of_value(key) + size_of_value(value)).sum::<usize>() + 16
        }
        Value::Response(held, _) => held.body.len() + 256,
        _ => 32,
    }
}

#[derive(Debug)]
pub(super) struct LookupValue {
    pub(super) key: Template,
    pub(super) variable: Arc<str>,
    pub(super) default: Option<Template>,
}

impl Statement for LookupValue {
    fn usage(&self) -> Usage {
        usage_of(self.default.iter().chain([&self.key]))
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = value_key(&self.key, context)?;
        match (context.shared.counters.kept(&key), &self.default) {
            (Some(kept), _) => context.set_variable(&self.variable, kept.value.clone()),
            (None, Some(default)) => {
                let value = default.value(context)?;
                context.set_variable(&self.variable, value);
            }
            (None, None) => {}
        }
        Ok(Flow::Next)
    }
}

#[derive(Debug)]
pub(super) struct StoreValue {
    pub(super) key: Template,
    pub(super) value: Template,
    pub(super) duration: Template,
}

impl Statement for StoreValue {
    fn usage(&self) -> Usage {
        usage_of([&self.key, &self.value, &self.duration])
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let (key, value) = (value_key(&self.key, context)?, self.value.value(context)?);
        let bytes = size_of_value(&value);
        context.shared.counters.keep(&key, value, seconds(&self.duration, context)?, bytes);
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(super) struct RemoveValue(pub(super) Template);

impl Statement for RemoveValue {
    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = value_key(&self.0, context)?;
        context.shared.counters.forget(&key);
        Ok(Flow::Next)
    }

    fn runs_dry(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(super) struct CacheValue {
    pub(super) key: Template,
    pub(super) variable: Arc<str>,
    pub(super) expires: Option<Template>,
    pub(super) refresh: Option<Template>,
    pub(super) default: Option<Template>,
    pub(super) body: Arc<[Instruction]>,
}

/// The longest time without `expires-after`.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(28_800);

impl CacheValue {
    async fn read(&self, context: &mut Context<'_>) -> Result<Flow, Failure> {
        let key = value_key(&self.key, context)?;
        let expires =
            self.expires.as_ref().map_or(Ok(DEFAULT_EXPIRY), |template| seconds(template, context))?;
        let refresh = self.refresh.as_ref().map_or(Ok(expires), |template| seconds(template, context))?;
        loop {
            let counters = context.shared.counters.clone();
            let kept: Option<Arc<KeptValue>> = counters.kept(&key);
            if let Some(kept) = &kept {
                context.set_variable(&self.variable, kept.value.clone());
                if kept.stored.elapsed() < refresh {
                    return Ok(Flow::Next);
                }
            }
            match (counters.begin_fill(&key), kept.is_some()) {
                (Ok(_fill), is_old) => return self.fill(context, &key, expires, is_old).await,
                (Err(_), true) => return Ok(Flow::Next),
                (Err(waiting), false) => {
                    let notified = waiting.notified();
                    if counters.is_filling(&key) {
                        until_client_closes(notified, context.client).await.map_err(Failure::from_gateway)?;
                    }
                }
            }
        }
    }

    /// Runs the statements; a variable that stays unset keeps the old value.
    async fn fill(
        &self,
        context: &mut Context<'_>,
        key: &str,
        expires: Duration,
        is_old: bool,
    ) -> Result<Flow, Failure> {
        let before = context.variable(&self.variable).cloned();
        context.variables.retain(|(name, _)| *name != self.variable);
        let flow = match run_block(context, &self.body).await {
            Ok(flow) => flow,
            Err(failed) => return Err(raise(context, failed)),
        };
        match (context.variable(&self.variable).cloned(), before) {
            (Some(value), _) => {
                let bytes = size_of_value(&value);
                context.shared.counters.keep(key, value, expires, bytes);
            }
            (None, Some(before)) if is_old => context.set_variable(&self.variable, before),
            (None, _) => {
                if let Some(default) = &self.default {
                    let value = default.value(context)?;
                    context.set_variable(&self.variable, value);
                }
            }
        }
        Ok(flow)
    }
}

impl Statement for CacheValue {
    fn usage(&self) -> Usage {
        let own = usage_of(self.expires.iter().chain(&self.refresh).chain(&self.default).chain([&self.key]));
        own.and(usage_of_block(&self.body))
    }

    fn waits(&self) -> bool {
        true
    }

    fn start<'f>(&'f self, context: &'f mut Context<'_>) -> StatementFuture<'f> {
        Box::pin(self.read(context))
    }

    fn runs_dry(&self) -> bool {
        false
    }
}
