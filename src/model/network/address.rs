//! Ranges of addresses and of ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A range of addresses such as `10.0.0.0/8`; one address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// Its first address: bits beyond the prefix are zero.
    address: IpAddr,
    /// How many leading bits count.
    prefix: u8,
}

impl Cidr {
    /// A range; bits of the address beyond the prefix are cleared.
    ///
    /// # Errors
    /// Where the prefix is longer than an address of its family.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, String> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(format!("`{address}/{prefix}` is no range of addresses: the prefix goes up to {bits}"));
        }
        let rest = u32::from(bits - prefix);
        let address = match address {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) & u32::MAX.checked_shl(rest).unwrap_or(0)).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) & u128::MAX.checked_shl(rest).unwrap_or(0)).into()),
        };
        Ok(Self { address, prefix })
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its last address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let rest = |bits: u8| u32::from(bits - self.prefix);
        match self.address {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) | !u32::MAX.checked_shl(rest(32)).unwrap_or(0)).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) | !u128::MAX.checked_shl(rest(128)).unwrap_or(0)).into()),
        }
    }

    /// How many leading bits count.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.prefix).is_ok_and(|c| c == *self) && address.is_ipv4() == self.address.is_ipv4()
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of addresses; write for example `10.0.0.0/8` or `fd00::1`");
        let (address, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        match prefix {
            None => Ok(address.into()),
            Some(prefix) => Self::new(address, prefix.parse().map_err(|_| wrong())?),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Self::from(self.address) == *self {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// A range of ports, both ends included; written as `5432` or `8000-8099`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Ports {
    /// Whether a port is in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no port; write for example `5432` or `8000-8099`");
        let (first, last) = text.trim().split_once('-').unwrap_or((text.trim(), text.trim()));
        let first: u16 = first.trim().parse().map_err(|_| wrong())?;
        let last: u16 = last.trim().parse().map_err(|_| wrong())?;
        if first == 0 || last < first {
            return Err(format!("`{text}` is no range of ports: they go from 1 to 65535, the lower one first"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

macro_rules! as_text {
    ($t:ty) => {
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Cidr);
as_text!(Ports);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses_read_and_print_alike() {
        for text in ["10.0.0.0/8", "10.1.2.3", "fd00::/64", "::1", "0.0.0.0/0", "::/0"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
        for (text, last) in [
            ("10.0.0.0/8", "10.255.255.255"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("fd00::/126", "fd00::3"),
            ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().last().to_string(), last);
        }
        for wrong in ["10.0.0.0/33", "10.0.0/8", "example.com", "", "::/129", "1.2.3.4/"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_holds_its_own_family_alone() {
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        let some: Cidr = "fd00::/126".parse().unwrap();
        assert!(some.contains("fd00::3".parse().unwrap()) && !some.contains("fd00::4".parse().unwrap()));
    }

    #[test]
    fn ranges_of_ports_read_and_print_alike() {
        for text in ["5432", "8000-8099"] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        for wrong in ["0", "99-9", "65536", "a", ""] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }
}
