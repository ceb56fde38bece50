"""Long runs of TCP and UDP forwarding: failover, reloads, idle connections, hostile clients. Part of `make soak`.

Usage: endurance.py --binary PATH [--scale N] [NAME ...]. `--scale 10` runs a tenth. Exits 1 if a check fails.
"""
import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from peers import Processes, expect, route, tcp, wait_for
from run import Backend, Failed, free_ports

GREETER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
def serve(connection):
    connection.sendall(b"hello\\n")
    while data := connection.recv(4096):
        connection.sendall(data)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""


def greeter(port):
    process = subprocess.Popen([sys.executable, "-c", GREETER, str(port)], stderr=subprocess.DEVNULL)
    wait_for(port)
    return process


def metric(admin, name):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def memory(process):
    """Bytes of memory of the process alone."""
    with open(f"/proc/{process.pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith(("Private_Clean", "Private_Dirty")))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def failover(peers, scale):
    """One backend is killed and restarted every second, one refuses, one never accepts: no new connection fails."""
    front, sound, killed, refusing, stalled = (free_ports(1) for _ in range(5))
    steady = greeter(sound)
    peers.callback(steady.kill)
    stall = socket.create_server(("127.0.0.1", stalled), backlog=0)
    peers.callback(stall.close)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", stalled))
        fillers.append(filler)
        peers.callback(filler.close)
    options = {"ConnectTimeout": "40ms", "ConnectAttempts": 3}
    config = route(
        "front", sound, TransportOptions=options, LoadBalancerOptions={"Type": "RoundRobin"},
        HealthCheckOptions={"Passive": {"ConsecutiveFailures": 1, "EjectionTime": "30s"}},
    )
    config["DownstreamHostAndPorts"] = [{"Host": "127.0.0.1", "Port": port} for port in (sound, killed, refusing, stalled)]
    peers.gateway([tcp("front", front)], [config])
    held = []
    for _ in range(50):
        held.append(socket.create_connection(("127.0.0.1", front), 5))
        peers.callback(held[-1].close)
    stop = threading.Event()

    def kill():
        while not stop.is_set():
            process = greeter(killed)
            stop.wait(1)
            process.send_signal(signal.SIGKILL)
            process.wait()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    times, failed = [], 0
    for _ in range(20_000 // scale):
        began = time.perf_counter()
        try:
            with socket.create_connection(("127.0.0.1", front), 5) as client:
                if client.recv(6, socket.MSG_WAITALL) != b"hello\n":
                    failed += 1
        except OSError:
            failed += 1
        times.append(time.perf_counter() - began)
    stop.set()
    killer.join()
    p99 = sorted(times)[len(times) * 99 // 100]
    print(f"  {len(times)} connections, {failed} failed, p99 {p99 * 1000:.1f} ms")
    expect(failed == 0 and p99 < 0.1, f"{failed} failed, p99 {p99}")


def reloads(peers, scale):
    """Reloads under open connections and sessions: none ends, no datagram is lost, nothing is left behind."""
    front, other, service, datagrams = (free_ports(1) for _ in range(4))
    backend = Backend({"port": service, "kind": "tcp", "mode": "echo"}, peers.certs)
    echo = Backend({"port": datagrams, "kind": "udp"}, peers.certs)
    peers.callback(backend.stop)
    peers.callback(echo.stop)
    base = [tcp("front", front), {"Name": "udp", "Address": f"127.0.0.1:{front}", "Protocol": "Udp"}]
    routes = [route("front", service), route("udp", datagrams)]
    peers.gateway(base, routes)
    one = json.dumps({"Listeners": base, "TransportRoutes": routes})
    roles = {"W": {"Instances": [{"Host": "127.0.0.2"}], "Endpoints": {"E": {"Kind": "Internal", "Protocol": "tcp", "Port": 7001, "GatewayPort": free_ports(1)}}}}
    changed = {
        "Listeners": base + [tcp("other", other)], "Roles": roles,
        "TransportRoutes": routes + [route("other", service)], "TrafficRules": {"Rules": [{"From": ["W"], "To": ["W.E"]}]},
    }
    two = json.dumps(changed)
    clients = [socket.create_connection(("127.0.0.1", front), 10) for _ in range(500)]
    sessions = []
    for _ in range(100):
        session = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        session.settimeout(5)
        session.connect(("127.0.0.1", front))
        sessions.append(session)
    for open_one in clients + sessions:
        peers.callback(open_one.close)

    def exchange(text):
        for kind in (clients, sessions):
            for client in kind:
                client.send(text)
            for client in kind:
                found = client.recv(len(text))
                expect(found == text, f"{found} instead of {text}")

    exchange(b"first")
    before = (descriptors(peers.margay), memory(peers.margay))
    for round in range(500 // scale):
        applied = metric(peers.admin, 'margay_config_reloads_total{outcome="applied"}')
        path = f"{peers.folder}/gateway.json"
        with open(path + ".new", "w") as file:
            file.write(two if round % 2 == 0 else one)
        os.replace(path + ".new", path)
        peers.margay.send_signal(signal.SIGHUP)
        deadline = time.time() + 10
        while metric(peers.admin, 'margay_config_reloads_total{outcome="applied"}') == applied:
            expect(time.time() < deadline, f"reload {round} is not applied")
            time.sleep(0.005)
        if round % 10 == 0:
            exchange(b"%05d" % round)
    exchange(b"last")
    after = (descriptors(peers.margay), memory(peers.margay))
    print(f"  descriptors {before[0]} -> {after[0]}, memory {before[1] >> 10} -> {after[1] >> 10} KiB")
    expect(abs(after[0] - before[0]) <= 8, f"descriptors {before[0]} -> {after[0]}")
    expect(after[1] - before[1] < 16 << 20, f"memory {before[1]} -> {after[1]}")


def idle(peers, scale):
    """An idle connection takes at most 2 KiB of the memory of the gateway."""
    front, service, count = free_ports(1), free_ports(1), 9000 // scale
    backend = greet_nobody(peers, service)
    peers.gateway([tcp("front", front)], [route("front", service)])

    def open_some(number):
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", front), 10)
            peers.callback(client.close)

    open_some(count // 10)
    time.sleep(0.5)
    before = memory(peers.margay)
    open_some(count)
    deadline = time.time() + 20
    while len(backend) < count + count // 10 and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    each = (memory(peers.margay) - before) / count
    print(f"  {count} connections, {each:.0f} bytes each")
    expect(each <= 2048, f"{each} bytes")


def greet_nobody(peers, port):
    """A service that keeps its connections open."""
    listener, held = socket.create_server(("127.0.0.1", port), backlog=1024), []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                held.append(listener.accept()[0])

    peers.callback(lambda: [connection.close() for connection in held])
    peers.callback(listener.close)
    threading.Thread(target=accept, daemon=True).start()
    return held


def hostile(peers, scale):
    """Slow, large and missing hellos, and datagrams of many forged sources: bounded, counted, and others are not delayed."""
    front, service, datagrams, sink = (free_ports(1) for _ in range(4))
    backend = Backend({"port": service, "kind": "tcp", "mode": "echo"}, peers.certs)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", sink))
    peers.callback(backend.stop)
    peers.callback(silent.close)
    listeners = [tcp("front", front), tcp("open", free_ports(1)), {"Name": "udp", "Address": f"0.0.0.0:{datagrams}", "Protocol": "Udp"}]
    routes = [
        route("front", service, UpstreamServerNames=["db.example"], TransportOptions={"HelloTimeout": "1s"}),
        route("open", service), route("udp", sink),
    ]
    peers.gateway(listeners, routes)
    reference = int(listeners[1]["Address"].split(":")[1])
    before = memory(peers.margay)
    for at in range(300):
        client = socket.create_connection(("127.0.0.1", front), 5)
        peers.callback(client.close)
        if at % 3 == 0:
            client.sendall(b"\x16\x03\x01\x00")
        elif at % 3 == 1:
            record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + bytes(16380)
            with contextlib.suppress(OSError):
                client.sendall(record * 4)
    sources = 60_000 // scale
    for at in range(sources):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((f"127.{at >> 16 & 255}.{at >> 8 & 255}.{at % 250 + 1}", 0))
            client.sendto(b"x", ("127.0.0.1", datagrams))
        if at % 1000 == 0:
            began = time.perf_counter()
            with socket.create_connection(("127.0.0.1", reference), 5) as client:
                client.sendall(b"y")
                client.recv(1)
            expect(time.perf_counter() - began < 0.5, "another client is delayed")
    time.sleep(1.5)
    taken = memory(peers.margay) - before
    refused = {name: metric(peers.admin, f'margay_errors_total{{code="{name}"') for name in ("hello.timeout", "hello.size", "limit.sessions")}
    print(f"  {sources} sources, {taken >> 10} KiB, {refused}")
    expect(refused["hello.timeout"] and refused["hello.size"], refused)
    expect(taken < 64 << 20, f"{taken} bytes")


CHECKS = [failover, reloads, idle, hostile]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("wanted", nargs="*")
    arguments, failed = parser.parse_args(), 0
    for check in CHECKS:
        if arguments.wanted and check.__name__ not in arguments.wanted:
            continue
        print(f"{check.__name__}:", flush=True)
        try:
            with Processes(os.path.abspath(arguments.binary), ".") as peers:
                check(peers, arguments.scale)
        except (Failed, OSError) as error:
            failed += 1
            print(f"  {type(error).__name__} {error}", flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
