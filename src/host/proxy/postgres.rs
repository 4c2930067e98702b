//! Connections that a `PostgreSQL` server refuses, in its own words (`PostgreSQL` documentation, "Message Formats").

use std::io;

use tokio::net::TcpStream;

use super::io::{drain, read, send};
use crate::model::network::SqlError;

/// What a client may ask for before it says who it is: encryption of two kinds, and that a query be cancelled.
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;
/// The protocol's third version, in whichever revision.
const VERSION: u32 = 3;

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
enum First {
    /// That it wishes to speak encrypted, in so many bytes.
    Encrypt(usize),
    /// Who it is.
    Start,
    /// Something else.
    Foreign,
}

/// Nothing: more is to come.
fn first(bytes: &[u8]) -> Option<First> {
    /// The longest that `PostgreSQL` takes.
    const MOST: u32 = 10_000;
    let number = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
    let length = number(0)?;
    if !(8..=MOST).contains(&length) {
        return Some(First::Foreign);
    }
    let code = number(4)?;
    let whole = usize::try_from(length).is_ok_and(|length| bytes.len() >= length);
    match code {
        TLS | GSS if length == 8 => Some(First::Encrypt(8)),
        CANCEL => Some(First::Foreign),
        _ if code >> 16 == VERSION => whole.then_some(First::Start),
        _ => Some(First::Foreign),
    }
}

/// Refuses a connection; whether it spoke the protocol. If not, what it said is in the buffer.
pub(super) async fn refuse(client: &TcpStream, error: &SqlError, up: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        match first(up) {
            Some(First::Encrypt(n)) => {
                drain(up, n);
                // No encryption: it may go on without.
                send(client, &mut b"N".to_vec(), 1).await?;
            }
            Some(First::Start) => {
                let mut text = refusal(error);
                let length = text.len();
                return send(client, &mut text, length).await.map(|()| true);
            }
            Some(First::Foreign) => return Ok(false),
            None => {}
        }
        if first(up).is_none() && read(client, up).await? == 0 {
            return Ok(true);
        }
    }
}

/// `ErrorResponse`.
fn refusal(error: &SqlError) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', error.code.as_str()), (b'M', error.message.as_str())]
    {
        fields.push(kind);
        fields.extend(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or_default();
    [&b"E"[..], &length.to_be_bytes(), &fields].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_first_is_known() {
        let of = |length: u32, code: u32, rest: &[u8]| [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat();
        assert_eq!(first(&of(8, TLS, b"")), Some(First::Encrypt(8)));
        assert_eq!(first(&of(13, 3 << 16, b"user\0")), Some(First::Start));
        assert_eq!(first(&of(13, 3 << 16, b"use")), None);
        assert_eq!(first(&of(16, CANCEL, b"12345678")), Some(First::Foreign));
        assert_eq!(first(b"GET / HT"), Some(First::Foreign));
        assert_eq!(first(b"\0\0"), None);
        let error = SqlError { code: "53300".to_owned(), message: "too many".to_owned() };
        assert_eq!(refusal(&error), b"E\0\0\0\x24SFATAL\0VFATAL\0C53300\0Mtoo many\0\0");
    }
}
