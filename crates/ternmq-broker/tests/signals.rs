//! The end by a signal. A file, and so a process, of its own: signals are for all of a process.

use signal_hook::consts::SIGTERM;
use signal_hook::low_level::raise;
use ternmq_broker::{Broker, Config};

#[test]
fn a_signal_before_the_broker_waits_for_one_is_not_lost() {
    let mut broker = Broker::start(Config::for_tests()).expect("starts");
    broker.catch_signals().expect("signals can be caught");
    raise(SIGTERM).expect("raised");
    broker.run_until_signal().expect("ended well");
}
