#!/usr/bin/env python3
"""What margay holds: bytes of memory (PSS) for an idle client connection of each kind, for a route and for an operation of an API.

    tests/chaos/costs.py MARGAY_BINARY [--connections 5000] [--routes 10000] [--only PATTERN]

Each idle connection has served one request. The exit code is 1 if a figure is above its bound.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from backend import Backend
from clients import PREFACE, frame, literal
from gateways import free_port

KIB = 1024
# Bytes for one of each; docs/limits.md lists them.
BOUNDS = {"HTTP/1.1": 3 * KIB, "HTTP/1.1 over TLS": 12 * KIB, "HTTP/2": 28 * KIB, "HTTP/2 over TLS": 36 * KIB,
          "WebSocket": 7 * KIB, "route": 12 * KIB, "operation": 4 * KIB}


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * KIB


def settled_pss(pid):
    """The lowest of a few samples: what is freed goes back to the kernel with a delay."""
    samples = []
    for _ in range(4):
        time.sleep(0.5)
        samples.append(pss(pid))
    return min(samples)


@contextlib.contextmanager
def running(binary, config, ports):
    """A gateway with one worker and this configuration."""
    with tempfile.TemporaryDirectory(prefix="costs-") as folder:
        file = os.path.join(folder, "gateway.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(config(folder), out)
        process = subprocess.Popen([binary, "run", "--config", file, "--admin", f"127.0.0.1:{free_port()}", "--threads", "1"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for port in ports:
                wait_for(port, process)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process.pid
        finally:
            process.kill()
            process.wait()


def wait_for(port, process):
    for _ in range(400):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None:
                sys.exit(process.stderr.read().decode())
            time.sleep(0.05)
    sys.exit(f"margay does not listen on port {port}")


def certificate(folder):
    """A self-signed certificate in `folder`."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=chaos.test", "-addext", "subjectAltName=DNS:chaos.test", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return {"CertificateFile": cert, "KeyFile": key}


def proxy_config(plain, tls, backend):
    def config(folder):
        route = {"UpstreamPathTemplate": "/{path}", "DownstreamPathTemplate": "/{path}", "DownstreamScheme": "http",
                 "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": backend}]}
        web_socket = {**route, "UpstreamPathTemplate": "/ws", "DownstreamPathTemplate": "/ws", "DownstreamScheme": "ws"}
        return {"Listeners": [{"Address": f"127.0.0.1:{plain}"}, {"Address": f"127.0.0.1:{tls}", "Tls": {"Certificates": [certificate(folder)]}}],
                "Limits": {"KeepAliveTimeout": "600s"}, "Routes": [web_socket, route]}
    return config


class Client:
    """Opens one connection, sends one request on it and receives the response."""

    def __init__(self, port, alpn=None):
        self.port, self.context = port, None
        if alpn:
            self.context = ssl.create_default_context()
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
            self.context.set_alpn_protocols([alpn])

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(connection, server_hostname="chaos.test") if self.context else connection

    def http1(self):
        connection = self.connect()
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: chaos.test\r\nUser-Agent: costs\r\nAccept: */*\r\n\r\n")
        receive_until(connection, lambda data: data.endswith(b"\r\n\r\nok"))
        return connection

    def http2(self):
        connection = self.connect()
        block = b"\x82\x86" + literal(b":path", b"/a") + literal(b":authority", b"chaos.test")
        connection.sendall(PREFACE + frame(4, 0, 0) + frame(4, 1, 0) + frame(1, 5, 1, block))
        receive_until(connection, has_end_of_stream)
        return connection

    def web_socket(self):
        connection = self.connect()
        key = base64.b64encode(os.urandom(16))
        connection.sendall(b"GET /ws HTTP/1.1\r\nHost: chaos.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
        receive_until(connection, lambda data: data.startswith(b"HTTP/1.1 101") and data.endswith(b"\r\n\r\n"))
        return connection


def receive_until(connection, is_complete):
    data = b""
    while not is_complete(data):
        more = connection.recv(65536)
        if not more:
            sys.exit(f"the connection was closed after {data!r}")
        data += more


def has_end_of_stream(data):
    """Whether a frame of stream 1 ends it."""
    while len(data) >= 9:
        length, stream = int.from_bytes(data[:3], "big"), struct.unpack(">I", data[5:9])[0]
        if stream == 1 and data[3] in (0, 1) and data[4] & 1 and len(data) >= 9 + length:
            return True
        data = data[9 + length:]
    return False


def start_backend():
    """A backend on its own thread; returns its port."""
    started, port = threading.Event(), []

    async def serve():
        port.append((await Backend().start()).port)
        started.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    started.wait()
    return port[0]


def cost_of_connections(binary, count, backend, open_one):
    """Bytes for each of `count` connections; the first ones are not counted, because buffers and pools are created for them."""
    plain, tls = free_port(), free_port()
    with running(binary, proxy_config(plain, tls, backend), (plain, tls)) as pid:
        client = open_one(plain, tls)
        held = [client() for _ in range(100)]
        before = settled_pss(pid)
        held += [client() for _ in range(count)]
        after = settled_pss(pid)
        for connection in held:
            connection.close()
    return (after - before) / count


KINDS = {
    "HTTP/1.1": lambda plain, tls: Client(plain).http1,
    "HTTP/1.1 over TLS": lambda plain, tls: Client(tls, "http/1.1").http1,
    "HTTP/2": lambda plain, tls: Client(plain).http2,
    "HTTP/2 over TLS": lambda plain, tls: Client(tls, "h2").http2,
    "WebSocket": lambda plain, tls: Client(plain).web_socket,
}


def routes_config(port, count):
    def route(number):
        return {"UpstreamPathTemplate": f"/svc{number}/api/{{id}}", "UpstreamHttpMethod": ["Get"],
                "DownstreamPathTemplate": "/api/{id}", "DownstreamScheme": "http",
                "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": 9000 + number % 1000}]}
    return lambda _: {"Listeners": [{"Address": f"127.0.0.1:{port}"}], "Routes": [route(n) for n in range(count)]}


def apis_config(port, operations):
    def api(number):
        own = {f"op-{n}": {"Method": "GET", "UrlTemplate": f"/things-{n}/{{id}}"} for n in range(10)}
        return {"ServiceUrl": f"http://127.0.0.1:{9000 + number % 1000}/base", "Operations": own}
    apis = {f"api-{n}": api(n) for n in range(operations // 10)}
    return lambda _: {"Listeners": [{"Address": f"127.0.0.1:{port}"}], "Apis": apis}


def cost_of(binary, config, count):
    """The memory of one entry of a configuration that has 100, then `count` of them."""
    figures = []
    for entries in (100, count):
        port = free_port()
        with running(binary, config(port, entries), (port,)) as pid:
            # What only the start needs is returned to the kernel two seconds later.
            time.sleep(4)
            figures.append(settled_pss(pid))
    return (figures[1] - figures[0]) / (count - 100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--routes", type=int, default=10000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    backend = start_backend()
    rows = {kind: lambda kind=kind: cost_of_connections(binary, options.connections, backend, KINDS[kind]) for kind in KINDS}
    rows["route"] = lambda: cost_of(binary, routes_config, options.routes)
    # 10,000 APIs of 10 operations.
    rows["operation"] = lambda: cost_of(binary, apis_config, 10 * options.routes)
    print("| held | KiB | bound |\n|---|---|---|")
    above = []
    for name, measure in rows.items():
        if options.only.lower() in name.lower():
            cost, bound = measure(), BOUNDS[name]
            print(f"| {name} | {cost / KIB:.1f} | {bound / KIB:.0f} |", flush=True)
            above += [name] if cost > bound else []
    if above:
        sys.exit("above the bound: " + ", ".join(above))


if __name__ == "__main__":
    main()
