"""Real clients, servers and proxies on TCP and UDP listeners: redis-cli, openssl, dig, HAProxy; bulk and many connections.

Usage: peers.py --binary PATH --certs DIR [NAME ...]. Prints one line for each check; exits 1 if any fails.
"""
import argparse
import contextlib
import hashlib
import json
import os
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

import run
from run import Backend, Failed, free_ports

BULK = 200 * 1024 * 1024
CONNECTIONS = 1000


class Processes(contextlib.ExitStack):
    """A folder, and programs that end with it."""

    def __init__(self, binary, certs):
        super().__init__()
        self.binary, self.certs = binary, certs
        self.folder = tempfile.mkdtemp(prefix="margay-peers-")
        self.callback(shutil.rmtree, self.folder, True)

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, *arguments):
        log = open(f"{self.folder}/{os.path.basename(arguments[0])}.log", "a")
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        process = subprocess.Popen(arguments, cwd=self.folder, stdout=log, stderr=log, env=environment)
        self.callback(process.wait)
        self.callback(process.kill)
        return process

    def gateway(self, listeners, routes):
        for listener in listeners:
            if "Tls" in listener:
                pair = {"CertificateFile": f"{self.certs}/server.pem", "KeyFile": f"{self.certs}/server.key"}
                listener["Tls"] = {"Certificates": [pair]}
        config = self.write("gateway.json", json.dumps({"Listeners": listeners, "TransportRoutes": routes}))
        self.admin = free_ports(1)
        self.margay = self.start(self.binary, "run", "--config", config, "--admin", f"127.0.0.1:{self.admin}")
        wait_for(self.admin)
        for listener in listeners:
            if listener["Protocol"] == "Tcp":
                wait_for(int(listener["Address"].split(":")[1]))


def wait_for(port):
    deadline = time.time() + 20
    while time.time() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
    raise Failed(f"nothing listens on port {port}")


def tcp(name, port, **settings):
    return {"Name": name, "Address": f"127.0.0.1:{port}", "Protocol": "Tcp", **settings}


def route(listener, port, **settings):
    return {"Key": f"{listener}-{port}", "Listeners": [listener], "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": port}], **settings}


def output(*arguments, text=""):
    result = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=30)
    return result.stdout + result.stderr


def expect(condition, found):
    if not condition:
        raise Failed(str(found)[-900:])


def redis_by_server_name(peers):
    """Two servers behind one port with TLS: the server name selects the one that redis-cli reaches."""
    front, one, other = free_ports(1), free_ports(1), free_ports(1)
    for port in (one, other):
        peers.start("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        wait_for(port)
    routes = [route("redis", one, UpstreamServerNames=["db.example"]), route("redis", other, UpstreamServerNames=["*.shop.example"])]
    peers.gateway([tcp("redis", front, Tls={})], routes)

    def client(name, *command):
        authority = ["--tls", "--cacert", f"{peers.certs}/ca.pem", "--sni", name]
        return output("redis-cli", "-h", "127.0.0.1", "-p", str(front), *authority, *command)

    expect("OK" in client("db.example", "SET", "place", "one"), "SET failed")
    expect("OK" in client("a.shop.example", "SET", "place", "other"), "SET failed")
    for name, place in (("db.example", "one"), ("b.a.shop.example", "other")):
        found = client(name, "GET", "place")
        expect(place in found.split(), f"{name}: {found}")
    direct = output("redis-cli", "-p", str(one), "GET", "place")
    expect("one" in direct.split(), direct)
    refused = client("elsewhere.example", "PING")
    expect("PONG" not in refused, refused)


def openssl_clients(peers):
    """openssl s_client sees the certificate of the service through passthrough, and that of the gateway at termination."""
    passed, ended, service = free_ports(1), free_ports(1), free_ports(1)
    backend = Backend({"port": service, "kind": "tls", "mode": "echo", "alpn": ["echo/1"]}, peers.certs)
    plain = Backend({"port": free_ports(1), "kind": "tcp", "mode": "echo"}, peers.certs)
    peers.callback(backend.stop)
    peers.callback(plain.stop)
    listeners = [tcp("passed", passed), tcp("ended", ended, Tls={})]
    routes = [route("passed", service, UpstreamServerNames=["shop.example"]), route("ended", plain.spec["port"])]
    peers.gateway(listeners, routes)
    for port, protocol in ((passed, "-tls1_2"), (passed, "-tls1_3"), (ended, "-tls1_2"), (ended, "-tls1_3")):
        arguments = ["-connect", f"127.0.0.1:{port}", "-servername", "shop.example", "-verify_hostname", "shop.example"]
        alpn = ["-alpn", "echo/1"] if port == passed else []
        client = subprocess.Popen(
            ["openssl", "s_client", *arguments, "-CAfile", f"{peers.certs}/ca.pem", "-verify_return_error", protocol, *alpn],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        client.stdin.write(b"through the gateway\n")
        client.stdin.flush()
        found = read_until(client.stdout, b"through the gateway\n")
        client.kill()
        client.wait()
        expect(b"Verify return code: 0 (ok)" in found or b"Verification: OK" in found, found)
        if port == passed:
            expect(b"ALPN protocol: echo/1" in found, found)
    expect(backend.last["tls_name"] == "shop.example", backend.last)
    unknown = output("openssl", "s_client", "-connect", f"127.0.0.1:{passed}", "-servername", "no.example")
    expect("no peer certificate available" in unknown, unknown)


def read_until(stream, text):
    found, deadline = b"", time.time() + 15
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while text not in found and time.time() < deadline and selector.select(1):
            data = os.read(stream.fileno(), 65536)
            if not data:
                break
            found += data
    expect(text in found, found)
    return found


def dns_answer(query):
    """Answers a question for an A record with 192.0.2.7."""
    question = query[12:query.index(b"\0", 12) + 5]
    header = query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
    return header + question + b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + bytes([192, 0, 2, 7])


def dns_server(peers, port):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    listener = socket.create_server(("127.0.0.1", port))
    peers.callback(udp.close)
    peers.callback(listener.close)

    def datagrams():
        with contextlib.suppress(OSError):
            while True:
                query, client = udp.recvfrom(4096)
                udp.sendto(dns_answer(query), client)

    def connections():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    while True:
                        (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                        answer = dns_answer(connection.recv(length, socket.MSG_WAITALL))
                        connection.sendall(struct.pack("!H", len(answer)) + answer)

    for serve in (datagrams, connections):
        threading.Thread(target=serve, daemon=True).start()


def dig_over_both_transports(peers):
    """dig over UDP and over TCP, on one port number."""
    front, service = free_ports(1), free_ports(1)
    dns_server(peers, service)
    datagrams = {"Name": "dns", "Address": f"127.0.0.1:{front}", "Protocol": "Udp"}
    replies = {"Replies": 1, "IdleTimeout": "5s"}
    peers.gateway([datagrams, tcp("dns-tcp", front)], [route("dns", service, TransportOptions=replies), route("dns-tcp", service)])
    for transport in ("+notcp", "+tcp"):
        found = output("dig", "@127.0.0.1", "-p", str(front), transport, "+noedns", "+tries=1", "+time=5", "db.example", "A")
        expect("192.0.2.7" in found and "NOERROR" in found, found)


HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen front
    bind 127.0.0.1:{front}
    server gateway 127.0.0.1:{gateway} send-proxy-v2
listen behind
    bind 127.0.0.1:{behind} accept-proxy
    server service 127.0.0.1:{service} send-proxy
"""


def haproxy_on_both_sides(peers):
    """The address of the client passes through HAProxy, the gateway and HAProxy."""
    front, gateway, behind, service = (free_ports(1) for _ in range(4))
    backend = Backend({"port": service, "kind": "tcp", "mode": "echo"}, peers.certs)
    peers.callback(backend.stop)
    config = peers.write("haproxy.cfg", HAPROXY.format(front=front, gateway=gateway, behind=behind, service=service))
    peers.start("haproxy", "-db", "-f", config)
    proxied = {"Trusted": ["127.0.0.0/8"]}
    listener = {"Name": "proxied", "Address": f"127.0.0.1:{gateway}", "Protocol": "Tcp", "ProxyProtocol": proxied}
    peers.gateway([listener], [route("proxied", behind, TransportOptions={"ProxyProtocol": "V2"})])
    wait_for(front)
    with socket.create_connection(("127.0.0.1", front), 10, ("127.0.0.9", 0)) as client:
        address = client.getsockname()
        client.sendall(b"hello\n")
        line = f"PROXY TCP4 {address[0]} 127.0.0.1 {address[1]} {front}\r\nhello\n".encode()
        found = b""
        while len(found) < len(line) and (part := client.recv(len(line) - len(found))):
            found += part
        expect(found == line, f"{found} instead of {line}")


def bulk_both_ways(peers):
    """200 MB in both directions at one time arrive unchanged."""
    front, service = free_ports(1), free_ports(1)
    listener = socket.create_server(("127.0.0.1", service))
    peers.callback(listener.close)
    peers.gateway([tcp("bulk", front)], [route("bulk", service)])
    sent, received = {}, {}

    def transfer(side, connection, seed):
        block = hashlib.sha256(seed).digest() * 8192
        parts = [memoryview(block)[shift:shift + 131072] for shift in range(0, 131072, 4096)]

        def send():
            digest, left, at = hashlib.sha1(), BULK, 0
            while left:
                part = parts[at % len(parts)][:left]
                connection.sendall(part)
                digest.update(part)
                left, at = left - len(part), at + 1
            connection.shutdown(socket.SHUT_WR)
            sent[side] = digest.hexdigest()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        digest, buffer, total = hashlib.sha1(), bytearray(1 << 20), 0
        while count := connection.recv_into(buffer):
            digest.update(memoryview(buffer)[:count])
            total += count
        sender.join(30)
        received[side] = (total, digest.hexdigest())

    def serve():
        while True:
            connection, _ = listener.accept()
            # A probe of the port sends nothing.
            if connection.recv(1, socket.MSG_PEEK):
                return transfer("service", connection, b"service")

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    with socket.create_connection(("127.0.0.1", front), 20) as client:
        transfer("client", client, b"client")
    server.join(30)
    expect(received.get("client") == (BULK, sent.get("service")), f"{received} {sent}")
    expect(received.get("service") == (BULK, sent.get("client")), f"{received} {sent}")


def many_connections(peers):
    """1,000 open connections, each of which still echoes after all are open."""
    front, service = free_ports(1), free_ports(1)
    backend = Backend({"port": service, "kind": "tcp", "mode": "echo"}, peers.certs)
    peers.callback(backend.stop)
    peers.gateway([tcp("many", front)], [route("many", service)])
    clients = []
    for at in range(CONNECTIONS):
        client = socket.create_connection(("127.0.0.1", front), 10)
        peers.callback(client.close)
        clients.append(client)
    for round in range(2):
        for at, client in enumerate(clients):
            client.sendall(b"%05d%d" % (at, round))
        for at, client in enumerate(clients):
            found = client.recv(6, socket.MSG_WAITALL)
            expect(found == b"%05d%d" % (at, round), f"connection {at}: {found}")


CHECKS = [redis_by_server_name, openssl_clients, dig_over_both_transports, haproxy_on_both_sides, bulk_both_ways, many_connections]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--certs", required=True)
    parser.add_argument("wanted", nargs="*")
    arguments = parser.parse_args()
    run.port_range[:] = [7000, 12000]
    failed = 0
    for check in CHECKS:
        if arguments.wanted and check.__name__ not in arguments.wanted:
            continue
        began = time.time()
        try:
            with Processes(os.path.abspath(arguments.binary), os.path.abspath(arguments.certs)) as peers:
                try:
                    check(peers)
                except Exception:
                    for name in os.listdir(peers.folder):
                        if name.endswith(".log"):
                            with open(f"{peers.folder}/{name}") as file:
                                print(f"{name}: {file.read()[-1500:]}")
                    raise
            print(f"{check.__name__}: passed in {time.time() - began:.1f} s", flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"{check.__name__}: {type(error).__name__} {error}", flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
