//! Who owns what: partitions own sessions, retained topics and shared groups; shards run partitions.
//!
//! The number of partitions is fixed for the life of a data directory and has nothing to do with
//! cores or nodes. Nothing else in the engine knows how a partition is found.

/// The unit of ownership: `0..PARTITIONS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u16);

/// A thread that runs some partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// How many partitions there are.
pub const PARTITIONS: u16 = 64;

/// The partition of a session.
pub fn partition_of(client_id: &str) -> PartitionId {
    PartitionId((hash(client_id.as_bytes(), 0) % u64::from(PARTITIONS)) as u16)
}

/// The partition of a topic's retained message.
pub fn partition_of_topic(topic: &str) -> PartitionId {
    PartitionId((hash(topic.as_bytes(), 1) % u64::from(PARTITIONS)) as u16)
}

/// The partition of a shared group.
pub fn partition_of_group(share: &str, filter: &str) -> PartitionId {
    let name = hash(share.as_bytes(), 2);
    PartitionId((hash(filter.as_bytes(), name) % u64::from(PARTITIONS)) as u16)
}

/// The shard that runs a partition.
pub fn shard_of(partition: PartitionId, shards: u16) -> ShardId {
    ShardId(partition.0 % shards.max(1))
}

/// Identifies a client where a number is needed; equal for equal client identifiers.
pub(crate) fn client_number(client_id: &str) -> u64 {
    hash(client_id.as_bytes(), 3)
}

/// FNV-1a with a seed and a final mix. It decides where data lives, so it never changes.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let sum = bytes
        .iter()
        .fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_never_changes() {
        // A data directory written by one release is read by the next: these are not free to move.
        assert_eq!(partition_of("truck-0001"), PartitionId(13));
        assert_eq!(partition_of(""), PartitionId(18));
        assert_eq!(partition_of_topic("plant/7/temp"), PartitionId(38));
        assert_eq!(partition_of_group("workers", "a/+"), PartitionId(62));
    }

    #[test]
    fn clients_spread_over_all_partitions() {
        let mut seen = [0_u32; PARTITIONS as usize];
        for n in 0..6_400 {
            seen[usize::from(partition_of(&format!("client-{n}")).0)] += 1;
        }
        assert!(seen.iter().all(|count| (50..200).contains(count)), "{seen:?}");
    }
}
