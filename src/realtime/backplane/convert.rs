//! Operations and outcomes to what nodes send, and back. What cannot be read is dropped by the caller.

use super::wire::{
    Close, GroupChange, Members, OperationKind, Permission, Send, WireMember, WireOperation, WireOutcome,
    WirePublication, WireSelection, WireStreamError, WireStreamPart,
};
use crate::realtime::{
    filter::Filter,
    message::{Origin, Payload, Publication, StreamEnd, StreamEndError, StreamPart},
    operation::{Member, Operation, Outcome, PermissionAction, Recipients, Selection},
    permissions::PermissionKind,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An operation for other nodes.
pub fn to_wire(operation: &Operation) -> WireOperation {
    let texts = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    let kind = match operation {
        Operation::Send { to, publication } => OperationKind::Send(Send {
            to: Some(selection_to_wire(to)),
            publication: Some(publication_to_wire(publication)),
        }),
        Operation::Close { whom, reason } => {
            OperationKind::Close(Close { whom: Some(selection_to_wire(whom)), reason: reason.to_string() })
        }
        Operation::Count(recipients) => {
            OperationKind::Count(selection_to_wire(&Selection::of(recipients.clone())))
        }
        Operation::Join { whom, groups } => OperationKind::Join(GroupChange {
            whom: Some(selection_to_wire(whom)),
            groups: texts(groups),
            all: false,
        }),
        Operation::Leave { whom, groups } => OperationKind::Leave(GroupChange {
            whom: Some(selection_to_wire(whom)),
            groups: groups.as_deref().map(texts).unwrap_or_default(),
            all: groups.is_none(),
        }),
        Operation::Permission { connection, kind, group, action } => OperationKind::Permission(Permission {
            connection_id: connection.to_string(),
            kind: *kind as u32,
            group: group.as_ref().map(ToString::to_string),
            action: *action as u32,
        }),
        Operation::Members { group, after, max_members } => OperationKind::Members(Members {
            group: group.to_string(),
            after: after.as_ref().map(ToString::to_string),
            max_members: u32::try_from(*max_members).unwrap_or(u32::MAX),
        }),
    };
    WireOperation { kind: Some(kind) }
}

/// The operation of another node; `None`: this version does not know it.
pub fn from_wire(operation: WireOperation) -> Option<Operation> {
    let names = |names: Vec<String>| -> Arc<[Arc<str>]> { names.into_iter().map(Arc::from).collect() };
    Some(match operation.kind? {
        OperationKind::Send(send) => Operation::Send {
            to: selection(send.to?)?,
            publication: Arc::new(publication(send.publication?)?),
        },
        OperationKind::Close(close) => {
            Operation::Close { whom: selection(close.whom?)?, reason: close.reason.into() }
        }
        OperationKind::Count(recipients) => Operation::Count(selection(recipients)?.recipients),
        OperationKind::Join(change) => {
            Operation::Join { whom: selection(change.whom?)?, groups: names(change.groups) }
        }
        OperationKind::Leave(change) => Operation::Leave {
            whom: selection(change.whom?)?,
            groups: (!change.all).then(|| names(change.groups)),
        },
        OperationKind::Permission(permission) => Operation::Permission {
            connection: permission.connection_id.into(),
            kind: *PermissionKind::ALL.get(permission.kind as usize)?,
            group: permission.group.map(Arc::from),
            action: match permission.action {
                0 => PermissionAction::Grant,
                1 => PermissionAction::Revoke,
                2 => PermissionAction::Check,
                _ => return None,
            },
        },
        OperationKind::Members(members) => Operation::Members {
            group: members.group.into(),
            after: members.after.map(Arc::from),
            max_members: members.max_members as usize,
        },
    })
}

fn selection_to_wire(selection: &Selection) -> WireSelection {
    let (kind, name) = match &selection.recipients {
        Recipients::All => (0, ""),
        Recipients::Group(name) => (1, &**name),
        Recipients::User(name) => (2, &**name),
        Recipients::Connection(name) => (3, &**name),
    };
    WireSelection {
        kind,
        name: name.to_owned(),
        excluded: selection.excluded.iter().map(ToString::to_string).collect(),
        filter: selection.filter.as_ref().map(|filter| filter.text().to_owned()),
    }
}

fn selection(wire: WireSelection) -> Option<Selection> {
    let name: Arc<str> = wire.name.into();
    let recipients = match wire.kind {
        0 => Recipients::All,
        1 => Recipients::Group(name),
        2 => Recipients::User(name),
        3 => Recipients::Connection(name),
        _ => return None,
    };
    let filter = match wire.filter {
        Some(text) => Some(Arc::new(Filter::parse(&text).ok()?)),
        None => None,
    };
    Some(Selection { recipients, excluded: wire.excluded.into_iter().map(String::into).collect(), filter })
}

/// Published data for other nodes.
pub fn publication_to_wire(publication: &Publication) -> WirePublication {
    let (group, from_user) = match &publication.origin {
        Origin::Server => (None, None),
        Origin::Group { group, from_user } => (Some(group.to_string()), from_user.as_deref()),
    };
    let payload_kind = match &publication.payload {
        Payload::Text(_) => 0,
        Payload::Json(_) => 1,
        Payload::Binary(_) => 2,
        Payload::Protobuf(_) => 3,
    };
    let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (origin, number) = publication.id.unwrap_or_default();
    WirePublication {
        group,
        from_user: from_user.map(str::to_owned),
        payload_kind,
        payload: publication.payload.bytes().clone(),
        stream: publication.stream.as_ref().map(stream_to_wire),
        expires_at_ms: publication.expires_at.map(|time| since_epoch(time).as_millis() as u64),
        origin,
        number,
    }
}

fn stream_to_wire(part: &StreamPart) -> WireStreamPart {
    let error = part.end.as_ref().and_then(|end| end.error.as_ref()).map(|error| WireStreamError {
        name: error.name.to_string(),
        message: error.message.to_string(),
        user_error_code: error.user_error_code.as_ref().map(ToString::to_string),
    });
    WireStreamPart {
        stream_id: part.stream_id.to_string(),
        sequence_id: part.sequence_id,
        is_end: part.end.is_some(),
        error,
    }
}

/// The published data of another node.
pub fn publication(wire: WirePublication) -> Option<Publication> {
    let origin = match wire.group {
        Some(group) => Origin::Group { group: group.into(), from_user: wire.from_user.map(Arc::from) },
        None => Origin::Server,
    };
    let is_text = || std::str::from_utf8(&wire.payload).is_ok();
    let payload = match wire.payload_kind {
        0 if is_text() => Payload::Text(wire.payload),
        1 if is_text() => Payload::Json(wire.payload),
        2 => Payload::Binary(wire.payload),
        3 => Payload::Protobuf(wire.payload),
        _ => return None,
    };
    let expires_at = wire.expires_at_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let mut publication = Publication::new(origin, payload).with_expiry(expires_at);
    if let Some(part) = wire.stream {
        publication = publication.with_stream(stream(part));
    }
    publication.id = (wire.number > 0).then_some((wire.origin, wire.number));
    Some(publication)
}

fn stream(part: WireStreamPart) -> StreamPart {
    let error = part.error.map(|error| StreamEndError {
        name: error.name.into(),
        message: error.message.into(),
        user_error_code: error.user_error_code.map(Into::into),
    });
    StreamPart {
        stream_id: part.stream_id.into(),
        sequence_id: part.sequence_id,
        end: part.is_end.then_some(StreamEnd { error }),
    }
}

/// An outcome for the node that requested it.
pub fn outcome_to_wire(outcome: Outcome) -> WireOutcome {
    let member = |member: Member| WireMember {
        connection_id: member.connection_id.to_string(),
        user_id: member.user_id.as_ref().map(ToString::to_string),
    };
    WireOutcome {
        matched: outcome.matched,
        refused: outcome.refused,
        members: outcome.members.into_iter().map(member).collect(),
        session: None,
    }
}

/// The outcome of another node.
pub fn outcome(wire: WireOutcome) -> Outcome {
    let member = |member: WireMember| Member {
        connection_id: member.connection_id.into(),
        user_id: member.user_id.map(Arc::from),
    };
    Outcome {
        matched: wire.matched,
        refused: wire.refused,
        members: wire.members.into_iter().map(member).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn back(operation: &Operation) -> Operation {
        from_wire(to_wire(operation)).unwrap()
    }

    #[test]
    fn operations_survive_the_way_to_another_node() {
        let to = Selection {
            recipients: Recipients::Group("g/1 \u{e9}".into()),
            excluded: ["a".into(), "b".into()].into(),
            filter: Some(Arc::new(Filter::parse("userId eq 'u'").unwrap())),
        };
        let part = StreamPart { stream_id: "s".into(), sequence_id: 7, end: Some(StreamEnd { error: None }) };
        let origin = Origin::Group { group: "g".into(), from_user: Some("u".into()) };
        let mut sent = Publication::new(origin, Payload::Json(Bytes::from_static(b"{\"a\":1.0}")))
            .with_stream(part)
            .with_expiry(Some(UNIX_EPOCH + Duration::from_millis(5)));
        sent.id = Some((3, 4));
        let all = [
            Operation::Send { to: to.clone(), publication: Arc::new(sent) },
            Operation::Close { whom: to.clone(), reason: "r".into() },
            Operation::Count(Recipients::User("u".into())),
            Operation::Join { whom: to.clone(), groups: ["g".into()].into() },
            Operation::Leave { whom: to.clone(), groups: None },
            Operation::Leave { whom: to, groups: Some(["g".into()].into()) },
            Operation::Permission {
                connection: "c".into(),
                kind: PermissionKind::JoinLeaveGroup,
                group: Some("g".into()),
                action: PermissionAction::Check,
            },
            Operation::Members { group: "g".into(), after: Some("c".into()), max_members: 5 },
        ];
        for operation in &all {
            assert_eq!(to_wire(&back(operation)), to_wire(operation));
        }
        let Operation::Send { to, publication } = back(&all[0]) else { panic!("a send") };
        assert_eq!((&*to.excluded[1], to.filter.unwrap().text()), ("b", "userId eq 'u'"));
        assert_eq!(
            (publication.id, publication.payload.bytes().as_ref()),
            (Some((3, 4)), &b"{\"a\":1.0}"[..])
        );
    }

    #[test]
    fn what_this_version_does_not_know_is_dropped() {
        assert!(from_wire(WireOperation { kind: None }).is_none());
        let unknown = WirePublication { payload_kind: 9, ..WirePublication::default() };
        assert!(publication(unknown).is_none());
        let invalid = WirePublication { payload: Bytes::from_static(&[0xff]), ..WirePublication::default() };
        assert!(publication(invalid).is_none());
    }
}
