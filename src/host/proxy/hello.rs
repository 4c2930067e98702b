//! The first message of a TLS client (RFC 8446, section 4.1.2), which is not encrypted: which server it asks for. Pure.

use super::head::Parsed;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The server's name (SNI, RFC 6066, section 3), where it says one; in lower case.
    pub(super) name: Option<String>,
}

/// How long the message may be.
const MOST: usize = 64 * 1024;

/// Reads the first message, which may come in several records.
pub(super) fn read(bytes: &[u8]) -> Parsed<Hello> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let (mut message, mut rest) = (Vec::new(), bytes);
    loop {
        // A record: its kind, a version whose first byte is always 3, its length.
        match rest {
            [HANDSHAKE, 3, _, high, low, data @ ..] => {
                let length = usize::from(*high) << 8 | usize::from(*low);
                message.extend_from_slice(&data[..data.len().min(length)]);
                match message.as_slice() {
                    [CLIENT_HELLO, a, b, c, body @ ..] => {
                        let whole = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                        if whole > MOST {
                            return Parsed::Foreign;
                        }
                        if let Some(body) = body.get(..whole) {
                            return parsed(body).map_or(Parsed::Foreign, Parsed::Whole);
                        }
                    }
                    [CLIENT_HELLO, ..] | [] => {}
                    _ => return Parsed::Foreign,
                }
                match data.get(length..) {
                    Some(next) if length > 0 => rest = next,
                    Some(_) => return Parsed::Foreign,
                    None => return Parsed::Partial,
                }
            }
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, ..] if rest.len() < 5 => return Parsed::Partial,
            _ => return Parsed::Foreign,
        }
    }
}

/// What a whole message says, without its head; nothing where it is malformed.
fn parsed(body: &[u8]) -> Option<Hello> {
    const SERVER_NAME: u16 = 0;
    // Version and random number; session; ciphers; compression.
    let mut rest = Fields(body.get(34..)?);
    rest.field(1)?;
    rest.field(2)?;
    rest.field(1)?;
    if rest.0.is_empty() {
        // Before there were extensions.
        return Some(Hello { name: None });
    }
    let mut extensions = Fields(rest.field(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let data = extensions.field(2)?;
        if kind == usize::from(SERVER_NAME) {
            let mut names = Fields(Fields(data).field(2)?);
            while !names.0.is_empty() {
                let is_host = names.number(1)? == 0;
                let name = names.field(2)?;
                if is_host {
                    return Some(Hello { name: Some(String::from_utf8_lossy(name).to_ascii_lowercase()) });
                }
            }
        }
    }
    Some(Hello { name: None })
}

/// Bytes that are taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let (number, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(number.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)))
    }

    /// What follows its own length, a number of so many bytes.
    fn field(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's first message that asks for this server, in records of so many bytes.
    pub(in crate::host::proxy) fn hello(name: Option<&str>, record: usize) -> Vec<u8> {
        let sized = |bytes: &[u8], width: usize| {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length[4 - width..], bytes].concat()
        };
        let named = |name: &str| sized(&[&[0][..], &sized(name.as_bytes(), 2)].concat(), 2);
        let grease = [&[0x0a, 0x0a][..], &sized(&[], 2)].concat();
        let sni = name.map(|name| [&[0, 0][..], &sized(&named(name), 2)].concat()).unwrap_or_default();
        let extensions = sized(&[grease, sni].concat(), 2);
        let body =
            [&[3; 34][..], &sized(&[9; 32], 1), &sized(&[0x13, 1], 2), &sized(&[0], 1), extensions.as_slice()].concat();
        let message = [&[1][..], &sized(&body, 3)].concat();
        message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &sized(part, 2)].concat()).collect()
    }

    #[test]
    fn the_name_is_read_however_it_comes() {
        for record in [1, 3, 50, 5000] {
            for (name, read_as) in [(Some("Api.Example.com"), Some("api.example.com")), (None, None)] {
                let bytes = hello(name, record);
                let whole = Parsed::Whole(Hello { name: read_as.map(str::to_owned) });
                assert_eq!(read(&bytes), whole, "records of {record}");
                for length in 0..bytes.len() {
                    assert_eq!(read(&bytes[..length]), Parsed::Partial, "{length} of {}", bytes.len());
                }
            }
        }
        for foreign in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x15\x03\x01\0\x02\x02\x28",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\0\x04\x02\0\0\0",
        ] {
            assert_eq!(read(foreign), Parsed::Foreign);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[&[22, 3, 1, 0, 200, 1, 0, 0, 100], bytes.as_slice()].concat());
        }
    }
}
