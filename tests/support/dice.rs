//! Chance that can be repeated: a seed of the run, and dice that begin with it.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that gives the seed, to repeat a run.
pub const SEED: &str = "GRISTMILL_TEST_SEED";

/// xorshift64: random enough for instants, and repeatable from its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as they do for every `seed`.
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero; neighbouring seeds have to fall differently from the first throw on.
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.below(1);
        dice
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let place = self.below(choices.len() as u64);
        choices[usize::try_from(place).expect("a place in memory")]
    }
}

/// The run's seed: that of `GRISTMILL_TEST_SEED`, else a new one; the same all through the run.
pub fn seed() -> u64 {
    static SEED_OF_RUN: OnceLock<u64> = OnceLock::new();
    *SEED_OF_RUN.get_or_init(|| {
        let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.subsec_nanos());
        given.unwrap_or(u64::from(nanos))
    })
}
