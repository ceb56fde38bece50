//! The reply of the script.

use crate::state::{StateError, Value};

/// One limit after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReply {
    pub remaining: u64,
    pub resets_in_ns: u64,
    /// Identifies the window, for returned tokens.
    pub window_id: Vec<u8>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub admitted: u64,
    pub leased: u32,
    /// The index of the rejecting limit.
    pub rejecting: Option<usize>,
    pub retry_in_ns: u64,
    pub limits: Vec<LimitReply>,
}

impl Reply {
    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// The reply has another form.
    pub fn parse(reply: &Value) -> Result<Reply, StateError> {
        let Value::Array(items) = reply else { return Err(StateError::unexpected(reply)) };
        let [admitted, leased, rejecting, retry, limits @ ..] = items.as_slice() else {
            return Err(StateError::unexpected(reply));
        };
        let limits = limits.chunks_exact(3).map(|limit| {
            let Value::BulkString(id) = &limit[2] else { return Err(StateError::unexpected(&limit[2])) };
            Ok(LimitReply {
                remaining: number(&limit[0])?,
                resets_in_ns: number(&limit[1])?,
                window_id: id.clone(),
            })
        });
        let limits = limits.collect::<Result<Vec<_>, _>>()?;
        let rejecting = usize::try_from(number(rejecting)?).unwrap_or(0).checked_sub(1);
        if limits.is_empty() || rejecting.is_some_and(|at| at >= limits.len()) {
            return Err(StateError::unexpected(reply));
        }
        Ok(Reply {
            admitted: number(admitted)?,
            leased: u32::try_from(number(leased)?).unwrap_or(0),
            rejecting,
            retry_in_ns: number(retry)?,
            limits,
        })
    }
}

fn number(reply: &Value) -> Result<u64, StateError> {
    match reply {
        Value::Int(number) => Ok(u64::try_from(*number).unwrap_or(0)),
        other => Err(StateError::unexpected(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_another_form_is_an_error() {
        let limit = [Value::Int(2), Value::Int(7), Value::BulkString(b"1:2".to_vec())];
        let reply = |head: [i64; 4], limits: &[Value]| {
            Reply::parse(&Value::Array(
                head.map(Value::Int).into_iter().chain(limits.iter().cloned()).collect(),
            ))
        };
        let parsed = reply([1, 3, 0, 0], &limit).expect("a reply");
        assert_eq!((parsed.admitted, parsed.leased, parsed.rejecting), (1, 3, None));
        assert_eq!(parsed.limits[0].window_id, b"1:2");
        assert_eq!(reply([0, 0, 1, 5], &limit).expect("a reply").rejecting, Some(0));
        for broken in [
            reply([1, 0, 2, 0], &limit),
            reply([1, 0, 0, 0], &[]),
            Reply::parse(&Value::Nil),
            Reply::parse(&Value::Array(vec![Value::Nil; 7])),
        ] {
            assert!(matches!(broken, Err(StateError::Reply(_))));
        }
    }
}
