use super::*;
use std::os::unix::net::UnixStream;

fn path(folder: &tempfile::TempDir) -> (Address, PathBuf) {
    let path = folder.path().join("a.sock");
    (Address::Unix(UnixAddress::Path(path.clone())), path)
}

#[test]
fn a_socket_file_has_its_mode_and_is_removed_with_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (address, path) = path(&folder);
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
fn a_stale_socket_is_replaced_but_a_live_one_or_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (address, path) = path(&folder);
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
    assert!(bind(&address, None).unwrap_err().to_string().contains("not a socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_file_that_replaced_the_socket_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (address, path) = path(&folder);
    let bound = bind(&address, None).unwrap();
    fs::remove_file(&path).unwrap();
    let replacement = UnixListener::bind(&path).unwrap();
    drop(bound);
    assert!(UnixStream::connect(&path).is_ok());
    drop(replacement);
}

#[test]
fn an_abstract_name_is_bound_once() {
    let address = Address::Unix(UnixAddress::Abstract(format!("margay-test-{}", std::process::id())));
    let first = bind(&address, None).unwrap();
    assert!(bind(&address, None).is_err());
    drop(first);
    assert!(bind(&address, None).is_ok());
}
