//! Protocols by their numbers, as IANA has assigned them.

/// The protocols that begin with two ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
pub(super) const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// What kernels send by themselves.
pub(crate) mod kernels_own {
    /// The protocol above IPv4 that tells of groups.
    pub(crate) const IGMP: u8 = 2;
    /// Types of ICMPv6, from the first to the last: groups (MLD) and neighbours; groups, version 2.
    pub(crate) const ICMPV6: [(u8, u8); 2] = [(130, 137), (143, 143)];
}
