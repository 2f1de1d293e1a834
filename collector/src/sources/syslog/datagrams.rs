//! Many datagrams with one system call (recvmmsg), and what the kernel says of a socket (`SO_MEMINFO`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockAddr, SockAddrStorage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams taken at once.
const COUNT: usize = 64;
/// The same for the kernel.
const COUNT_C: libc::c_uint = 64;
/// The largest UDP payload is 65,507 bytes. Only pages that were written to cost memory.
const LEN_MAX: usize = 64 << 10;

/// Buffers for [`COUNT`] datagrams.
pub(super) struct Datagrams {
    bytes: Vec<[u8; LEN_MAX]>,
    names: Vec<SockAddrStorage>,
    name_lens: [libc::socklen_t; COUNT],
    lens: [usize; COUNT],
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![[0; LEN_MAX]; COUNT],
            names: (0..COUNT).map(|_| SockAddrStorage::zeroed()).collect(),
            name_lens: [0; COUNT],
            lens: [0; COUNT],
        }
    }

    /// Takes what has arrived, without waiting; how many there are now.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut slices = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: LEN_MAX,
        }; COUNT];
        // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers, lengths of 0.
        #[expect(
            unsafe_code,
            reason = "recvmmsg has no safe wrapper among the dependencies"
        )]
        let mut headers: [libc::mmsghdr; COUNT] = unsafe { std::mem::zeroed() };
        let places = self.bytes.iter_mut().zip(&mut self.names).zip(&mut slices);
        for (((bytes, name), slice), header) in places.zip(&mut headers) {
            slice.iov_base = bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = name.size_of();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points to one name of the length given, and through one slice to LEN_MAX
        // bytes; all of them live in `self` or on this stack, disjoint, and outlive the call.
        #[expect(unsafe_code, reason = "see above")]
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                COUNT_C,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(received).enumerate() {
            self.lens[i] = header.msg_len as usize;
            self.name_lens[i] = header.msg_hdr.msg_namelen;
        }
        Ok(received)
    }

    /// The nth datagram of the last call and its sender; none came through a Unix socket.
    pub(super) fn get(&self, n: usize) -> Option<(&[u8], Option<SocketAddr>)> {
        let bytes = self.bytes.get(n)?.get(..*self.lens.get(n)?)?;
        let len = (*self.name_lens.get(n)?).min(SockAddrStorage::zeroed().size_of());
        // SAFETY: the kernel wrote `len` bytes of an address into this storage, which is larger.
        #[expect(unsafe_code, reason = "the address comes from recvmmsg")]
        let name = unsafe { SockAddr::new(copy(self.names.get(n)?), len) };
        Some((bytes, name.as_socket()))
    }
}

/// The storage has no `Clone`.
fn copy(storage: &SockAddrStorage) -> SockAddrStorage {
    // SAFETY: plain bytes, a wrapper around `sockaddr_storage`, without a destructor.
    #[expect(unsafe_code, reason = "see above")]
    unsafe {
        std::ptr::read(storage)
    }
}

/// Waits for a message. The socket is watched for so long only: watched during a burst, each message would
/// wake the thread, which costs more than the message.
pub(super) async fn readable(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: what is borrowed stays open, and the same, as long as this future lives.
    #[expect(
        unsafe_code,
        reason = "only the caller can say that a descriptor stays open"
    )]
    let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
    watched.readable().await.map(|_| ())
}

/// How a socket's receive queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// Bytes waiting, as the kernel counts them.
    pub(super) waiting: u32,
    /// Room for them.
    pub(super) limit: u32,
    /// Datagrams dropped since the socket was made; wraps.
    pub(super) drops: u32,
}

/// Asks for `SO_MEMINFO` (Linux 4.12): the counter of `SO_RXQ_OVFL` without a control message for each
/// datagram, and the filling of the queue with it.
pub(super) fn queue(socket: BorrowedFd<'_>) -> Option<Queue> {
    /// include/uapi/asm-generic/socket.h; 55 on all architectures that Rust's Linux targets have,
    /// but for sparc.
    const SO_MEMINFO: libc::c_int = 55;
    const RMEM_ALLOC: usize = 0;
    const RCVBUF: usize = 1;
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    let mut len = libc::socklen_t::try_from(size_of_val(&values)).ok()?;
    // SAFETY: the kernel writes at most `len` bytes into `values`, which is that long.
    #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    (result == 0).then(|| Queue {
        waiting: values[RMEM_ALLOC],
        limit: values[RCVBUF],
        drops: values[DROPS],
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn datagrams_with_their_senders_and_drops() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let mut datagrams = Datagrams::new();
        let nothing = datagrams.receive(receiver.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for message in [&b"one"[..], b"", &[7; 65_507]] {
            sender.send_to(message, address).unwrap();
        }
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), 3);
        let from = sender.local_addr().unwrap();
        assert_eq!(datagrams.get(0), Some((&b"one"[..], Some(from))));
        assert_eq!(datagrams.get(1), Some((&b""[..], Some(from))));
        assert_eq!(datagrams.get(2).map(|d| d.0.len()), Some(65_507));
        // Far more than any default buffer holds.
        for _ in 0..2000 {
            sender.send_to(&[0; 10_000], address).unwrap();
        }
        let queue = queue(receiver.as_fd()).unwrap();
        assert!(queue.drops > 0 && queue.waiting > 0, "{queue:?}");
    }
}
