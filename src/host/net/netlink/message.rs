//! A message to the kernel and an answer of it, as bytes: a header, a fixed part, attributes. Pure.

/// The length of a message's header (`struct nlmsghdr`).
pub(super) const HEADER: usize = 16;
/// In the kind of an attribute: it holds attributes; its number is in network byte order.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// A message to the kernel, being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A message of a kind, with its fixed part.
    #[must_use]
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut message = Self { kind, flags, body: fixed.to_vec() };
        message.pad();
        message
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.pad();
        self
    }

    /// Adds a text that ends with a zero.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        let bytes: Vec<u8> = text.bytes().chain([0]).collect();
        self.with(kind, &bytes)
    }

    /// Adds a number in the machine's byte order, as traffic control wants it.
    #[must_use]
    pub fn with_u32(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_ne_bytes())
    }

    /// Adds a number in network byte order, as netfilter wants it.
    #[must_use]
    pub fn with_be32(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
    }

    /// Adds an attribute that holds attributes.
    #[must_use]
    pub fn with_nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let at = self.body.len();
        self.body.extend([0, 0]);
        self.body.extend((kind | NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let length = u16::try_from(filled.body.len() - at).unwrap_or(u16::MAX);
        filled.body[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// What has been written: for options that begin with a fixed part and go on with attributes.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    pub(super) fn write(&self, sequence: u32, to: &mut Vec<u8>) {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        to.extend(length.to_ne_bytes());
        to.extend(self.kind.to_ne_bytes());
        to.extend(self.flags.to_ne_bytes());
        to.extend(sequence.to_ne_bytes());
        to.extend(0_u32.to_ne_bytes());
        to.extend(&self.body);
    }
}

/// An answer of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its kind.
    pub kind: u16,
    /// Its fixed part and attributes.
    pub body: Vec<u8>,
}

impl Reply {
    /// Its attributes, after a fixed part of `fixed` bytes.
    pub fn attributes(&self, fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
        attributes(self.body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }
}

/// Attributes one after the other: kind, and value. What is cut short ends them.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]) & KIND;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
#[must_use]
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// A text that ends with a zero.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

/// A number in the machine's byte order; 0 where there are too few bytes.
#[must_use]
pub fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let message = Message::new(1, 0, &[9, 9])
            .with_text(1, "lo")
            .with_nest(2, |m| m.with_u32(3, 7).with(4, &[1]))
            .with_be32(5, 1);
        let answer = Reply { kind: 1, body: message.body };
        let read: Vec<_> = answer.attributes(2).collect();
        assert_eq!(read[0], (1, b"lo\0".as_slice()));
        assert_eq!(read[1].0, 2);
        assert_eq!(attributes(read[1].1).collect::<Vec<_>>(), [(3, 7_u32.to_ne_bytes().as_slice()), (4, &[1][..])]);
        assert_eq!(read[2], (5, [0, 0, 0, 1].as_slice()));
    }

    #[test]
    fn what_is_cut_short_ends_the_attributes() {
        let message = Message::new(1, 0, &[]).with_u32(1, 1).with_u32(2, 2);
        for end in 0..message.body.len() {
            assert!(attributes(&message.body[..end]).count() <= 1);
        }
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0, "a length below the header's own");
    }
}
