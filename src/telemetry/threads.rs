//! Names of threads: what `top -H` and profilers tell them apart by.

use std::fs;

/// Names the calling thread. The kernel keeps the first 15 bytes; elsewhere than on Linux nothing happens.
pub fn name_thread(name: &str) {
    // A thread without a name works as well.
    let _ = fs::write("/proc/thread-self/comm", name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_the_name_that_it_gave_itself() {
        let named = std::thread::spawn(|| {
            name_thread("validator-1");
            fs::read_to_string("/proc/thread-self/comm").expect("Linux")
        });
        assert_eq!(named.join().expect("no panic"), "validator-1\n");
    }
}
