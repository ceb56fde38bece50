//! Syslog (RFC 5424): each line is one datagram, to a Unix socket or by UDP.

use super::{
    config::{SyslogAddress, SyslogConfig},
    output::{FailureReport, LogOutput},
};
use crate::base::date::Timestamp;
use std::{
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    os::unix::net::UnixDatagram,
    time::SystemTime,
};

/// The severity of access log lines: informational.
const SEVERITY: u8 = 6;

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// A syslog server; the connection is opened by the first line, and again after a failure.
pub(super) struct SyslogOutput {
    config: SyslogConfig,
    /// The header behind the timestamp.
    header: String,
    socket: Option<Socket>,
    datagram: Vec<u8>,
    failures: FailureReport,
}

impl SyslogOutput {
    pub(super) fn new(config: SyslogConfig) -> SyslogOutput {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = printable(host.trim(), 255);
        let app_name = printable(&config.app_name, 48);
        let header = format!(" {host} {app_name} {} access - ", std::process::id());
        SyslogOutput {
            config,
            header,
            socket: None,
            datagram: Vec::new(),
            failures: FailureReport::default(),
        }
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let priority = self.config.facility * 8 + SEVERITY;
        self.datagram.clear();
        write!(self.datagram, "<{priority}>1 {}{}", Timestamp(SystemTime::now()), self.header)?;
        self.datagram.extend_from_slice(line);
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(&self.config.address)?,
        };
        match &socket {
            Socket::Unix(unix) => unix.send(&self.datagram)?,
            Socket::Udp(udp) => udp.send(&self.datagram)?,
        };
        // A socket that failed is not kept.
        self.socket = Some(socket);
        Ok(())
    }
}

impl LogOutput for SyslogOutput {
    fn write_lines(&mut self, lines: &[u8]) -> u64 {
        let mut lost = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let sent = self.send(line);
            self.failures.update("syslog", &sent);
            lost += u64::from(sent.is_err());
        }
        lost
    }

    fn reopen(&mut self) {
        self.socket = None;
    }
}

fn connect(address: &SyslogAddress) -> io::Result<Socket> {
    match address {
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(Socket::Unix(socket))
        }
        SyslogAddress::Udp(address) => {
            let mut all = address.to_socket_addrs()?;
            let to = all.next().ok_or_else(|| io::Error::other("the name has no address"))?;
            let from = match to {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            Ok(Socket::Udp(socket))
        }
    }
}

/// A field of the header: printable ASCII without spaces, `-` if it is empty.
fn printable(text: &str, max: usize) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn output(address: SyslogAddress) -> SyslogOutput {
        SyslogOutput::new(SyslogConfig { address, facility: 16, app_name: "margay".into() })
    }

    fn assert_is_rfc_5424(datagram: &[u8]) {
        let text = std::str::from_utf8(datagram).unwrap();
        let fields: Vec<&str> = text.splitn(8, ' ').collect();
        assert_eq!(fields[0], "<134>1", "{text}");
        assert!(fields[1].ends_with('Z') && fields[1].len() == 24, "{text}");
        assert_eq!((fields[3], fields[5], fields[6]), ("margay", "access", "-"), "{text}");
        assert_eq!(fields[7], r#"{"status":200}"#);
    }

    #[test]
    fn each_line_is_a_datagram_to_a_unix_socket_and_a_restarted_server_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut output = output(SyslogAddress::Unix(path.clone()));
        assert_eq!(output.write_lines(b"{\"status\":200}\n"), 1, "the server is not running");
        for _ in 0..2 {
            let server = UnixDatagram::bind(&path).unwrap();
            assert_eq!(output.write_lines(b"{\"status\":200}\n{\"status\":200}\n"), 0);
            for _ in 0..2 {
                let mut datagram = [0; 512];
                let received = server.recv(&mut datagram).unwrap();
                assert_is_rfc_5424(&datagram[..received]);
            }
            drop(server);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(output.write_lines(b"lost\n"), 1);
        }
    }

    #[test]
    fn each_line_is_a_datagram_by_udp() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut output = output(SyslogAddress::Udp(server.local_addr().unwrap().to_string()));
        assert_eq!(output.write_lines(b"{\"status\":200}\n"), 0);
        let mut datagram = [0; 512];
        let received = server.recv(&mut datagram).unwrap();
        assert_is_rfc_5424(&datagram[..received]);
    }
}
