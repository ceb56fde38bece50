//! Subscriptions to channels: one connection for all, opened again when it closes.

use super::{
    super::{
        config::SharedStateConfig,
        contract::{Notice, NoticeSender, Subscription},
    },
    connect::connect_subscriber,
};
use crate::base::backoff::Backoff;
use ::redis::{
    Msg, RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::Notify;

/// How often the connection is checked, and how long a reply may take.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The subscriptions of the process.
#[derive(Debug, Default)]
pub(in crate::state) struct Subscriber {
    channels: Mutex<BTreeMap<Arc<str>, Vec<NoticeSender>>>,
    changed: Notify,
}

impl Subscriber {
    /// Subscribes to a channel.
    pub fn subscribe(&self, channel: &str, capacity: usize) -> Subscription {
        let (sender, subscription) = Subscription::channel(capacity);
        self.channels().entry(channel.into()).or_default().push(sender);
        self.changed.notify_one();
        subscription
    }

    fn channels(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Vec<NoticeSender>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channels with subscribers.
    fn wanted(&self) -> BTreeSet<Arc<str>> {
        let mut channels = self.channels();
        channels.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        channels.keys().cloned().collect()
    }

    fn deliver(&self, message: &Msg) {
        let channels = self.channels();
        let Some((channel, senders)) = channels.get_key_value(message.get_channel_name()) else { return };
        let payload = Bytes::copy_from_slice(message.get_payload_bytes());
        for sender in senders {
            sender.send(Notice::Message { channel: channel.clone(), payload: payload.clone() });
        }
    }

    fn set_subscribed(&self, active: &BTreeSet<Arc<str>>) {
        let channels = self.channels();
        let senders = channels.iter().filter(|(channel, _)| active.contains(*channel));
        senders.flat_map(|(_, senders)| senders).for_each(NoticeSender::set_subscribed);
    }

    fn set_lost(&self) {
        self.channels().values().flatten().for_each(NoticeSender::set_lost);
    }
}

/// Keeps the subscriptions connected for as long as they exist.
pub(in crate::state) async fn supervise(subscriber: Weak<Subscriber>, config: Arc<SharedStateConfig>) {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        if !wait_for_subscribers(&subscriber).await {
            return;
        }
        if let Ok(connection) = connect_subscriber(&config).await {
            backoff.reset();
            let (sink, stream) = connection.split();
            // The other connection logs why.
            let _ = serve(&subscriber, sink, stream).await;
            if let Some(subscriber) = subscriber.upgrade() {
                subscriber.set_lost();
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Waits for the first channel; false when the subscriber is dropped.
async fn wait_for_subscribers(subscriber: &Weak<Subscriber>) -> bool {
    loop {
        let Some(subscriber) = subscriber.upgrade() else { return false };
        if !subscriber.wanted().is_empty() {
            return true;
        }
        // Wakes up now and then, so that a dropped subscriber ends the task.
        let _ = tokio::time::timeout(PING_INTERVAL, subscriber.changed.notified()).await;
    }
}

/// Follows the wanted channels on one connection, until it closes.
async fn serve(
    subscriber: &Weak<Subscriber>,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
) -> RedisResult<()> {
    let mut active = BTreeSet::<Arc<str>>::new();
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let mut must_follow = true;
    loop {
        let Some(target) = subscriber.upgrade() else { return Ok(()) };
        if std::mem::take(&mut must_follow) {
            follow(&target, &mut sink, &mut active).await?;
        }
        tokio::select! {
            message = stream.next() => match message {
                Some(message) => target.deliver(&message),
                None => return Ok(()),
            },
            () = target.changed.notified() => must_follow = true,
            _ = ping.tick() => {
                // Dropped subscriptions end here.
                must_follow = true;
                let reply = tokio::time::timeout(PING_TIMEOUT, sink.ping::<::redis::Value>()).await;
                match reply {
                    Ok(reply) => drop(reply?),
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}

/// Subscribes to what is wanted, unsubscribes from what is not.
async fn follow(
    subscriber: &Subscriber,
    sink: &mut PubSubSink,
    active: &mut BTreeSet<Arc<str>>,
) -> RedisResult<()> {
    let wanted = subscriber.wanted();
    for channel in active.difference(&wanted) {
        sink.unsubscribe(&**channel).await?;
    }
    for channel in wanted.difference(active) {
        sink.subscribe(&**channel).await?;
    }
    subscriber.set_subscribed(&wanted);
    *active = wanted;
    Ok(())
}
