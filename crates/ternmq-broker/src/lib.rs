//! The host of the broker: shard threads, listeners, rings, configuration.
