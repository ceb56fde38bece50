//! Listening sockets: bound once, shared by all workers, each of which accepts connections itself.

use super::{
    datagram::{self, DatagramListener},
    io::Stream,
    socket_stream::SocketStream,
    unix_address::UnixAddress,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket as Raw, Type};
use std::{
    fmt,
    fs::{self, File, Permissions},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Backlog of the listening socket; the kernel's `somaxconn` may allow fewer.
const BACKLOG: i32 = 4096;

/// The peer address reported for clients of a Unix domain socket, which have none.
pub const UNIX_PEER_ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(UnixAddress),
}

impl Address {
    /// Whether only local clients can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) | Address::Udp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }

    /// Whether the kernel chooses the port.
    pub fn is_wildcard_port(&self) -> bool {
        matches!(self, Address::Tcp(address) | Address::Udp(address) if address.port() == 0)
    }

    /// The address with its scheme, for log lines.
    pub fn url(&self, scheme: &str) -> String {
        match self {
            Address::Tcp(address) | Address::Udp(address) => format!("{scheme}://{address}"),
            Address::Unix(path) => format!("{path} ({scheme})"),
        }
    }

    /// Suggested fix for an error of [`bind`].
    pub fn help(&self, error: &io::Error) -> &'static str {
        match (self, error.kind()) {
            (Address::Tcp(_) | Address::Udp(_), _) => "free the port, or choose another",
            (Address::Unix(_), io::ErrorKind::AddrInUse) => {
                "end the process that uses it, or choose another name"
            }
            (Address::Unix(_), io::ErrorKind::NotFound) => "create the folder, or choose another name",
            (Address::Unix(_), _) => "let the gateway write to the folder, or choose another name",
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Udp(address) => write!(f, "{address} (UDP)"),
            Address::Unix(path) => path.fmt(f),
        }
    }
}

/// A bound listening socket.
#[derive(Debug)]
pub struct BoundSocket {
    kind: Kind,
    /// The file of a Unix domain socket, until it is removed.
    file: Mutex<Option<UnixSocketFile>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    /// One socket for each worker.
    Udp(Vec<UdpSocket>),
    Unix(UnixListener, UnixAddress),
}

/// A socket file, identified by its inode so that a file that replaced it is not removed.
#[derive(Debug)]
struct UnixSocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl UnixSocketFile {
    fn stat(path: &Path) -> io::Result<UnixSocketFile> {
        let found = fs::symlink_metadata(path)?;
        Ok(UnixSocketFile { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    fn exists(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

/// Binds an address. With port 0 the kernel chooses one. `mode` is the file mode of a Unix domain socket.
pub fn bind(address: &Address, mode: Option<u32>) -> io::Result<BoundSocket> {
    match address {
        Address::Tcp(address) => {
            Ok(BoundSocket { kind: Kind::Tcp(bind_tcp(*address)?), file: Mutex::default() })
        }
        Address::Udp(address) => {
            Ok(BoundSocket { kind: Kind::Udp(datagram::bind_group(*address)?), file: Mutex::default() })
        }
        Address::Unix(path) => {
            let listener = bind_unix(path, mode)?;
            let file = match path {
                UnixAddress::Path(path) => Some(UnixSocketFile::stat(path)?),
                UnixAddress::Abstract(_) => None,
            };
            Ok(BoundSocket { kind: Kind::Unix(listener, path.clone()), file: Mutex::new(file) })
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Raw::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &UnixAddress, mode: Option<u32>) -> io::Result<UnixListener> {
    let mut socket = Raw::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let permissions = mode.map(Permissions::from_mode);
    if let Some(permissions) = permissions.clone() {
        // The file inherits the mode of the socket, so that it is never accessible to more users than configured.
        let owner = File::from(OwnedFd::from(socket));
        owner.set_permissions(permissions)?;
        socket = Raw::from(OwnedFd::from(owner));
    }
    let address = SockAddr::unix(path.path())?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    if let (Some(permissions), UnixAddress::Path(path)) = (permissions, path) {
        // Restores the bits that the umask of the process removed.
        fs::set_permissions(path, permissions)?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes the file of a Unix domain socket whose process ended without removing it.
fn remove_stale(path: &UnixAddress) -> io::Result<()> {
    const SOCKET_IN_USE: &str = "another process listens there";
    let in_use = |what: &str| io::Error::new(io::ErrorKind::AddrInUse, what.to_owned());
    let UnixAddress::Path(path) = path else { return Err(in_use(SOCKET_IN_USE)) };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use("a file that is not a socket exists there"));
    }
    let probe = Raw::new(Domain::UNIX, Type::STREAM, None)?;
    // A blocking connect would wait while the backlog of a live socket is full.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(in_use(SOCKET_IN_USE)),
    }
}

impl BoundSocket {
    /// The bound address, with the port that the kernel chose.
    pub fn address(&self) -> io::Result<Address> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Udp(group) => {
                let first = group.first().ok_or(io::ErrorKind::NotConnected)?;
                first.local_addr().map(Address::Udp)
            }
            Kind::Unix(_, path) => Ok(Address::Unix(path.clone())),
        }
    }

    /// The socket of a worker, if this is a UDP listener that has one for it.
    ///
    /// # Errors
    ///
    /// If the socket cannot be registered with the runtime of the worker.
    pub fn datagrams(&self, worker: usize) -> io::Result<Option<DatagramListener>> {
        let Kind::Udp(group) = &self.kind else { return Ok(None) };
        let Some(socket) = group.get(worker) else { return Ok(None) };
        DatagramListener::new(socket.try_clone()?).map(Some)
    }

    /// Whether the socket file still exists and was not replaced.
    pub fn exists(&self) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().is_none_or(UnixSocketFile::exists)
    }

    /// Changes the mode of the socket file.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match &*self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) if file.exists() => fs::set_permissions(&file.path, Permissions::from_mode(mode)),
            _ => Ok(()),
        }
    }

    /// Begins no more connections. Connections in the backlog, and those whose handshake has begun, are still accepted:
    /// closing the socket would reset them. Further clients try again until the socket is closed, and are refused then.
    pub fn stop_handshakes(&self) {
        let stopped = match &self.kind {
            Kind::Tcp(listener) => drop_syn(SockRef::from(listener)),
            Kind::Udp(_) => Ok(()),
            Kind::Unix(listener, _) => SockRef::from(listener).listen(0),
        };
        if let Err(error) = stopped {
            log::debug!("connections still begin until the socket is closed: {error}");
        }
    }

    /// Removes the socket file, once; connections in the backlog are still accepted.
    pub fn remove(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file.filter(UnixSocketFile::exists)
            && let Err(error) = fs::remove_file(&file.path)
        {
            log::warn!("cannot remove the socket {}: {error}", file.path.display());
        }
    }
}

/// Drops the first segment of each handshake (SYN without ACK), and lets all others pass.
fn drop_syn(socket: SockRef<'_>) -> io::Result<()> {
    /// Instructions of the classic BPF: load a byte, mask it, compare it, return.
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const MASK: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const EQUALS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// The flags in the TCP header, and their bits.
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    socket.attach_filter(&[
        SockFilter::new(LOAD, 0, 0, FLAGS_OFFSET),
        SockFilter::new(MASK, 0, 0, SYN | ACK),
        SockFilter::new(EQUALS, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Accepts connections for one worker. No SO_REUSEPORT group: closing one member would reset its backlog. pingora's own
/// acceptor keeps three addresses of each connection, which take more memory than the rest of an idle connection's stream.
#[derive(Debug)]
pub enum Acceptor {
    /// A TCP socket.
    Tcp(tokio::net::TcpListener),
    /// A Unix domain socket.
    Unix(tokio::net::UnixListener),
}

/// An accepted connection, as a plain socket.
#[derive(Debug)]
pub struct AcceptedSocket {
    pub socket: SocketStream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The client connected through a Unix domain socket; both addresses are [`UNIX_PEER_ADDR`].
    pub unix: bool,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted {
    pub io: Stream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The client connected through a Unix domain socket; both addresses are [`UNIX_PEER_ADDR`].
    pub unix: bool,
}

impl From<AcceptedSocket> for Accepted {
    fn from(AcceptedSocket { socket, peer, local, unix }: AcceptedSocket) -> Accepted {
        Accepted { io: socket.into_stream(&[]), peer, local, unix }
    }
}

impl Acceptor {
    /// Registers the socket with the runtime of the worker; must be called on that runtime.
    pub fn new(socket: &BoundSocket) -> io::Result<Acceptor> {
        Ok(match &socket.kind {
            Kind::Tcp(listener) => Acceptor::Tcp(tokio::net::TcpListener::from_std(listener.try_clone()?)?),
            Kind::Udp(_) => return Err(io::ErrorKind::Unsupported.into()),
            Kind::Unix(listener, _) => {
                Acceptor::Unix(tokio::net::UnixListener::from_std(listener.try_clone()?)?)
            }
        })
    }

    /// Accepts the next connection.
    pub async fn accept(&self) -> io::Result<AcceptedSocket> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
                Ok(AcceptedSocket { socket: SocketStream::Tcp(stream), peer, local, unix: false })
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let (peer, local) = (UNIX_PEER_ADDR, UNIX_PEER_ADDR);
                Ok(AcceptedSocket { socket: SocketStream::Unix(stream), peer, local, unix: true })
            }
        }
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
