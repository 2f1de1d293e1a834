//! Connections that are waited for without a buffer and read without waiting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

/// A connection that brings bytes. Only relays are told anything.
pub(super) trait Incoming: AsyncRead + AsyncWrite + Unpin + Send {
    /// Waits until there may be something to read.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Appends what is there, up to the vector's room; `WouldBlock` when there is nothing.
    fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        // Nobody is woken by this: the next wait is `readable`.
        let mut cx = Context::from_waker(Waker::noop());
        match poll_read_buf(Pin::new(self), &mut cx, buffer) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Incoming for TcpStream {
    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }
}

impl Incoming for UnixStream {
    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }
}

impl Incoming for TlsStream<TcpStream> {
    /// What was decrypted is always read to its end before, so that only the socket can bring more.
    async fn readable(&self) -> io::Result<()> {
        self.get_ref().0.readable().await
    }
}
