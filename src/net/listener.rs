//! Listening sockets: bound once, shared by all workers, each of which accepts for itself.

use super::{io::Stream, unix_address::UnixAddress};
use pingora::protocols::{GetSocketDigest, l4::listener::Listener, l4::socket::SocketAddr as Seen};
use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};
use std::{
    fmt,
    fs::{self, File, Permissions},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
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

/// Connections that wait to be accepted; the kernel's `somaxconn` may allow fewer.
const BACKLOG: i32 = 4096;

/// What clients of a socket of this machine count as, for they have no address.
pub const UNIX_PEER_ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(UnixAddress),
}

impl Address {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }

    /// Whether the kernel chooses a part of it.
    pub fn is_wildcard_port(&self) -> bool {
        matches!(self, Address::Tcp(address) if address.port() == 0)
    }

    /// For people, with the scheme spoken there.
    pub fn url(&self, scheme: &str) -> String {
        match self {
            Address::Tcp(address) => format!("{scheme}://{address}"),
            Address::Unix(place) => format!("{place} ({scheme})"),
        }
    }

    /// What to do when it cannot be had for that reason.
    pub fn help(&self, error: &io::Error) -> &'static str {
        match (self, error.kind()) {
            (Address::Tcp(_), _) => "free the port, or choose another",
            (Address::Unix(_), io::ErrorKind::AddrInUse) => {
                "end the process that has it, or choose another name"
            }
            (Address::Unix(_), io::ErrorKind::NotFound) => "make the folder, or choose another name",
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
            Address::Unix(place) => place.fmt(f),
        }
    }
}

/// A bound listening socket.
#[derive(Debug)]
pub struct BoundSocket {
    kind: Kind,
    /// The file that stands for it, until it is removed.
    file: Mutex<Option<UnixSocketFile>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, UnixAddress),
}

/// A file of ours, told from one that somebody put in its place.
#[derive(Debug)]
struct UnixSocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl UnixSocketFile {
    fn bind_error(path: &Path) -> io::Result<UnixSocketFile> {
        let found = fs::symlink_metadata(path)?;
        Ok(UnixSocketFile { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    fn exists(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

/// Binds an address. A port may be 0: the kernel picks one. The mode is that of the file, where there is one.
pub fn bind(address: &Address, mode: Option<u32>) -> io::Result<BoundSocket> {
    match address {
        Address::Tcp(address) => {
            Ok(BoundSocket { kind: Kind::Tcp(bind_tcp(*address)?), file: Mutex::default() })
        }
        Address::Unix(place) => {
            let listener = bind_unix(place, mode)?;
            let file = match place {
                UnixAddress::Path(path) => Some(UnixSocketFile::bind_error(path)?),
                UnixAddress::Abstract(_) => None,
            };
            Ok(BoundSocket { kind: Kind::Unix(listener, place.clone()), file: Mutex::new(file) })
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

fn bind_unix(place: &UnixAddress, mode: Option<u32>) -> io::Result<UnixListener> {
    let mut socket = Raw::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let wanted = mode.map(Permissions::from_mode);
    if let Some(wanted) = wanted.clone() {
        // The file is made with what the socket may: at no time is it open to more than are meant.
        let owner = File::from(OwnedFd::from(socket));
        owner.set_permissions(wanted)?;
        socket = Raw::from(OwnedFd::from(owner));
    }
    let address = SockAddr::unix(place.path())?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(place)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    if let (Some(wanted), UnixAddress::Path(path)) = (wanted, place) {
        // What the umask of the process took away is given back.
        fs::set_permissions(path, wanted)?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Removes the file of a socket on which nobody listens any more: its process died without doing so.
fn remove_stale(place: &UnixAddress) -> io::Result<()> {
    const BOUND_UNIX_SOCKETS: &str = "another process listens there";
    let in_use = |what: &str| io::Error::new(io::ErrorKind::AddrInUse, what.to_owned());
    let UnixAddress::Path(path) = place else { return Err(in_use(BOUND_UNIX_SOCKETS)) };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use("there is a file that is no socket"));
    }
    let probe = Raw::new(Domain::UNIX, Type::STREAM, None)?;
    // Where the queue of a live one is full, it would be waited for.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(in_use(BOUND_UNIX_SOCKETS)),
    }
}

impl BoundSocket {
    /// The address it is bound to, with the port that the kernel picked.
    pub fn address(&self) -> io::Result<Address> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Unix(_, place) => Ok(Address::Unix(place.clone())),
        }
    }

    /// Whether clients find it: nobody took its file away.
    pub fn exists(&self) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().is_none_or(UnixSocketFile::exists)
    }

    /// From now on the file has this mode.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match &*self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) if file.exists() => fs::set_permissions(&file.path, Permissions::from_mode(mode)),
            _ => Ok(()),
        }
    }

    /// Takes the file away, once; connections that wait are still accepted.
    pub fn remove(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file.filter(UnixSocketFile::exists)
            && let Err(error) = fs::remove_file(&file.path)
        {
            log::warn!("the socket {} was not removed: {error}", file.path.display());
        }
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// One worker's share of a listening socket. No SO_REUSEPORT group: closing one member would reset its backlog.
#[derive(Debug)]
pub struct Acceptor(Listener);

/// A connection just accepted.
#[derive(Debug)]
pub struct Accepted {
    pub io: Stream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// It came through a socket of this machine; both addresses stand for none.
    pub unix: bool,
}

impl Acceptor {
    /// Takes part in accepting; must be called on the worker's runtime.
    pub fn new(socket: &BoundSocket) -> io::Result<Acceptor> {
        Ok(Acceptor(match &socket.kind {
            Kind::Tcp(listener) => tokio::net::TcpListener::from_std(listener.try_clone()?)?.into(),
            Kind::Unix(listener, _) => tokio::net::UnixListener::from_std(listener.try_clone()?)?.into(),
        }))
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let mut stream = self.0.accept().await?;
        if let Listener::Unix(_) = self.0 {
            return Ok(Accepted {
                io: Stream::new(stream),
                peer: UNIX_PEER_ADDR,
                local: UNIX_PEER_ADDR,
                unix: true,
            });
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let digest = stream.get_socket_digest();
        let inet = |address: Option<&Seen>| address.and_then(Seen::as_inet).copied();
        let peer = digest.as_ref().and_then(|d| inet(d.peer_addr())).unwrap_or(nowhere);
        let local = digest.as_ref().and_then(|d| inet(d.local_addr())).unwrap_or(nowhere);
        stream.set_nodelay().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Accepted { io: Stream::new(stream), peer, local, unix: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn place(folder: &tempfile::TempDir) -> (Address, PathBuf) {
        let path = folder.path().join("a.sock");
        (Address::Unix(UnixAddress::Path(path.clone())), path)
    }

    #[test]
    fn the_file_of_a_socket_has_its_mode_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (address, path) = place(&folder);
        let socket = bind(&address, Some(0o666)).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(), socket.address().unwrap()), (0o666, address));
        socket.set_mode(0o600).unwrap();
        assert_eq!(mode(), 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (address, path) = place(&folder);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "its process died");
        let live = bind(&address, None).unwrap();
        let error = bind(&address, None).unwrap_err();
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (io::ErrorKind::AddrInUse, "another process listens there")
        );
        assert!(UnixStream::connect(&path).is_ok(), "it still serves");
        drop(live);
        fs::write(&path, "precious").unwrap();
        assert!(bind(&address, None).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn what_somebody_else_put_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (address, path) = place(&folder);
        let ours = bind(&address, None).unwrap();
        fs::remove_file(&path).unwrap();
        let theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(UnixStream::connect(&path).is_ok());
        drop(theirs);
    }

    #[test]
    fn a_name_of_the_kernel_is_one_sockets() {
        let address = Address::Unix(UnixAddress::Abstract(format!("margay-test-{}", std::process::id())));
        let first = bind(&address, None).unwrap();
        assert!(bind(&address, None).is_err());
        drop(first);
        assert!(bind(&address, None).is_ok());
    }
}
