//! How far a value of Redis' protocol goes (RESP 2 and 3): pure, from bytes to bytes, whole or in pieces.

use super::body::Malformed;

/// How long a line may be that says what follows, and an inline command.
const LINE: usize = 64 * 1024;

/// What is still to come of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// How many values, of which each may have more in it.
    left: u64,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// In the line that begins a value, of which so much is there.
    Line(Vec<u8>),
    /// In a text of which so many bytes are left, with those that end it.
    Text(u64),
}

impl Value {
    pub(super) fn new() -> Self {
        Self { left: 1, state: State::Line(Vec::new()) }
    }

    /// Whether nothing is to come.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// How many of these bytes belong to the value; `texts` has each text in it, as far as it comes in one piece.
    pub(super) fn take(&mut self, bytes: &[u8], mut texts: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && self.left > 0 {
            match &mut self.state {
                State::Text(left) => {
                    let n = usize::try_from(*left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                    texts(&bytes[at..at + n]);
                    at += n;
                    *left -= n as u64;
                    if *left == 0 {
                        self.next();
                    }
                }
                State::Line(line) => {
                    line.push(bytes[at]);
                    at += 1;
                    if line.ends_with(b"\n") {
                        let line = std::mem::take(line);
                        self.begin(&line)?;
                    } else if line.len() > LINE {
                        return Err(Malformed);
                    }
                }
            }
        }
        Ok(at)
    }

    /// One value is over.
    fn next(&mut self) {
        self.left -= 1;
        self.state = State::Line(Vec::new());
    }

    /// What a line begins.
    fn begin(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let line = line.strip_suffix(b"\r\n").ok_or(Malformed)?;
        let (kind, rest) = line.split_first().ok_or(Malformed)?;
        let number = || std::str::from_utf8(rest).ok().and_then(|n| n.parse::<i64>().ok()).ok_or(Malformed);
        match kind {
            b'$' | b'=' | b'!' => match u64::try_from(number()?) {
                // With the end of its line.
                Ok(length) => self.state = State::Text(length.checked_add(2).ok_or(Malformed)?),
                Err(_) => self.next(),
            },
            b'*' | b'~' | b'>' => self.has(number()?)?,
            b'%' => self.has(number()?.checked_mul(2).ok_or(Malformed)?)?,
            // What is told about a value comes before it.
            b'|' => {
                self.has(number()?.checked_mul(2).ok_or(Malformed)?)?;
                self.left += 1;
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.next(),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// A value with so many in it; none where it is nothing.
    fn has(&mut self, number: i64) -> Result<(), Malformed> {
        self.left -= 1;
        self.left = self.left.checked_add(u64::try_from(number).unwrap_or(0)).ok_or(Malformed)?;
        Ok(())
    }
}

/// A command as far as it has come.
#[derive(Debug)]
pub(super) struct Command {
    value: Value,
    name: Vec<u8>,
    is_named: bool,
}

impl Command {
    pub(super) fn new() -> Self {
        Self { value: Value::new(), name: Vec::new(), is_named: false }
    }

    /// How many of these bytes belong to it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        /// The longest name.
        const MOST: usize = 64;
        let (name, is_named) = (&mut self.name, &mut self.is_named);
        self.value.take(bytes, |text| {
            if !*is_named {
                name.extend(text);
                // With the end of its line, or too long for one.
                *is_named = name.ends_with(b"\n") || name.len() > MOST;
            }
        })
    }

    /// Whether nothing of it is to come.
    pub(super) fn is_done(&self) -> bool {
        self.value.is_done()
    }

    /// Its name in capitals, as soon as it is there.
    pub(super) fn name(&self) -> Option<String> {
        let text = || String::from_utf8_lossy(&self.name).trim_end().to_uppercase();
        (self.is_named || self.is_done()).then(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes belong to the first value, in pieces of this size; nothing where more is to come.
    fn length(text: &[u8], piece: usize) -> Result<Option<usize>, Malformed> {
        let (mut value, mut taken) = (Value::new(), 0);
        for bytes in text.chunks(piece) {
            taken += value.take(bytes, |_| {})?;
        }
        Ok(value.is_done().then_some(taken))
    }

    #[test]
    fn a_value_ends_where_it_does_however_it_comes() {
        for text in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":1\r\n",
            "$5\r\nhe\r\no\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "_\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
            "*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "|1\r\n+a\r\n:1\r\n+OK\r\n",
        ] {
            let more = format!("{text}+NEXT\r\n");
            for piece in 1..more.len() {
                assert_eq!(length(more.as_bytes(), piece), Ok(Some(text.len())), "{text:?} in pieces of {piece}");
                assert_eq!(length(&text.as_bytes()[..text.len() - 1], piece), Ok(None), "{text:?}");
            }
        }
        for text in [
            "hello\r\n",
            "$x\r\n",
            "+OK\n",
            "\r\n",
            "*9223372036854775807\r\n*9223372036854775807\r\n%9223372036854775807\r\n",
        ] {
            assert_eq!(length(text.as_bytes(), 1), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_command_has_a_name() {
        let whole = b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n";
        for piece in 1..whole.len() {
            let (mut command, mut taken, mut named_at) = (Command::new(), 0, None);
            for bytes in whole.chunks(piece) {
                taken += command.take(bytes).unwrap();
                named_at = named_at.or(command.name().map(|name| (name, taken)));
            }
            assert!(command.is_done());
            assert_eq!(taken, whole.len() - 4);
            let (name, at) = named_at.unwrap();
            assert_eq!(name, "SET");
            assert!((13..13 + piece).contains(&at) || piece > 13, "{at}");
        }
        assert_eq!(Command::new().take(b"\x16\x03\x01\n"), Err(Malformed));
    }
}
