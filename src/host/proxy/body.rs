//! How far the body of an HTTP message goes (RFC 9112, section 6 and 7): pure, from bytes to bytes, whole or in pieces.

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks, up to the empty one and what follows it.
    Chunked(Chunk),
    /// Everything up to the end of the connection.
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In its size, of which so much is known, and whether there is a digit.
    Size(u64, bool),
    /// In what may follow the size, up to the end of the line.
    Extension(u64),
    /// Before the line feed that ends the line of the size.
    SizeEnd(u64),
    /// In its data, of which so much is left.
    Data(u64),
    /// Before the carriage return, or the line feed, after the data.
    DataEnd(u8),
    /// At the beginning of a line after the empty chunk.
    Trailer,
    /// Within such a line.
    TrailerLine,
    /// Before the line feed that ends such a line.
    TrailerLineEnd,
    /// Before the last line feed.
    End,
}

/// It is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Body {
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size(0, false));

    /// How many of these bytes belong to the body; `data` has each piece of what is its content.
    pub(super) fn take(&mut self, bytes: &mut [u8], mut data: impl FnMut(&mut [u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Done => break,
                Self::UntilClose => {
                    data(&mut bytes[at..]);
                    at = bytes.len();
                }
                Self::Length(left) => {
                    let n = part(*left, bytes.len() - at);
                    data(&mut bytes[at..at + n]);
                    at += n;
                    *left -= n as u64;
                    if *left == 0 {
                        *self = Self::Done;
                    }
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let n = part(*left, bytes.len() - at);
                    data(&mut bytes[at..at + n]);
                    at += n;
                    *left -= n as u64;
                    if *left == 0 {
                        *self = Self::Chunked(Chunk::DataEnd(b'\r'));
                    }
                }
                Self::Chunked(chunk) => {
                    let next = chunk.after(bytes[at])?;
                    at += 1;
                    *self = next.map_or(Self::Done, Self::Chunked);
                }
            }
        }
        Ok(at)
    }

    /// Whether nothing is to come.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Chunk {
    /// Where one is after a byte that is no data; `None`: the body is over.
    fn after(self, byte: u8) -> Result<Option<Self>, Malformed> {
        Ok(Some(match (self, byte) {
            (Self::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(byte).to_digit(16).ok_or(Malformed)?);
                // A size of which no more can be known is none.
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit)).ok_or(Malformed)?;
                Self::Size(size, true)
            }
            (Self::Size(size, true), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size, true) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Extension(size), byte) if byte != b'\n' => Self::Extension(size),
            (Self::SizeEnd(0) | Self::TrailerLineEnd, b'\n') => Self::Trailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd(b'\r'), b'\r') => Self::DataEnd(b'\n'),
            (Self::DataEnd(b'\n'), b'\n') => Self::Size(0, false),
            (Self::Trailer, b'\r') => Self::End,
            (Self::Trailer | Self::TrailerLine, byte) if byte != b'\n' && byte != b'\r' => Self::TrailerLine,
            (Self::TrailerLine, b'\r') => Self::TrailerLineEnd,
            (Self::End, b'\n') => return Ok(None),
            _ => return Err(Malformed),
        }))
    }
}

/// As much of what is left as is there.
fn part(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is content of it, and how many bytes belong to it, when it comes in pieces of these sizes.
    fn read(mut body: Body, text: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut content, mut taken) = (Vec::new(), 0);
        for bytes in text.chunks(piece) {
            let n = body.take(&mut bytes.to_vec(), |data| content.extend_from_slice(data))?;
            taken += n;
            if n < bytes.len() {
                break;
            }
        }
        Ok((content, taken, body.is_done()))
    }

    #[test]
    fn a_body_ends_where_its_message_does_however_it_comes() {
        let chunked = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 1\r\n\r\nGET /".as_slice();
        for piece in 1..chunked.len() {
            let whole = Ok((b"hello!".to_vec(), chunked.len() - 5, true));
            assert_eq!(read(Body::CHUNKED, chunked, piece), whole, "in pieces of {piece}");
        }
        assert_eq!(read(Body::Length(5), b"helloGET", 3), Ok((b"hello".to_vec(), 5, true)));
        assert_eq!(read(Body::UntilClose, b"hello", 2), Ok((b"hello".to_vec(), 5, false)));
        assert_eq!(read(Body::Done, b"GET", 1), Ok((Vec::new(), 0, true)));
    }

    #[test]
    fn what_another_program_could_read_otherwise_is_no_body() {
        for text in [
            "\r\n",
            "5\nhello\r\n",
            "5 x\nhello",
            "-1\r\n",
            "0x5\r\n",
            "5\r\nhelloo\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "ffffffffffffffff1\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(read(Body::CHUNKED, text.as_bytes(), 1), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_is_read_does_not_depend_on_the_pieces(text in "[0-3a\r\n;: ]{0,40}", piece in 1..8_usize) {
            let (whole, pieces) = (read(Body::CHUNKED, text.as_bytes(), text.len().max(1)), read(Body::CHUNKED, text.as_bytes(), piece));
            prop_assert_eq!(whole.is_err(), pieces.is_err());
            prop_assert_eq!(whole.ok(), pieces.ok());
        }
    }
}
