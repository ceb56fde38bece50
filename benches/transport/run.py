#!/usr/bin/env python3
"""The rows `tcp` and `udp` of `make bench`: forwarding next to nginx `stream` and HAProxy `mode tcp`.

Usage: benches/transport/run.py path/to/margay [ROW ...]

One thread each; the proxy has a core of its own where there are two. Rounds are interleaved. The result is the CPU time, user and
system, of the proxy's processes: for a GB, for a million round trips, for a million connections. The load is no native program, so
throughput is that of the load; CPU for each unit is not affected by it.
"""

import contextlib
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SECONDS = float(os.environ.get("SECONDS_EACH", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
TICKS = os.sysconf("SC_CLK_TCK")
CHUNK = bytes(256 * 1024)
# (row, transport, clients, datagrams in flight for each client, unit, bound of margay : nginx)
ROWS = {
    "tcp-up-1": ("up", 1, 0, "GB", 0.6),
    "tcp-up-8": ("up", 8, 0, "GB", 0.6),
    "tcp-down-1": ("down", 1, 0, "GB", 0.6),
    "tcp-down-8": ("down", 8, 0, "GB", 0.6),
    "tcp-ping-16": ("ping", 16, 0, "million round trips", 1.1),
    "tcp-connect-4": ("connect", 4, 0, "million connections", 1.1),
    "udp-1": ("udp", 1, 32, "million datagrams", 1.0),
    "udp-16": ("udp", 16, 16, "million datagrams", 1.0),
}
UNITS = {"GB": 1e9, "million round trips": 1e6, "million connections": 1e6, "million datagrams": 1e6}

NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
stream {{
    proxy_buffer_size 64k;
    server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{echo}; }}
    server {{ listen 127.0.0.1:{sink_port}; proxy_pass 127.0.0.1:{sink}; }}
    server {{ listen 127.0.0.1:{port} udp; proxy_pass 127.0.0.1:{echo}; }}
}}
"""
HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen echo
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{echo}
listen sink
    bind 127.0.0.1:{sink_port}
    server one 127.0.0.1:{sink}
"""
MARGAY = """{{
  "Listeners": [
    {{ "Name": "echo", "Address": "127.0.0.1:{port}", "Protocol": "Tcp" }},
    {{ "Name": "sink", "Address": "127.0.0.1:{sink_port}", "Protocol": "Tcp" }},
    {{ "Name": "echo-udp", "Address": "127.0.0.1:{port}", "Protocol": "Udp" }}
  ],
  "TransportRoutes": [
    {{ "Listeners": ["echo"], "DownstreamHostAndPorts": [{{ "Host": "127.0.0.1", "Port": {echo} }}] }},
    {{ "Listeners": ["sink"], "DownstreamHostAndPorts": [{{ "Host": "127.0.0.1", "Port": {sink} }}] }},
    {{ "Listeners": ["echo-udp"], "DownstreamHostAndPorts": [{{ "Host": "127.0.0.1", "Port": {echo} }}] }}
  ]
}}
"""


def free_port(taken=set()):
    port = 18300
    while True:
        with contextlib.ExitStack() as sockets:
            probes = [sockets.enter_context(socket.socket(socket.AF_INET, kind)) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
            with contextlib.suppress(OSError):
                if port not in taken:
                    for probe in probes:
                        probe.bind(("127.0.0.1", port))
                    taken.add(port)
                    return port
        port += 1


def serve(echo, sink):
    """The services, until the process ends: an echo over TCP and UDP; one that reads, or sends without end after one byte."""
    selector = selectors.DefaultSelector()
    for port, name in ((echo, "echo"), (sink, "sink")):
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, ("accept", name))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    datagrams.bind(("127.0.0.1", echo))
    datagrams.setblocking(False)
    selector.register(datagrams, selectors.EVENT_READ, ("udp", None))
    buffer = bytearray(1 << 20)
    while True:
        for key, _ in selector.select():
            kind, name = key.data
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if kind == "accept":
                    connection, _ = key.fileobj.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.setblocking(False)
                    selector.register(connection, selectors.EVENT_READ, (name, None))
                elif kind == "udp":
                    for _ in range(64):
                        data, client = datagrams.recvfrom(65536)
                        datagrams.sendto(data, client)
                else:
                    step(selector, key, kind, buffer)
                continue


def step(selector, key, kind, buffer):
    connection = key.fileobj
    try:
        if kind == "source":
            return connection.send(CHUNK)
        count = connection.recv_into(buffer)
        if count == 0:
            raise ConnectionError
        if kind == "echo":
            connection.sendall(memoryview(buffer)[:count])
        elif buffer[0] == ord("d") and count == 1:
            selector.modify(connection, selectors.EVENT_WRITE, ("source", None))
    except BlockingIOError:
        pass
    except OSError:
        selector.unregister(connection)
        connection.close()


class Proxy:
    """A running proxy, with one thread."""

    def __init__(self, name, binary, folder, echo, sink):
        self.name, self.port, self.sink_port = name, free_port(), free_port()
        template = {"margay": MARGAY, "nginx": NGINX, "haproxy": HAPROXY}[name]
        path = f"{folder}/{name}.conf" if name != "margay" else f"{folder}/gateway.json"
        with open(path, "w") as file:
            file.write(template.format(port=self.port, sink_port=self.sink_port, echo=echo, sink=sink, folder=folder))
        command = {
            "margay": [binary, "run", "--config", path, "--admin", f"127.0.0.1:{free_port()}", "--threads", "1"],
            "nginx": ["nginx", "-p", folder, "-c", path],
            "haproxy": ["haproxy", "-db", "-f", path],
        }[name]
        pinned = ["taskset", "-c", "1"] if os.cpu_count() > 1 else []
        self.process = subprocess.Popen([*pinned, *command], stdout=open(f"{folder}/{name}.out", "w"), stderr=subprocess.STDOUT)
        deadline = time.time() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.sink_port), 1).close()
                return
            except OSError:
                if time.time() > deadline:
                    sys.exit(f"{name} does not listen: {open(f'{folder}/{name}.out').read()}")
                time.sleep(0.05)

    def cpu(self):
        pid, total = self.process.pid, 0
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            family = [pid, *map(int, file.read().split())]
        for member in family:
            with open(f"/proc/{member}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def bulk(proxy, clients, upwards):
    selector, total, buffer = selectors.DefaultSelector(), 0, bytearray(1 << 20)
    for _ in range(clients):
        connection = connect(proxy.sink_port)
        connection.sendall(b"u" if upwards else b"d")
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_WRITE if upwards else selectors.EVENT_READ)
    deadline = time.time() + SECONDS
    while time.time() < deadline:
        for key, _ in selector.select(1):
            with contextlib.suppress(BlockingIOError):
                total += key.fileobj.send(CHUNK) if upwards else key.fileobj.recv_into(buffer)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return total, 0


def ping(proxy, clients):
    selector, total = selectors.DefaultSelector(), 0
    for _ in range(clients):
        connection = connect(proxy.port)
        connection.send(b"x")
        selector.register(connection, selectors.EVENT_READ)
    deadline = time.time() + SECONDS
    while time.time() < deadline:
        for key, _ in selector.select(1):
            key.fileobj.recv(16)
            key.fileobj.send(b"x")
            total += 1
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return total, 0


def connections(proxy, clients):
    """So many connections at a time; each sends a byte, gets it back, and is reset, so that no port stays in TIME-WAIT."""
    selector, total = selectors.DefaultSelector(), 0

    def open_one():
        connection = connect(proxy.port)
        connection.send(b"x")
        selector.register(connection, selectors.EVENT_READ)

    for _ in range(clients):
        open_one()
    deadline = time.time() + SECONDS
    while time.time() < deadline:
        for key, _ in selector.select(1):
            key.fileobj.recv(16)
            selector.unregister(key.fileobj)
            key.fileobj.close()
            total += 1
            open_one()
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return total, 0


def datagrams(proxy, clients, window):
    selector, sent, received, payload = selectors.DefaultSelector(), 0, 0, bytes(64)
    sockets = []
    for _ in range(clients):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.connect(("127.0.0.1", proxy.port))
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
        sockets.append(client)
        for _ in range(window):
            client.send(payload)
            sent += 1
    deadline, end = time.time() + SECONDS, time.time() + SECONDS + 0.3
    while time.time() < end:
        for key, _ in selector.select(0.05):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while True:
                    key.fileobj.recv(2048)
                    received += 1
                    if time.time() < deadline:
                        key.fileobj.send(payload)
                        sent += 1
    for client in sockets:
        client.close()
    return received, sent - received


def measure(proxy, row):
    kind, clients, window, unit, _ = ROWS[row]
    before = proxy.cpu()
    if kind in ("up", "down"):
        count, lost = bulk(proxy, clients, kind == "up")
    elif kind == "ping":
        count, lost = ping(proxy, clients)
    elif kind == "connect":
        count, lost = connections(proxy, clients)
    else:
        count, lost = datagrams(proxy, clients, window)
    time.sleep(0.05)
    return (proxy.cpu() - before) / (count / UNITS[unit]), count, lost


def main():
    binary, wanted = sys.argv[1], sys.argv[2:]
    rows = [row for row in ROWS if not wanted or row in wanted or row.split("-")[0] in wanted]
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    folder = tempfile.mkdtemp(prefix="margay-bench-")
    echo, sink = free_port(), free_port()
    service = os.fork()
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {0})
    if service == 0:
        serve(echo, sink)
    proxies = []
    try:
        time.sleep(0.3)
        for name in ("margay", "nginx", "haproxy"):
            proxies.append(Proxy(name, binary, folder, echo, sink))
        for row in rows:
            report(row, [proxy for proxy in proxies if proxy.name != "haproxy" or not row.startswith("udp")])
    finally:
        for proxy in proxies:
            proxy.process.terminate()
            proxy.process.wait()
        os.kill(service, 9)
        os.waitpid(service, 0)
        shutil.rmtree(folder, ignore_errors=True)


def report(row, proxies):
    results = {proxy.name: [] for proxy in proxies}
    for _ in range(ROUNDS):
        for proxy in proxies:
            results[proxy.name].append(measure(proxy, row))
    unit, bound = ROWS[row][3], ROWS[row][4]
    print(f"\n{row}: CPU seconds for a {unit}; medians of {ROUNDS} rounds of {SECONDS:g} s")
    for name, rounds in results.items():
        rate = statistics.median(count for _, count, _ in rounds) / SECONDS
        lost = sum(lost for _, _, lost in rounds)
        print(f"  {name:8} {statistics.median(cpu for cpu, _, _ in rounds):8.3f}   {rate:14,.0f}/s   lost {lost}")
    ratio = statistics.median(one[0] / other[0] for one, other in zip(results["margay"], results["nginx"]))
    print(f"  margay : nginx = {ratio:.2f} (at most {bound})", flush=True)


if __name__ == "__main__":
    main()
