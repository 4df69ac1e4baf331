//! One packet from arbitrary bytes: `version, first byte, body`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_fuzz::{check_decoded, version};
use ternmq_proto::frame::Frame;

fuzz_target!(|input: &[u8]| {
    if let [version_byte, first_byte, body @ ..] = input {
        check_decoded(version(*version_byte), Frame { first_byte: *first_byte, body });
    }
});
