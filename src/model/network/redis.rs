//! Errors of Redis, and which commands they are about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error that a Redis server answers a command with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum RedisError {
    /// It reads its data after a start, and answers no command.
    Loading,
    /// It is a replica, and nothing can be written.
    ReadOnly,
    /// It has no memory for what is to be written.
    Oom,
    /// It is a replica whose primary is away.
    MasterDown,
    /// The cluster lacks a part.
    ClusterDown,
}

/// Commands by which something is written that takes memory.
const TAKE_MEMORY: [&str; 66] = [
    "APPEND",
    "BITFIELD",
    "BITOP",
    "BLMOVE",
    "BRPOPLPUSH",
    "COPY",
    "DECR",
    "DECRBY",
    "GEOADD",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEOSEARCHSTORE",
    "GETSET",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HMSET",
    "HSET",
    "HSETNX",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "LINSERT",
    "LMOVE",
    "LPUSH",
    "LPUSHX",
    "LSET",
    "MSET",
    "MSETNX",
    "PFADD",
    "PFCOUNT",
    "PFMERGE",
    "PSETEX",
    "RESTORE",
    "RPOPLPUSH",
    "RPUSH",
    "RPUSHX",
    "SADD",
    "SDIFFSTORE",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTERSTORE",
    "SORT",
    "SUNIONSTORE",
    "XADD",
    "XAUTOCLAIM",
    "XCLAIM",
    "XGROUP",
    "XREADGROUP",
    "XSETID",
    "ZADD",
    "ZDIFFSTORE",
    "ZINCRBY",
    "ZINTERSTORE",
    "ZRANGESTORE",
    "ZUNIONSTORE",
    "FUNCTION",
    "EVAL",
    "EVALSHA",
    "FCALL",
    "MIGRATE",
    "SWAPDB",
    "MOVE",
    "RENAME",
];

/// Commands by which something is written that takes none.
const FREE_MEMORY: [&str; 37] = [
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "DEL",
    "EXPIRE",
    "EXPIREAT",
    "FLUSHALL",
    "FLUSHDB",
    "GETDEL",
    "GETEX",
    "HDEL",
    "LMPOP",
    "LPOP",
    "LREM",
    "LTRIM",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "RENAMENX",
    "RPOP",
    "SMOVE",
    "SPOP",
    "SREM",
    "UNLINK",
    "XACK",
    "XDEL",
    "XTRIM",
    "ZMPOP",
    "ZPOPMAX",
    "ZPOPMIN",
    "ZREM",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
];

/// Commands that a server answers whatever state it is in.
const ALWAYS: [&str; 10] =
    ["AUTH", "HELLO", "INFO", "SELECT", "COMMAND", "CONFIG", "QUIT", "RESET", "MULTI", "DISCARD"];

impl RedisError {
    /// Whether a command (its name in capitals) is answered with it.
    #[must_use]
    pub fn is_about(self, command: &str) -> bool {
        let takes = || TAKE_MEMORY.contains(&command);
        match self {
            Self::Loading | Self::MasterDown | Self::ClusterDown => !ALWAYS.contains(&command),
            Self::ReadOnly => takes() || FREE_MEMORY.contains(&command),
            Self::Oom => takes(),
        }
    }

    /// What the server says, its word first.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::Oom => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::MasterDown => "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            Self::ClusterDown => "CLUSTERDOWN The cluster is down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_lets_read_and_a_full_server_lets_delete() {
        for (command, about) in [
            ("GET", [true, false, false]),
            ("SET", [true, true, true]),
            ("DEL", [true, true, false]),
            ("AUTH", [false, false, false]),
        ] {
            let all = [RedisError::Loading, RedisError::ReadOnly, RedisError::Oom];
            assert_eq!(all.map(|error| error.is_about(command)), about, "{command}");
        }
    }
}
