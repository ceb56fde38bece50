#!/usr/bin/env python3
"""Long runs of hubs on one node: a reader that stops, sockets that are cut, reloads under load.

Usage: tests/realtime/endurance.py path/to/margay [SCENARIO...]      scenarios: slow, cut, reload; default: all

The size of the runs: READERS (default 41) and MIB (40, published) of `slow`, SOCKETS (200) and RATE (20 messages/s) of `cut`, RELOADS (200).
The last line is 'N passed, M failed'.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nodes import KEY, RELIABLE, Client, api, free_port, request, token

READERS, MIB = int(os.environ.get("READERS", 41)), int(os.environ.get("MIB", 40))
SOCKETS, RATE = int(os.environ.get("SOCKETS", 200)), int(os.environ.get("RATE", 20))
RELOADS = int(os.environ.get("RELOADS", 200))
CHUNK = 64 << 10


class Gateway:
    """A gateway whose hubs and keys can change."""

    def __init__(self, binary, folder):
        self.port, self.admin, self.file = free_port(), free_port(), Path(folder) / "gateway.json"
        self.write({"*": {}})
        self.log = open(Path(folder) / "gateway.log", "wb")
        self.process = subprocess.Popen(
            [binary, "run", "--config", self.file, "--threads", "1"], stdout=self.log, stderr=self.log
        )

    def write(self, hubs, keys=(KEY.decode(),)):
        config = {
            "Listeners": [{"Name": "hubs", "Address": f"127.0.0.1:{self.port}"}],
            "Administration": {"Address": f"127.0.0.1:{self.admin}"},
            "HubServices": {
                "rt": {"Type": "WebPubSub", "Keys": list(keys), "PublicUrls": ["http://hubs.test"], "Hubs": hubs}
            },
            "Routes": [{"UpstreamPathTemplate": "/{everything}", "DownstreamHubService": "rt"}],
        }
        self.write_text(json.dumps(config))

    def write_text(self, text):
        next_file = self.file.with_suffix(".next")
        next_file.write_text(text)
        next_file.rename(self.file)

    async def ready(self):
        for _ in range(400):
            try:
                if (await request(self.admin, "GET", "/ready", audience=None))[0] == 200:
                    return self
            except OSError:
                pass
            await asyncio.sleep(0.05)
        raise RuntimeError("the gateway is not ready")

    def rss_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def stop(self):
        self.process.kill()


def connect(port, hub):
    """A blocking socket of a simple client, after its 101."""
    access = token(f"http://hubs.test/client/hubs/{hub}", **{"webpubsub.group": "g"})
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET /client/hubs/{hub}?access_token={access} HTTP/1.1\r\nHost: hubs.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    assert b" 101 " in head.split(b"\r\n")[0], head
    return sock


def read_all(port, readers, stopped, done):
    """Readers in a process of their own: counts the bytes of each until `stopped` is set."""
    import select

    socks = {}
    poll = select.epoll()
    for _ in range(readers):
        sock = connect(port, "slow")
        sock.setblocking(False)
        socks[sock.fileno()] = [sock, 0]
        poll.register(sock.fileno(), select.EPOLLIN)
    done.put("connected")
    buffer = bytearray(1 << 18)
    while not stopped.is_set():
        for fd, _ in poll.poll(0.05):
            entry = socks[fd]
            try:
                entry[1] += entry[0].recv_into(buffer)
            except BlockingIOError:
                pass
    done.put([received for _, received in socks.values()])


async def slow(gateway):
    """One of the readers stops: it is closed, the others lose nothing, memory stays within its bound."""
    stopped, done = multiprocessing.Event(), multiprocessing.Queue()
    readers = multiprocessing.Process(target=read_all, args=(gateway.port, READERS - 1, stopped, done))
    readers.start()
    await asyncio.to_thread(done.get)
    stalled = connect(gateway.port, "slow")
    before, peak = gateway.rss_kib(), 0
    count = MIB * (1 << 20) // CHUNK
    for n in range(count):
        status, _ = await api(gateway.port, "POST", "slow", "/groups/g/:send", b"x" * CHUNK)
        assert status == 202, status
        peak = max(peak, gateway.rss_kib())
    await asyncio.sleep(1)
    while gateway.rss_kib() > peak:
        peak = gateway.rss_kib()
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    stopped.set()
    received = await asyncio.to_thread(done.get)
    readers.join()
    frame = CHUNK + 10
    # Pings are received, too.
    assert all(0 <= n - count * frame < 100 for n in received), f"each has {count * frame}: {sorted(set(received))}"
    metrics = (await request(gateway.admin, "GET", "/metrics", audience=None))[1].decode()
    closed = [line for line in metrics.splitlines() if line.startswith('margay_hub_connections_closed_total{reason="SlowClient"}')]
    assert closed and closed[0].split()[-1] == "1", f"SlowClient: {closed}"
    grown = (peak - before) / 1024
    assert grown < 16 + 32, f"memory grew by {grown:.1f} MiB"
    stalled.close()
    return f"{count} x 64 KiB to {READERS - 1} readers, memory grew by {grown:.1f} MiB"


async def recover(gateway, client, messages):
    """Cuts the socket and recovers until the service has the session again."""
    client.cut()
    messages.extend(client.frames)
    again = await Client().open(gateway.port, "cut", RELIABLE, client.recovery())
    again.hello = await again.wait(lambda m: m.get("event") == "connected")
    return again


async def cut(gateway):
    """All sockets are cut while messages arrive: after the recovery every client has every message once, in order."""
    clients = [await Client().open(gateway.port, "cut", RELIABLE, **{"webpubsub.group": "g"}) for _ in range(SOCKETS)]
    kept = [[] for _ in clients]
    total = RATE * 6

    async def publish():
        for n in range(total):
            status, _ = await api(gateway.port, "POST", "cut", "/groups/g/:send", b"%d" % n)
            assert status == 202, status
            await asyncio.sleep(1 / RATE)

    publishing = asyncio.create_task(publish())
    for _ in range(2):
        await asyncio.sleep(1)
        clients = list(await asyncio.gather(*(recover(gateway, c, k) for c, k in zip(clients, kept))))
    await publishing
    for client, messages in zip(clients, kept):
        last = {"type": "message", "data": str(total - 1)}
        await client.wait(lambda m: m.get("type") == "message" and m["data"] == last["data"])
        by_number = {m["sequenceId"]: m["data"] for m in messages + client.frames if m.get("type") == "message"}
        assert [by_number.get(n + 1) for n in range(total)] == [str(n) for n in range(total)], "every message once, in order"
    return f"{SOCKETS} sockets cut twice, {total} messages each"


async def reload(gateway):
    """Hubs come and go, keys are rotated, broken files are in between: the connections of remaining hubs stay, nothing is lost."""
    members = [await Client().open(gateway.port, "stays", RELIABLE, **{"webpubsub.group": "g"}) for _ in range(20)]
    sent = 0
    rss_at_20 = 0
    for n in range(RELOADS):
        if n % 10 == 9:
            gateway.write_text("{ broken")
        else:
            keys = [KEY.decode(), f"rotated-{n % 3}-rotated-rotated-rotated"]
            gateway.write({"stays": {}, **{f"hub{k}": {} for k in range(n % 4)}}, keys)
        gateway.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            status, _ = await api(gateway.port, "POST", "stays", "/groups/g/:send", b"%d" % sent)
            assert status == 202, status
            sent += 1
            for member in members:
                # As the libraries do, so that the queues of the sessions stay short.
                numbers = [m["sequenceId"] for m in member.frames[-1:] if m.get("type") == "message"]
                numbers and member.send({"type": "sequenceAck", "sequenceId": numbers[0]})
        if n == 19:
            rss_at_20 = gateway.rss_kib()
    grown = (gateway.rss_kib() - rss_at_20) / 1024
    for member in members:
        await member.wait(lambda m: m.get("type") == "message" and m["data"] == str(sent - 1))
        assert member.data() == [str(n) for n in range(sent)] and member.closed is None, "nothing is lost"
    metrics = (await request(gateway.admin, "GET", "/metrics", audience=None))[1].decode()
    reloads = {
        outcome: int(metrics.split(f'margay_config_reloads_total{{outcome="{outcome}"}} ')[1].split()[0])
        for outcome in ("applied", "rejected")
    }
    assert reloads["applied"] > RELOADS // 2 and reloads["rejected"] > RELOADS // 20, reloads
    assert grown < 8, f"memory grew by {grown:.1f} MiB since reload 20"
    return f"{RELOADS} reloads, {sent} messages to 20 members, memory grew by {grown:.1f} MiB since reload 20"


async def main():
    binary, scenarios = os.path.abspath(sys.argv[1]), sys.argv[2:] or ["slow", "cut", "reload"]
    passed = failed = 0
    for name in scenarios:
        with tempfile.TemporaryDirectory() as folder:
            gateway = Gateway(binary, folder)
            try:
                await gateway.ready()
                print(f"{name}: {await asyncio.wait_for(globals()[name](gateway), 600)}", flush=True)
                passed += 1
            except (AssertionError, OSError, asyncio.TimeoutError, RuntimeError, asyncio.IncompleteReadError) as error:
                failed += 1
                print(f"FAILED {name}: {error!r}", flush=True)
            finally:
                gateway.stop()
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
