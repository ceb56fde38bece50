//! Standard input and output on threads of their own, because reading a terminal or a pipe blocks.

use bytes::Bytes;
use std::io::{Read, Write};
use tokio::sync::{mpsc, oneshot};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How many pieces are buffered in each direction.
const MAX_PIECES: usize = 4;

/// The bytes of standard input, until its end.
pub fn input() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(MAX_PIECES);
    std::thread::spawn(move || {
        let (mut stdin, mut buffer) = (std::io::stdin().lock(), vec![0; READ_BYTES]);
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Standard output.
pub struct Output {
    pieces: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<()>,
}

/// Standard output, written in the background.
pub fn output() -> Output {
    let (pieces, mut receiver) = mpsc::channel::<Bytes>(MAX_PIECES);
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = std::io::stdout().lock();
        while let Some(bytes) = receiver.blocking_recv() {
            if stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err() {
                return;
            }
        }
        let _ = done.send(());
    });
    Output { pieces, written }
}

impl Output {
    /// Writes bytes; false if the reader is gone.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(bytes).await.is_ok()
    }

    /// Waits until everything is written; false if the reader was gone.
    pub async fn finish(self) -> bool {
        drop(self.pieces);
        self.written.await.is_ok()
    }
}
