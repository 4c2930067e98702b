//! What a person would type to have traffic left alone again, or connections ended, without Squall.

/// What runs in the namespace, for `sh`. The `clsact` first, so that no new packet comes to what goes next; the table
/// last, which says that something is in place. With it ends the process that held packets.
const UNTOUCH: &str = "tc qdisc show | awk \"/clsact/{print \\$5}\" | xargs -rI{} tc qdisc del dev {} clsact; \
                       ip -br link show type ifb | grep -o \"^sq[0-9]*[ei][0-9]*\" | xargs -rn1 ip link del; \
                       nft list tables | grep squall_ | sed \"s/^/delete /\" | nft -f -";

/// Leaves the traffic of the namespace of a process alone, `pid` being what a shell makes its number of. For root; with
/// the programs `tc` and `ip` (iproute2) and `nft`.
#[must_use]
pub fn untouch(pid: &str) -> String {
    format!("nsenter -t {pid} -n sh -c '{UNTOUCH}'")
}

/// Ends the established connections in the namespace of a process, all of them.
#[must_use]
pub fn end_connections(pid: &str) -> String {
    format!("nsenter -t {pid} -n ss --kill --tcp state established")
}
