//! Messages of connections to groups, and messages to one connection.

use super::{
    connection::{Connection, queue_limits},
    hub::{Hub, SessionEnd},
};
use crate::realtime::{
    backplane::contract::NodeFuture,
    message::{Origin, Payload, Publication, StreamEnd, StreamEndError, StreamPart},
    operation::{Operation, Recipients, Selection},
    session::{Push, streams::Stream},
};
use crate::telemetry::hubs::HubClose;
use bytes::Bytes;
use std::sync::Arc;

impl Hub {
    /// Publishes the end of a stream to its group.
    pub fn end_stream(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        stream: &Stream,
        error: Option<StreamEndError>,
    ) {
        let part = StreamPart {
            stream_id: stream.id.clone(),
            sequence_id: stream.expected,
            end: Some(StreamEnd { error }),
        };
        let origin = Origin::Group { group: stream.group.clone(), from_user: connection.user.clone() };
        let publication = Publication::new(origin, Payload::Text(Bytes::new())).with_stream(part);
        drop(self.publish(connection, &stream.group, stream.no_echo, publication));
    }

    /// Publishes a message of a connection to a group: on this node at once. With several nodes the result resolves to whether
    /// the backplane accepted it.
    pub fn publish(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        group: &Arc<str>,
        no_echo: bool,
        mut publication: Publication,
    ) -> Option<NodeFuture<bool>> {
        let backplane = self.shared.backplane();
        publication.id = backplane.as_ref().map(|backplane| backplane.next_id());
        let excluded: Arc<[Box<str>]> =
            if no_echo { Arc::new([(*connection.id).into()]) } else { Arc::new([]) };
        let to = Selection { recipients: Recipients::Group(group.clone()), excluded, filter: None };
        let operation = Arc::new(Operation::Send { to, publication: Arc::new(publication) });
        let context = self.context.load();
        let (service, hub) = (&context.service.config.name, &context.name);
        if let Some(backplane) = &backplane {
            backplane.apply(service, hub, &operation);
        }
        self.run(&operation);
        backplane.map(|backplane| backplane.publish(service, hub, &operation))
    }

    /// Queues published data for one connection; ends it if its queue is full.
    pub fn send_to(self: &Arc<Self>, connection: &Arc<Connection>, publication: &Arc<Publication>) {
        publication.charge(&self.shared.queued_bytes);
        let limits = queue_limits(&self.context.load());
        let pushed = connection.session().push_publication(publication, connection.subprotocol, limits);
        if pushed == Push::Overflow {
            self.end_slow(connection);
        }
    }

    /// Ends a connection whose client does not read.
    pub fn end_slow(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.end(connection, SessionEnd::new(HubClose::SlowClient, "SlowClient"));
    }
}
