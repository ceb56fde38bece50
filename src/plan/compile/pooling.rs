//! How connections to a service are kept, and how many there may be: from an option object to settings.

use crate::config::{Diagnostics, Span, codes};
use crate::plan::check::{filled, values};
use crate::plan::inherit::HttpClient;
use crate::wire::gate::{Limit, Pooling};
use crate::wire::proxy_protocol::Version;
use std::time::Duration;

/// Requests that wait for a connection, unless the options say otherwise.
const QUEUE: usize = 1024;
const TIMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

/// The settings; a negative lifetime was said to be wrong elsewhere, and is the usual one.
pub fn pooling(client: Option<&HttpClient>, out: &mut Diagnostics) -> Pooling {
    let lifetime = client.and_then(|client| client.connection_lifetime.as_ref());
    let lifetime = lifetime.and_then(|seconds| u64::try_from(seconds.value).ok());
    let lifetime = Some(lifetime.map_or(HttpClient::LIFETIME, Duration::from_secs));
    let announces = client.and_then(|client| announces(client, out));
    Pooling { announces, limit: client.and_then(|client| limit(client, out)), lifetime }
}

/// In which version services are told whose connection it is.
fn announces(client: &HttpClient, out: &mut Diagnostics) -> Option<Version> {
    const KNOWN: [(&str, Option<Version>); 3] =
        [("V1", Some(Version::V1)), ("V2", Some(Version::V2)), ("None", None)];
    let word = filled(&client.announces)?;
    let found = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(word.trim()));
    if found.is_none() {
        let message = format!("there is no ProxyProtocol \"{}\"", word.value);
        out.error(codes::UNKNOWN_CHOICE, word.span, message).help("write \"V1\", \"V2\" or \"None\"");
    }
    found.and_then(|(_, version)| *version)
}

/// The same for a cluster with a name: Ocelot has none, so nothing is let pass for its sake.
pub fn of_cluster(client: Option<&HttpClient>, out: &mut Diagnostics) -> Pooling {
    if let Some(lifetime) = client.and_then(|client| client.connection_lifetime.as_ref())
        && let Err(wrong) = values::lifetime(lifetime.value)
    {
        wrong.report(out, false, lifetime.span);
    }
    pooling(client, out)
}

fn limit(client: &HttpClient, out: &mut Diagnostics) -> Option<Limit> {
    let mut wrong = |span: Span, message: String, help: &str| {
        out.error(codes::BAD_CONNECTION_QUEUE, span, message).help(help);
    };
    if let Some(queue) = client.queue.as_ref().filter(|queue| queue.value < 0) {
        wrong(queue.span, format!("ConnectionQueueLimit is {}", queue.value), "write 0 or more");
    }
    if let Some(time) = client.queue_time.as_ref().filter(|time| !TIMES.contains(&time.value.0)) {
        wrong(time.span, format!("ConnectionQueueTimeout is {}", time.value), "it may be 1ms to 10m");
    }
    let place = client.queue.as_ref().map(|set| set.span).or(client.queue_time.as_ref().map(|set| set.span));
    let Some(most) = &client.max_connections else {
        if let Some(place) = place {
            let message = "a queue for connections whose number is not limited".to_owned();
            wrong(place, message, "set MaxConnectionsPerServer, or leave the queue out");
        }
        return None;
    };
    Some(Limit {
        connections: usize::try_from(most.value).unwrap_or(1),
        queue: client.queue.as_ref().map_or(QUEUE, |queue| usize::try_from(queue.value).unwrap_or(0)),
        wait: client.queue_time.as_ref().map(|time| time.value.0),
    })
}
