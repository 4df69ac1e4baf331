//! Bytes on their way to one socket: a chain of blocks that are borrowed from the shard's pool and
//! go back to it when they have been written, so that an idle connection owns none.

use std::collections::VecDeque;

/// Size of a block; a larger packet gets a block of its own size.
pub const BLOCK_BYTES: usize = 8 << 10;
/// Blocks kept for reuse by a shard.
const POOL_BLOCKS_MAX: usize = 1_024;

/// What a connection has to send.
#[derive(Debug, Default)]
pub struct Output {
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that are already written.
    written: usize,
    bytes: usize,
}

/// Empty blocks, shared by the connections of a shard.
#[derive(Debug, Default)]
pub struct BlockPool(Vec<Vec<u8>>);

impl Output {
    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What is to be written next, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let written = self.written;
        self.blocks.iter().enumerate().map(
            move |(index, block)| {
                if index == 0 { &block[written..] } else { &block[..] }
            },
        )
    }

    /// Appends what `encode` writes; `expected_bytes` helps to choose the block.
    pub(crate) fn append(
        &mut self,
        pool: &mut BlockPool,
        expected_bytes: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let fits = self
            .blocks
            .back()
            .is_some_and(|block| block.capacity() - block.len() >= expected_bytes);
        if !fits {
            self.blocks.push_back(pool.take(expected_bytes));
        }
        let block = self.blocks.back_mut().expect("a block was just made sure of");
        let before = block.len();
        encode(block);
        let added = block.len() - before;
        self.bytes += added;
        added
    }

    /// The first `count` bytes were written.
    pub(crate) fn consume(&mut self, pool: &mut BlockPool, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        while let Some(front) = self.blocks.front() {
            let in_front = front.len() - self.written;
            if left < in_front {
                self.written += left;
                return;
            }
            left -= in_front;
            self.written = 0;
            if let Some(block) = self.blocks.pop_front() {
                pool.give_back(block);
            }
        }
        self.blocks.shrink_to(0);
    }

    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        self.consume(pool, self.bytes);
    }
}

impl BlockPool {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= BLOCK_BYTES
            && let Some(block) = self.0.pop()
        {
            return block;
        }
        Vec::with_capacity(bytes.max(BLOCK_BYTES))
    }

    fn give_back(&mut self, mut block: Vec<u8>) {
        if block.capacity() <= 2 * BLOCK_BYTES && self.0.len() < POOL_BLOCKS_MAX {
            block.clear();
            self.0.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(output: &Output) -> Vec<u8> {
        output.chunks().flatten().copied().collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_any_pieces() {
        let mut pool = BlockPool::default();
        let mut output = Output::default();
        let mut expected = Vec::new();
        for n in 0..2_000_u32 {
            let word = n.to_be_bytes().repeat(5);
            output.append(&mut pool, word.len(), |out| out.extend_from_slice(&word));
            expected.extend_from_slice(&word);
        }
        assert_eq!(output.len(), expected.len());
        let mut offset = 0;
        for step in [1, 7, BLOCK_BYTES, 3, 2 * BLOCK_BYTES + 1, usize::MAX] {
            assert_eq!(text(&output), expected[offset..]);
            let step = step.min(expected.len() - offset);
            output.consume(&mut pool, step);
            offset += step;
        }
        assert!(output.is_empty());
        assert_eq!(output.chunks().count(), 0, "an idle connection owns no block");
    }
}
