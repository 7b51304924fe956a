//! Where lines leave the process: a pipe, file or terminal that may be slow, full, closed, or read by nobody.
//!
//! A thread of its own writes the log. Guarantees: nobody waits for it longer than `PATIENCE`, and nobody at all once one
//! has waited in vain, until it takes lines again; what waits is bounded; lines that find no room or cannot be written are
//! counted, and a line says how many they were once others are written again. Not guaranteed: that the last lines are
//! written when the process is killed.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::facts;

/// Most bytes of lines that wait; as many again may be on their way.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Longest wait of a line for room: a burst finds it in time, and a reader that has gone away holds up nobody.
const PATIENCE: Duration = Duration::from_millis(20);

/// Rest before the next try where another process has made a shared pipe one that does not block.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The way of the log's lines; clones share it.
#[derive(Clone)]
pub struct Outlet {
    shared: Arc<OutletInner>,
}

#[derive(Default)]
struct OutletInner {
    queue: Mutex<LineQueue>,
    /// There is something to write.
    filled: Condvar,
    /// There is room, or all is written.
    emptied: Condvar,
}

#[derive(Default)]
struct LineQueue {
    lines: Vec<u8>,
    is_writing: bool,
    /// A line waited for room in vain since something was written last.
    is_stuck: bool,
    dropped: usize,
}

impl Outlet {
    /// Starts the thread that writes to `sink`; it lives as long as the process.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let outlet = Self { shared: Arc::default() };
        let shared = outlet.shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(sink))?;
        Ok(outlet)
    }

    /// Waits until all lines are written, at most for `limit`, and not at all where nothing is taken.
    pub fn finish(&self, limit: Duration) {
        let is_busy = |queue: &mut LineQueue| !queue.is_stuck && (queue.is_writing || !queue.lines.is_empty());
        // What is not written by then is lost, as it would be in a kill.
        let _ = self.shared.emptied.wait_timeout_while(self.shared.queue(), limit, is_busy);
    }

    fn put(&self, line: &[u8]) {
        let mut queue = self.shared.queue();
        if !queue.has_room(line) && !queue.is_stuck {
            let waited = self.shared.emptied.wait_timeout_while(queue, PATIENCE, |queue| !queue.has_room(line));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.is_stuck = !queue.has_room(line);
        }
        if queue.has_room(line) {
            queue.lines.extend_from_slice(line);
            self.shared.filled.notify_one();
        } else {
            queue.dropped += 1;
            facts::log_lines_dropped(1);
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OutletInner {
    fn queue(&self) -> MutexGuard<'_, LineQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        let mut is_torn = false;
        let mut dropped = 0;
        loop {
            lines.clear();
            self.take(&mut lines, dropped > 0);
            if dropped > 0 {
                // Not sooner: this thread alone makes the room that its line needs.
                facts::log_resumed(dropped);
            }
            // What was cut in two must not run into the next line.
            is_torn = is_torn && write(&mut sink, b"\n") == 0;
            let written = if is_torn { 0 } else { write(&mut sink, &lines) };
            is_torn |= lines[..written].last().is_some_and(|last| *last != b'\n');
            dropped = self.written(&lines[written..]);
        }
    }

    /// Takes all lines there are, into `lines`, which is empty; waits for the first, unless it `is_urgent`.
    fn take(&self, lines: &mut Vec<u8>, is_urgent: bool) {
        let waited = self.filled.wait_while(self.queue(), |queue| queue.lines.is_empty() && !is_urgent);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(lines, &mut queue.lines);
        queue.is_writing = true;
        self.emptied.notify_all();
    }

    /// Notes what could not be written; how many lines were dropped before, if that is over.
    fn written(&self, lost: &[u8]) -> usize {
        let mut queue = self.queue();
        (queue.is_writing, queue.is_stuck) = (false, false);
        self.emptied.notify_all();
        if lost.is_empty() {
            return mem::take(&mut queue.dropped);
        }
        let lines = memchr::memchr_iter(b'\n', lost).count();
        queue.dropped += lines;
        facts::log_lines_dropped(lines);
        0
    }
}

impl LineQueue {
    fn has_room(&self, line: &[u8]) -> bool {
        self.lines.is_empty() || self.lines.len() + line.len() <= WAITING_BYTES_MAX
    }
}

/// How many of the bytes the sink took.
fn write(sink: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_EVERY),
            Err(_) => break,
        }
    }
    written
}

/// Writes `text` as a whole, at most for `limit`: then it is an error, and a thread is left behind that goes on.
pub fn write_within(limit: Duration, mut sink: impl Write + Send + 'static, text: String) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    thread::Builder::new().name("output".to_owned()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(sink.write_all(text.as_bytes()).and_then(|()| sink.flush()));
    })?;
    result.recv_timeout(limit).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Hands out what it is given, and answers as the test says: it stands still meanwhile.
    struct Gate(Sender<Vec<u8>>, Receiver<io::Result<usize>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            self.1.recv().unwrap_or(Ok(bytes.len()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Outlet, Receiver<Vec<u8>>, Sender<io::Result<usize>>) {
        let ((given, taken), (answer, answers)) = (channel(), channel());
        (Outlet::start(Gate(given, answers)).expect("a thread"), taken, answer)
    }

    fn next(taken: &Receiver<Vec<u8>>) -> Vec<u8> {
        taken.recv_timeout(LONG).expect("something is written")
    }

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted() {
        let (outlet, taken, answer) = gated();
        outlet.put(b"first\n");
        assert_eq!(next(&taken), b"first\n");
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2_000 {
            outlet.put(&line);
        }
        outlet.finish(LONG);
        let queue = outlet.shared.queue();
        assert_eq!(
            (queue.lines.len(), queue.dropped),
            (WAITING_BYTES_MAX, 2_000 - 1_024),
            "and nobody waits for the end"
        );
        drop(queue);
        answer.send(Ok(6)).expect("it is waited for");
        assert_eq!(next(&taken).len(), WAITING_BYTES_MAX);
        assert_eq!(outlet.shared.queue().dropped, 0, "told");
        outlet.put(b"again\n");
        answer.send(Ok(WAITING_BYTES_MAX)).expect("it is waited for");
        assert_eq!(next(&taken), b"again\n");
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_what_was_torn_runs_into_nothing() {
        let (outlet, taken, answer) = gated();
        outlet.put(b"one\ntwo\n");
        assert_eq!(next(&taken), b"one\ntwo\n");
        answer.send(Ok(5)).expect("it is waited for");
        assert_eq!(next(&taken), b"wo\n");
        answer.send(Err(ErrorKind::BrokenPipe.into())).expect("it is waited for");
        outlet.finish(LONG);
        assert_eq!(outlet.shared.queue().dropped, 1);
        outlet.put(b"three\n");
        assert_eq!(next(&taken), b"\n");
        drop(answer);
        assert_eq!(next(&taken), b"three\n");
        outlet.finish(LONG);
        assert_eq!(outlet.shared.queue().dropped, 0);
    }

    #[test]
    fn who_writes_to_what_takes_nothing_does_not_wait_for_it() {
        let ((given, _taken), (_answer, answers)) = (channel(), channel());
        let error = write_within(PATIENCE, Gate(given, answers), "text".to_owned()).expect_err("nothing is taken");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        write_within(LONG, io::sink(), "text".to_owned()).expect("all is taken");
    }
}
