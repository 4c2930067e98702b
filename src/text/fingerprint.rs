//! What tells one value from every other, the same over versions and machines: for names of what is made, and for seeds.
//! Nobody has to be kept from finding two values with one fingerprint.

use serde::Serialize;

/// The fingerprint of some bytes: 64-bit FNV-1a, of Fowler, Noll and Vo.
#[must_use]
pub fn of_bytes(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let add = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, add)
}

/// The fingerprint of a value, as its stored text has it: 16 hexadecimal digits.
#[must_use]
pub fn of(value: &impl Serialize) -> String {
    format!("{:016x}", of_bytes(serde_json::to_vec(value).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names on the engine and in the kernel are found again by other versions.
    #[test]
    fn it_is_fnv_1a() {
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(of_bytes(text.bytes()), hash, "{text}");
        }
        assert_eq!(of(&1), "af63ac4c86019afc", "the text `1`");
    }
}
