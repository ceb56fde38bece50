#!/usr/bin/env python3
"""Two gateways on one Redis: messages, mutations, queries, recovery and hand-over of sessions between nodes.

Usage: tests/realtime/nodes.py path/to/margay [CLIENTS [PART]]      default: 40 clients on each node; PART of the name of a case

Clients are WebSockets in this process. Redis and both gateways are started on free ports. The last line is
'N passed, M failed'.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

KEY = b"primary-primary-primary-primary-1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
PLAIN = "json.webpubsub.azure.v1"
ROLES = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"]
VERSION = "api-version=2024-12-01"
HELLO = b'{"protocol":"json","version":1}\x1e'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def token(audience, **claims):
    part = lambda data: base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=")
    message = part({"alg": "HS256"}) + b"." + part({"aud": audience, "exp": time.time() + 600, **claims})
    signature = hmac.new(KEY, message, hashlib.sha256).digest()
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Gateway:
    """A node as a process."""

    def __init__(self, binary, folder, name, redis_port):
        self.name, self.port, self.admin = name, free_port(), free_port()
        config = {
            "Listeners": [{"Name": "hubs", "Address": f"127.0.0.1:{self.port}"}],
            "Administration": {"Address": f"127.0.0.1:{self.admin}"},
            "SharedState": {"Type": "Redis", "Url": f"redis://127.0.0.1:{redis_port}/0"},
            "Limits": {"DrainTimeout": "6s"},
            "Realtime": {"NodeName": name},
            "HubServices": {
                "rt": {"Type": "WebPubSub", "Keys": [KEY.decode()], "PublicUrls": ["http://hubs.test"], "Hubs": {"*": {}}},
                "sr": {"Type": "SignalR", "Keys": [KEY.decode()], "PublicUrls": ["http://sr.test"], "Hubs": {"*": {}}},
            },
            "Routes": [
                {"UpstreamPathTemplate": "/{everything}", "DownstreamHubService": "rt"},
                {"UpstreamPathTemplate": "/{everything}", "UpstreamHost": "sr.test", "DownstreamHubService": "sr"},
            ],
        }
        self.file = Path(folder) / f"{name}.json"
        self.file.write_text(json.dumps(config))
        self.log = open(Path(folder) / f"{name}.log", "wb")
        self.process = subprocess.Popen([binary, "run", "--config", self.file], stdout=self.log, stderr=self.log)

    async def ready(self):
        for _ in range(200):
            try:
                if (await request(self.admin, "GET", "/ready", audience=None))[0] == 200:
                    return self
            except OSError:
                pass
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready")


async def request(port, method, path, body=b"", audience="", host="hubs.test", **claims):
    """`audience`: of the token, without it the path; `None`: no token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = ""
    if audience is None:
        host = "localhost"
    else:
        access = token(audience or f"http://{host}{path.split('?')[0]}", **claims)
        fields = f"Authorization: Bearer {access}\r\nContent-Type: text/plain\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        response = await reader.read()
    finally:
        writer.close()
    return int(response.split()[1]), response.partition(b"\r\n\r\n")[2]


def api(port, method, hub, path, body=b"", query=""):
    return request(port, method, f"/api/hubs/{hub}{path}?{VERSION}{query}", body)


def signalr_api(port, method, hub, path, body=b"", query=""):
    return request(port, method, f"/api/hubs/{hub}{path}?{VERSION}{query}", body, host="sr.test")


def note(number):
    """The body of a message to SignalR clients."""
    return json.dumps({"target": "note", "arguments": [number]}).encode()


def notes(messages):
    return [m["arguments"][0] for m in messages if m.get("target") == "note"]


class Client:
    """A WebSocket that keeps every message."""

    def __init__(self):
        self.frames, self.closed, self.changed = [], None, asyncio.Event()

    async def open(self, port, hub, protocol=PLAIN, query="", **claims):
        access = token(f"http://hubs.test/client/hubs/{hub}", role=ROLES, **claims)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        self.writer.write(
            f"GET /client/hubs/{hub}?access_token={access}{query} HTTP/1.1\r\nHost: hubs.test\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        self.status = int(head.split()[1])
        if self.status == 101:
            self.task = asyncio.create_task(self.receive())
            if protocol and "reconnection" not in query:
                self.hello = await self.wait(lambda m: m.get("event") == "connected")
        return self

    def parse(self, text):
        return [json.loads(text)]

    async def receive(self):
        try:
            while True:
                first, second = await self.reader.readexactly(2)
                length = second & 127
                if length == 126:
                    (length,) = struct.unpack(">H", await self.reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
                body = await self.reader.readexactly(length)
                if first & 15 == 1:
                    self.frames.extend(self.parse(body))
                elif first & 15 == 9:
                    self.send_frame(10, body)
                elif first & 15 == 8:
                    self.closed = struct.unpack(">H", body[:2])[0] if body else 1005
                self.changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = self.closed or 1006
            self.changed.set()

    def send_frame(self, opcode, body):
        length = len(body)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self.writer.write(bytes([0x80 | opcode]) + size + b"\0\0\0\0" + body)

    def send(self, message):
        self.send_frame(1, json.dumps(message).encode())

    async def wait(self, test, seconds=8):
        end = time.monotonic() + seconds
        while True:
            found = next((m for m in self.frames if test(m)), None)
            if found:
                return found
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), max(0.01, end - time.monotonic()))
            except asyncio.TimeoutError:
                raise AssertionError(f"not received, last: {self.frames[-3:]}, closed {self.closed}") from None

    async def ack(self, message):
        self.send(message)
        ack = await self.wait(lambda m: m.get("type") == "ack" and m["ackId"] == message["ackId"])
        assert ack["success"], ack

    def data(self):
        return [m["data"] for m in self.frames if m.get("type") == "message"]

    def cut(self):
        self.writer.transport.abort()
        self.task.cancel()

    def recovery(self):
        return f"&awps_connection_id={self.hello['connectionId']}&awps_reconnection_token={self.hello['reconnectionToken']}"


class SignalRClient(Client):
    """A WebSocket of a SignalR client, without a negotiation."""

    def parse(self, text):
        return [json.loads(part) for part in text.split(b"\x1e") if part]

    async def open(self, port, hub, user):
        access = token(f"http://sr.test/client/?hub={hub}", sub=user)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        self.writer.write(
            f"GET /client/?hub={hub}&access_token={access} HTTP/1.1\r\nHost: sr.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"101", head
        self.task = asyncio.create_task(self.receive())
        self.send_frame(1, HELLO)
        await until(lambda: {} in self.frames, "the response to the handshake")
        return self

    def notes(self):
        return notes(self.frames)


async def until(test, what, seconds=8):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


class Cases:
    def __init__(self, binary, folder, clients):
        self.binary, self.folder, self.clients = binary, folder, clients
        self.redis_port = free_port()
        self.start_redis()

    def start_redis(self):
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )

    async def start(self):
        await asyncio.sleep(0.3)
        self.a = await Gateway(self.binary, self.folder, "a", self.redis_port).ready()
        self.b = await Gateway(self.binary, self.folder, "b", self.redis_port).ready()

    async def every_member_receives_every_message_once_and_in_order(self):
        members = [await Client().open(port, "all", **{"webpubsub.group": "g"}) for port in (self.a.port, self.b.port) for _ in range(self.clients)]
        senders = [await Client().open(port, "all", sub=f"s{port}") for port in (self.a.port, self.b.port)]
        for n in range(50):
            for at, sender in enumerate(senders):
                sender.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": f"{at}:{n}", "ackId": n})
        await until(lambda: all(len(m.data()) >= 100 for m in members), "100 messages at every member")
        await asyncio.sleep(0.2)
        for member in members:
            for at in (0, 1):
                own = [data for data in member.data() if data.startswith(f"{at}:")]
                assert own == [f"{at}:{n}" for n in range(50)], own

    async def a_member_receives_what_is_published_after_its_join_was_acknowledged(self):
        one, other = await Client().open(self.a.port, "ryw"), await Client().open(self.b.port, "ryw")
        for n in range(100):
            await one.ack({"type": "joinGroup", "group": f"g{n}", "ackId": n})
            other.send({"type": "sendToGroup", "group": f"g{n}", "dataType": "text", "data": str(n)})
        await until(lambda: one.data() == [str(n) for n in range(100)], "all messages")

    async def a_mutation_on_one_node_is_seen_by_the_other(self):
        one = await Client().open(self.a.port, "rest", sub="u")
        identifier = one.hello["connectionId"]
        for n in range(30):
            assert (await api(self.b.port, "PUT", "rest", f"/groups/g{n}/connections/{identifier}"))[0] == 200
            assert (await api(self.a.port, "HEAD", "rest", f"/groups/g{n}"))[0] == 200
            assert (await api(self.b.port, "POST", "rest", f"/groups/g{n}/:send", b"%d" % n))[0] == 202
        await until(lambda: one.data() == [str(n) for n in range(30)], "all messages")
        assert (await api(self.b.port, "HEAD", "rest", "/users/u"))[0] == 200
        assert (await api(self.b.port, "HEAD", "rest", "/users/nobody"))[0] == 404
        assert (await api(self.b.port, "PUT", "rest", "/groups/g/connections/nobody"))[0] == 404
        status, body = await api(self.b.port, "GET", "rest", "/groups/g1/connections")
        assert (status, json.loads(body)["value"]) == (200, [{"connectionId": identifier, "userId": "u"}]), body
        assert (await api(self.b.port, "DELETE", "rest", f"/connections/{identifier}"))[0] == 204
        await until(lambda: one.closed, "the close frame")

    async def a_session_is_recovered_on_the_other_node(self):
        clients = [await Client().open(self.a.port, "move", RELIABLE, **{"webpubsub.group": "g"}) for _ in range(10)]
        sender = await Client().open(self.b.port, "move")
        stop = False

        async def publish():
            n = 0
            while not stop:
                sender.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": str(n), "ackId": n})
                n += 1
                await asyncio.sleep(0.002)
            return n

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.3)
        moved = []
        for client in clients:
            client.cut()
            moved.append(await Client().open(self.b.port, "move", RELIABLE, client.recovery()))
            hello = await moved[-1].wait(lambda m: m.get("event") == "connected")
            assert hello["connectionId"] == client.hello["connectionId"]
        await asyncio.sleep(0.3)
        stop = True
        total = await publishing
        for old, new in zip(clients, moved):
            await until(lambda: str(total - 1) in new.data(), "the last message")
            by_number = {m["sequenceId"]: m["data"] for m in old.frames + new.frames if m.get("type") == "message"}
            assert sorted(by_number) == list(range(1, len(by_number) + 1)), "no gap"
            assert [by_number[n] for n in sorted(by_number)] == [str(n) for n in range(total)], "once and in order"
        await moved[0].ack({"type": "leaveGroup", "group": "g", "ackId": 1})
        again = await Client().open(self.a.port, "move", RELIABLE, "&awps_connection_id=x.a&awps_reconnection_token=x")
        await until(lambda: again.closed == 1008, "1008")

    async def a_node_that_stops_hands_its_sessions_over(self):
        node = await Gateway(self.binary, self.folder, "c", self.redis_port).ready()
        clients = [await Client().open(node.port, "stop", RELIABLE, **{"webpubsub.group": "g"}) for _ in range(20)]
        plain = await Client().open(node.port, "stop")
        node.process.send_signal(signal.SIGTERM)
        await until(lambda: all(c.closed for c in clients) and plain.closed == 1001, "1001")
        await api(self.a.port, "POST", "stop", "/groups/g/:send", b"during")
        moved = [await Client().open(self.b.port, "stop", RELIABLE, c.recovery()) for c in clients]
        for old, new in zip(clients, moved):
            assert (await new.wait(lambda m: m.get("event") == "connected"))["connectionId"] == old.hello["connectionId"]
            await until(lambda: new.data() == ["during"], "the message in between")
        assert await asyncio.to_thread(node.process.wait, 10) == 0

    async def a_killed_node_is_forgotten(self):
        node = await Gateway(self.binary, self.folder, "d", self.redis_port).ready()
        client = await Client().open(node.port, "kill", RELIABLE, sub="u", **{"webpubsub.group": "g"})
        member = await Client().open(self.a.port, "kill", **{"webpubsub.group": "g"})
        sender = await Client().open(self.b.port, "kill")
        sent, stop = 0, False

        async def publish():
            nonlocal sent
            while not stop:
                sender.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": str(sent)})
                sent += 1
                await asyncio.sleep(0.005)

        publishing = asyncio.create_task(publish())
        assert (await api(self.a.port, "HEAD", "kill", "/users/u"))[0] == 200
        node.process.kill()
        began = time.monotonic()
        while (await api(self.a.port, "HEAD", "kill", "/users/u"))[0] != 404:
            assert time.monotonic() - began < 15, "gone within its lease"
        stop = True
        await publishing
        await until(lambda: member.data() == [str(n) for n in range(sent)], "nothing is lost on the other nodes")
        again = await Client().open(self.b.port, "kill", RELIABLE, client.recovery())
        await until(lambda: again.closed == 1008, "1008: the client opens a new session")

    async def a_group_of_a_user_has_the_connections_of_all_nodes(self):
        hub, group = "users", "/users/u/groups/g"
        early = [await SignalRClient().open(port, hub, "u") for port in (self.a.port, self.b.port)]
        assert (await signalr_api(self.a.port, "HEAD", hub, group))[0] == 404
        assert (await signalr_api(self.b.port, "PUT", hub, group))[0] == 200
        assert (await signalr_api(self.a.port, "HEAD", hub, group))[0] == 200
        late = [await SignalRClient().open(port, hub, "u") for port in (self.a.port, self.b.port)]
        other = await SignalRClient().open(self.a.port, hub, "v")
        assert (await signalr_api(self.a.port, "POST", hub, "/groups/g/:send", note(1)))[0] == 202
        await until(lambda: all(client.notes() == [1] for client in early + late), "every connection of the user")
        assert (await signalr_api(self.a.port, "DELETE", hub, group))[0] == 204
        assert (await signalr_api(self.b.port, "HEAD", hub, group))[0] == 404
        assert (await signalr_api(self.b.port, "POST", hub, "/groups/g/:send", note(2)))[0] == 202
        assert (await signalr_api(self.b.port, "POST", hub, "/:send", note(3)))[0] == 202
        await until(lambda: all(client.notes() == [1, 3] for client in early + late), "nothing of the group any more")
        assert other.notes() == [3]

    async def a_group_of_a_user_ends_although_its_node_was_killed(self):
        node = await Gateway(self.binary, self.folder, "e", self.redis_port).ready()
        member, hub = await SignalRClient().open(self.a.port, "ttl", "u"), "ttl"
        assert (await signalr_api(node.port, "PUT", hub, "/users/u/groups/g", query="&ttl=2"))[0] == 200
        assert (await signalr_api(self.b.port, "POST", hub, "/groups/g/:send", note(0)))[0] == 202
        await until(lambda: member.notes() == [0], "the member")
        node.process.kill()
        await asyncio.sleep(2.1)
        assert (await signalr_api(self.b.port, "HEAD", hub, "/users/u/groups/g"))[0] == 404
        end, received, sent = time.monotonic() + 6, True, 0
        while received:
            assert time.monotonic() < end, "the connection leaves the group"
            sent += 1
            await signalr_api(self.a.port, "POST", hub, "/groups/g/:send", note(sent))
            await asyncio.sleep(0.2)
            received = sent in member.notes()
        assert member.closed is None

    async def a_connection_that_opens_while_redis_hangs_joins_the_groups_of_its_user(self):
        hub = "hang"
        end = time.monotonic() + 20
        # A node that an earlier case killed is missing until its lease ends.
        while (await signalr_api(self.a.port, "PUT", hub, "/users/u/groups/g"))[0] != 200:
            assert time.monotonic() < end, "the membership is added"
            await asyncio.sleep(0.2)
        self.redis.send_signal(signal.SIGSTOP)
        try:
            late = await SignalRClient().open(self.b.port, hub, "u")
            status, _ = await signalr_api(self.b.port, "PUT", hub, "/users/u/groups/other")
            assert status == 503, status
        finally:
            self.redis.send_signal(signal.SIGCONT)
        end = time.monotonic() + 10
        while not late.notes():
            assert time.monotonic() < end, "the connection joins the group"
            await signalr_api(self.b.port, "POST", hub, "/groups/g/:send", note(1))
            await asyncio.sleep(0.1)

    async def an_outage_of_redis_is_reported_and_ends(self):
        reliable = await Client().open(self.a.port, "out", RELIABLE, **{"webpubsub.group": "g"})
        plain = await Client().open(self.a.port, "out", **{"webpubsub.group": "g"})
        slowest, stop = 0, False

        async def send_until_stopped(port):
            nonlocal slowest
            while not stop:
                began = time.monotonic()
                status, _ = await api(port, "POST", "out", "/groups/load/:send", b"load")
                assert status in (202, 503), status
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.02)

        load = [asyncio.create_task(send_until_stopped(port)) for port in (self.a.port, self.b.port) for _ in range(5)]
        await asyncio.sleep(0.5)
        self.redis.kill()
        self.redis.wait()
        status, _ = await api(self.a.port, "POST", "out", "/groups/g/:send", b"local")
        assert status == 503, status
        await until(lambda: plain.data() == ["local"], "local delivery continues")
        status, _ = await api(self.a.port, "PUT", "out", f"/groups/other/connections/{plain.hello['connectionId']}")
        assert status == 503, status
        assert (await request(self.a.admin, "GET", "/ready", audience=None))[0] == 200
        end = time.monotonic() + 5
        while b"margay_hub_backplane_up 0" not in (await request(self.a.admin, "GET", "/metrics", audience=None))[1]:
            assert time.monotonic() < end, "the outage is reported"
            await asyncio.sleep(0.1)
        late = await Client().open(self.a.port, "out")
        assert late.status == 101, "clients connect during the outage"
        self.start_redis()
        end = time.monotonic() + 10
        while (await api(self.b.port, "POST", "out", "/groups/g/:send", b"back"))[0] != 202 or "back" not in plain.data():
            assert time.monotonic() < end, "full operation"
            await asyncio.sleep(0.1)
        await until(lambda: reliable.closed == 1012, "1012")
        assert plain.closed is None
        stop = True
        await asyncio.gather(*load)
        assert slowest < 3, f"the slowest response took {slowest:.1f} s"

    def stop(self):
        for process in (self.a.process, self.b.process, self.redis):
            process.kill()


async def main():
    binary, clients = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(os.path.abspath(binary), folder, clients)
        try:
            await cases.start()
            for name in [name for name in vars(Cases) if name.startswith(("a_", "an_", "every_")) and wanted in name]:
                try:
                    await asyncio.wait_for(getattr(cases, name)(), 90)
                    passed += 1
                except (AssertionError, OSError, asyncio.TimeoutError, RuntimeError, asyncio.IncompleteReadError) as error:
                    failed += 1
                    line = traceback.extract_tb(error.__traceback__)[-1].lineno
                    print(f"FAILED {name}, line {line}: {error!r}", flush=True)
        finally:
            cases.stop()
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
