//! The rings between shards: for each ordered pair of shards one bounded ring per lane, and one on
//! which emptied bags go home to their sender.
//!
//! A bag is a buffer of bytes; nothing else crosses from shard to shard. The rings themselves are
//! `rtrb`'s; this module is their arrangement, and who is woken. Nothing here waits: a full ring
//! gives the bag back.

use std::io;
use std::sync::Arc;

use mio::Waker;
use rtrb::{Consumer, Producer, RingBuffer};
use ternmq_engine::{Lane, ShardId};

use crate::parking::Parking;

/// Bags in a ring. A shard posts at most one per turn and destination, as long as it keeps up.
const RING_BAGS_MAX: usize = 16;
/// Emptied bags that a shard keeps for its next ones.
const SPARE_BAGS_MAX: usize = 64;
/// A larger bag is not kept: one burst must not hold memory for ever.
const SPARE_BAG_BYTES_MAX: usize = 1 << 20;

/// What others ring when they have left something for a shard.
#[derive(Debug)]
pub struct Bell {
    parking: Parking,
    waker: Waker,
}

impl Bell {
    /// A bell that wakes the poll of `waker`.
    pub fn new(waker: Waker) -> Arc<Bell> {
        Arc::new(Bell { parking: Parking::new(), waker })
    }

    /// After something was put where [`Mail::is_empty`] looks: wakes the shard if it sleeps.
    ///
    /// # Errors
    /// When the system refuses the wake-up; the shard then sleeps until its next deadline.
    pub fn ring(&self) -> io::Result<()> {
        if self.parking.claim_wake() { self.waker.wake() } else { Ok(()) }
    }

    /// Wakes the shard in any case.
    ///
    /// # Errors
    /// When the system refuses the wake-up.
    pub fn ring_loudly(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// The flag, for the shard that this bell belongs to.
    pub fn parking(&self) -> &Parking {
        &self.parking
    }
}

/// One shard's ends of all its rings.
#[derive(Debug)]
pub struct Mail {
    /// By shard; none for the own.
    peers: Vec<Option<Peer>>,
    spare: Vec<Vec<u8>>,
}

/// What one shard has towards another.
#[derive(Debug)]
struct Peer {
    bell: Arc<Bell>,
    outgoing: [Producer<Vec<u8>>; 2],
    incoming: [Consumer<Vec<u8>>; 2],
    /// Bags of ours that the peer has emptied.
    returned: Consumer<Vec<u8>>,
    /// Where bags of the peer go when they are empty.
    give_back: Producer<Vec<u8>>,
}

impl Mail {
    /// The mail of every shard, connected; `bells` has one for each, in order.
    pub fn connect(bells: &[Arc<Bell>]) -> Vec<Mail> {
        let count = bells.len();
        let mut mails: Vec<Mail> = (0..count)
            .map(|_| Mail { peers: (0..count).map(|_| None).collect(), spare: Vec::new() })
            .collect();
        for low in 0..count {
            for high in low + 1..count {
                let (at_low, at_high) = pair(&bells[low], &bells[high]);
                mails[low].peers[high] = Some(at_low);
                mails[high].peers[low] = Some(at_high);
            }
        }
        mails
    }

    /// Puts a bag on the ring to `to` and wakes that shard if it sleeps.
    ///
    /// # Errors
    /// The bag, when the ring is full.
    pub fn post(&mut self, to: ShardId, lane: Lane, bag: Vec<u8>) -> Result<(), Vec<u8>> {
        let Some(peer) = self.peers.get_mut(usize::from(to.0)).and_then(Option::as_mut) else {
            debug_assert!(false, "a shard posts only to other shards");
            return Err(bag);
        };
        let rtrb::PushError::Full(bag) = match peer.outgoing[index(lane)].push(bag) {
            Ok(()) => {
                if let Err(error) = peer.bell.ring() {
                    tracing::error!(shard = to.0, %error, "cannot wake a shard");
                }
                return Ok(());
            }
            Err(full) => full,
        };
        Err(bag)
    }

    /// A buffer to fill: one that came back, or a new one.
    pub fn empty_bag(&mut self) -> Vec<u8> {
        if self.spare.is_empty() {
            for peer in self.peers.iter_mut().flatten() {
                while self.spare.len() < SPARE_BAGS_MAX {
                    let Ok(bag) = peer.returned.pop() else { break };
                    self.spare.push(bag);
                }
            }
        }
        self.spare.pop().unwrap_or_default()
    }

    /// Takes one bag that another shard posted.
    pub fn take(&mut self, from: ShardId, lane: Lane) -> Option<Vec<u8>> {
        self.peers.get_mut(usize::from(from.0))?.as_mut()?.incoming[index(lane)].pop().ok()
    }

    /// Sends a bag that [`Mail::take`] gave home, empty.
    pub fn give_back(&mut self, from: ShardId, mut bag: Vec<u8>) {
        if bag.capacity() > SPARE_BAG_BYTES_MAX {
            return;
        }
        bag.clear();
        if let Some(peer) = self.peers.get_mut(usize::from(from.0)).and_then(Option::as_mut) {
            // Full: its sender has enough of them.
            drop(peer.give_back.push(bag));
        }
    }

    /// Whether no bag waits here.
    pub fn is_empty(&self) -> bool {
        let lanes = self.peers.iter().flatten().flat_map(|it| &it.incoming);
        lanes.into_iter().all(Consumer::is_empty)
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.peers.iter().position(Option::is_none);
        let count = self.peers.len();
        (0..count).filter(move |it| Some(*it) != own).map(|it| ShardId(it as u16))
    }
}

/// The ends of everything between two shards.
fn pair(low: &Arc<Bell>, high: &Arc<Bell>) -> (Peer, Peer) {
    let lanes = || {
        let (request_in, request_out) = RingBuffer::new(RING_BAGS_MAX);
        let (reply_in, reply_out) = RingBuffer::new(RING_BAGS_MAX);
        ([request_in, reply_in], [request_out, reply_out])
    };
    // As many as can be under way: on both lanes, and one in the receiver's hands.
    let returns = || RingBuffer::new(2 * RING_BAGS_MAX + 1);
    let (low_outgoing, high_incoming) = lanes();
    let (high_outgoing, low_incoming) = lanes();
    let (high_give_back, low_returned) = returns();
    let (low_give_back, high_returned) = returns();
    let at_low = Peer {
        bell: Arc::clone(high),
        outgoing: low_outgoing,
        incoming: low_incoming,
        returned: low_returned,
        give_back: low_give_back,
    };
    let at_high = Peer {
        bell: Arc::clone(low),
        outgoing: high_outgoing,
        incoming: high_incoming,
        returned: high_returned,
        give_back: high_give_back,
    };
    (at_low, at_high)
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Request => 0,
        Lane::Reply => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};

    fn mails(count: usize) -> (Vec<Poll>, Vec<Mail>) {
        let polls: Vec<Poll> = (0..count).map(|_| Poll::new().expect("a poll")).collect();
        let waker = |poll: &Poll| Waker::new(poll.registry(), Token(0)).expect("a waker");
        let bells: Vec<_> = polls.iter().map(|it| Bell::new(waker(it))).collect();
        let mails = Mail::connect(&bells);
        (polls, mails)
    }

    #[test]
    fn bags_arrive_in_order_on_their_lane() {
        let (_polls, mut mails) = mails(3);
        for n in 0..3_u8 {
            mails[0].post(ShardId(2), Lane::Request, vec![n]).expect("room");
            mails[0].post(ShardId(2), Lane::Reply, vec![n + 100]).expect("room");
        }
        assert!(mails[1].is_empty());
        assert!(!mails[2].is_empty());
        for n in 0..3_u8 {
            assert_eq!(mails[2].take(ShardId(0), Lane::Request), Some(vec![n]));
            assert_eq!(mails[2].take(ShardId(0), Lane::Reply), Some(vec![n + 100]));
        }
        assert!(mails[2].is_empty());
        assert_eq!(mails[2].take(ShardId(0), Lane::Request), None);
        assert_eq!(mails[2].take(ShardId(1), Lane::Request), None);
    }

    #[test]
    fn a_full_ring_gives_the_bag_back_and_disturbs_no_other_lane() {
        let (_polls, mut mails) = mails(2);
        for _ in 0..RING_BAGS_MAX {
            mails[0].post(ShardId(1), Lane::Request, vec![1]).expect("room");
        }
        assert_eq!(mails[0].post(ShardId(1), Lane::Request, vec![2]), Err(vec![2]));
        assert_eq!(mails[0].post(ShardId(1), Lane::Reply, vec![3]), Ok(()));
        let bag = mails[1].take(ShardId(0), Lane::Request).expect("posted");
        mails[1].give_back(ShardId(0), bag);
        assert_eq!(mails[0].post(ShardId(1), Lane::Request, vec![2]), Ok(()));
    }

    #[test]
    fn bags_go_home_empty_and_are_filled_again() {
        let (_polls, mut mails) = mails(2);
        let mut bag = Vec::with_capacity(1_000);
        bag.push(1);
        mails[0].post(ShardId(1), Lane::Request, bag).expect("room");
        let bag = mails[1].take(ShardId(0), Lane::Request).expect("posted");
        mails[1].give_back(ShardId(0), bag);
        let again = mails[0].empty_bag();
        assert!(again.is_empty() && again.capacity() >= 1_000);
        assert_eq!(mails[0].empty_bag().capacity(), 0, "there was only one");
    }

    #[test]
    fn an_oversized_bag_is_not_kept() {
        let (_polls, mut mails) = mails(2);
        mails[1].give_back(ShardId(0), Vec::with_capacity(SPARE_BAG_BYTES_MAX + 1));
        assert_eq!(mails[0].empty_bag().capacity(), 0);
    }

    #[test]
    fn every_pair_of_many_shards_is_connected() {
        let (_polls, mut mails) = mails(7);
        for from in 0..7_u16 {
            let others: Vec<_> = mails[usize::from(from)].others().collect();
            assert_eq!(others.len(), 6);
            for to in others {
                let bag = vec![from as u8, to.0 as u8];
                mails[usize::from(from)].post(to, Lane::Request, bag).expect("room");
            }
        }
        for to in 0..7_u16 {
            for from in mails[usize::from(to)].others() {
                let bag = mails[usize::from(to)].take(from, Lane::Request);
                assert_eq!(bag, Some(vec![from.0 as u8, to as u8]));
            }
        }
    }

    #[test]
    fn a_sleeping_shard_is_woken_across_threads_for_every_bag() {
        const BAGS: u32 = 20_000;
        let (mut polls, mut mails) = mails(2);
        let (poll, mail) = (polls.pop().expect("two"), mails.pop().expect("two"));
        let bell = Arc::clone(&mails[0].peers[1].as_ref().expect("a peer").bell);
        let receiver = std::thread::spawn(move || receive(poll, mail, &bell, BAGS));
        for n in 0..BAGS {
            let mut bag = mails[0].empty_bag();
            bag.extend_from_slice(&n.to_be_bytes());
            while let Err(full) = mails[0].post(ShardId(1), Lane::Request, bag) {
                bag = full;
                std::thread::yield_now();
            }
        }
        assert_eq!(receiver.join().expect("the receiver ends"), (0..BAGS).collect::<Vec<_>>());
    }

    /// Sleeps without a time-out whenever there is nothing: a lost wake-up hangs the test.
    fn receive(mut poll: Poll, mut mail: Mail, bell: &Bell, count: u32) -> Vec<u32> {
        let mut events = mio::Events::with_capacity(8);
        let mut received = Vec::new();
        while received.len() < count as usize {
            while let Some(bag) = mail.take(ShardId(0), Lane::Request) {
                received.push(u32::from_be_bytes([bag[0], bag[1], bag[2], bag[3]]));
                mail.give_back(ShardId(0), bag);
            }
            if received.len() < count as usize && bell.parking().prepare(|| mail.is_empty()) {
                poll.poll(&mut events, None).expect("polls");
                bell.parking().leave();
            }
        }
        received
    }
}
