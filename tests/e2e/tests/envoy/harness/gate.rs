//! A gate between Envoy and the token endpoint: what passes it can be held back, or cut off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on as they are, byte by byte, while it is open.
pub(crate) struct Gate {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    cuts: watch::Sender<u64>,
    held: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Gate {
    /// An open gate before `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let is_open = watch::Sender::new(true);
        let cuts = watch::Sender::new(0);
        let held = Arc::<AtomicU64>::default();
        let (open, cut, counter) = (is_open.subscribe(), cuts.subscribe(), held.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut cut, passing) = (cut.clone(), pass(stream, upstream, open.clone(), counter.clone()));
                cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = cut.changed() => {},
                        () = passing => {},
                    }
                });
            }
        });
        Self { address, is_open, cuts, held, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on what clients send stays here.
    pub(crate) fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// What was held back goes on its way, unless its sender has gone.
    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Every connection there is now ends, with what was held back of it.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How often something was held back.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, upstream: SocketAddr, is_open: watch::Receiver<bool>, held: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let ((mut client_reads, mut client_writes), (mut server_reads, mut server_writes)) =
        (client.into_split(), server.into_split());
    let forwards = forward(&mut client_reads, &mut server_writes, is_open, &held);
    let back = tokio::io::copy(&mut server_reads, &mut client_writes);
    // Either end closes both, as a connection that is cut does.
    tokio::select! {
        _ = forwards => {},
        _ = back => {},
    }
}

async fn forward(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut is_open: watch::Receiver<bool>,
    held: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if !*is_open.borrow() {
            held.fetch_add(1, Ordering::SeqCst);
            let mut more = [0; 1];
            // A sender who goes takes along what it sent. One who has more to send is not one of this suite's.
            let stays = tokio::select! {
                _ = is_open.wait_for(|is_open| *is_open) => true,
                _ = from.read(&mut more) => false,
            };
            if !stays {
                return Ok(());
            }
        }
        to.write_all(&buffer[..length]).await?;
    }
}
