//! The simulated world that runs the real engine and client under faults, by seed.
