"""Clients: one that behaves and measures what it gets, and those that do not."""

import asyncio
import random
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def request(reader, writer, path="/", fields=""):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: chaos.test\r\n{fields}\r\n".encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ")[1])
    lines = (line.partition(":") for line in head.lower().split("\r\n")[1:])
    fields = {name: value.strip() for name, _, value in lines}
    if "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))
    elif "chunked" in fields.get("transfer-encoding", ""):
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
    return status, fields.get("connection", "") == "close"


class Result:
    def __init__(self):
        self.ok = self.failed = 0
        self.worst = 0.0
        self.reasons = {}

    def add(self, seconds, reason=None):
        self.worst = max(self.worst, seconds)
        if reason is None:
            self.ok += 1
        else:
            self.failed += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def __str__(self):
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{self.ok}/{self.ok + self.failed} ok, worst {self.worst * 1000:.0f} ms" + (f" ({reasons})" if reasons else "")


class SteadyClient:
    """Sends 20 requests a second until it is stopped: on one kept connection, or on a new connection for each."""

    def __init__(self, port, path="/", fresh=False, timeout=3.0):
        self.port, self.path, self.fresh, self.timeout = port, path, fresh, timeout
        self.result = Result()
        self.stream = None
        self.stopped = asyncio.Event()

    async def run(self):
        while not self.stopped.is_set():
            begun = time.monotonic()
            try:
                reason = await asyncio.wait_for(self.once(), self.timeout)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                reason = type(error).__name__
                self.drop()
            self.result.add(time.monotonic() - begun, reason)
            await asyncio.sleep(max(0, 0.05 - (time.monotonic() - begun)))
        self.drop()

    async def once(self):
        if self.stream is None:
            self.stream = await asyncio.open_connection("127.0.0.1", self.port)
        status, close = await request(*self.stream, self.path)
        if self.fresh or close:
            self.drop()
        return None if status == 200 else f"status {status}"

    def drop(self):
        if self.stream:
            self.stream[1].close()
            self.stream = None


async def slow_reader(port, path="/big"):
    """Requests 256 KiB and reads one byte a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: chaos.test\r\n\r\n".encode())
    while await reader.read(1):
        await asyncio.sleep(1)


async def slow_writer(port, path="/limited"):
    """Announces 10,000 bytes and sends one byte a second."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: chaos.test\r\nContent-Length: 10000\r\n\r\n".encode())
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def zero_window(port, path="/limited", streams=100):
    """One HTTP/2 connection with a flow-control window of zero and as many GETs as the server allows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 0)))
    block = b"\x82\x86" + literal(b":path", path.encode()) + literal(b":authority", b"chaos.test")
    for number in range(streams):
        writer.write(frame(1, 5, 1 + 2 * number, block))
    writer.write(frame(4, 1, 0))
    while await reader.read(65536):
        pass


async def idle(port):
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    await reader.read(1)


async def idle_elsewhere(port):
    """The same from one of 50 addresses: none of them holds much."""
    reader, _ = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{random.randint(1, 50)}", 0))
    await reader.read(1)


class Refused(Exception):
    """The gateway did not process the request: it may be sent again."""


class Http2Client:
    """One HTTP/2 connection with prior knowledge; a request that the gateway did not process raises `Refused`."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.next_stream, self.last_processed = 1, None
        self.waiting, self.statuses = {}, {}
        self.unacknowledged = 0
        self.is_open = True
        writer.write(PREFACE + frame(4, 0, 0))
        self.task = asyncio.create_task(self.receive())

    @classmethod
    async def connect(cls, port):
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path="/"):
        """The status of the response; 0: another one than 200."""
        if not self.is_open or self.last_processed is not None:
            raise Refused()
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        done = self.waiting[stream] = asyncio.get_running_loop().create_future()
        block = b"\x82\x86" + literal(b":path", path.encode()) + literal(b":authority", b"chaos.test")
        self.writer.write(frame(1, 5, stream, block))
        return await done

    async def receive(self):
        buffer = b""
        try:
            # Not `readexactly`: it discards what has arrived if a write has failed in the meantime.
            while data := await self.reader.read(65536):
                buffer = self.frames(buffer + data)
        except OSError:
            pass
        finally:
            self.frames(buffer + bytes(self.reader._buffer))
            self.is_open = False
            for stream in list(self.waiting):
                self.end(stream, EOFError(f"stream {stream} got no response"))
            self.writer.close()

    def frames(self, buffer):
        """Handles the frames that are complete, and returns the rest."""
        while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
            self.received(buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big"), buffer[9:end])
            buffer = buffer[end:]
        return buffer

    def received(self, kind, flags, stream, payload):
        if kind == 1:
            # Status 200 is entry 8 of the static table, after an optional change of the size of the dynamic table.
            self.statuses[stream] = 200 if b"\x88" in payload[:2] else 0
        if kind in (0, 1) and flags & 1:
            self.end(stream, self.statuses.pop(stream, 0))
        elif kind == 3:
            refused = payload == struct.pack(">I", 7)
            self.end(stream, Refused() if refused else EOFError("stream reset"))
        elif kind == 4 and not flags & 1:
            self.writer.write(frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            self.writer.write(frame(6, 1, 0, payload))
        elif kind == 7:
            self.last_processed = int.from_bytes(payload[:4], "big")
            for later in [stream for stream in self.waiting if stream > self.last_processed]:
                self.end(later, Refused())
        if kind == 0:
            self.unacknowledged += len(payload)
        # As clients do: a WINDOW_UPDATE for every small response would be a flood of control frames.
        if self.unacknowledged > 32 << 10:
            self.writer.write(frame(8, 0, 0, struct.pack(">I", self.unacknowledged)))
            self.unacknowledged = 0

    def end(self, stream, result):
        done = self.waiting.pop(stream, None)
        if done and not done.done():
            done.set_exception(result) if isinstance(result, Exception) else done.set_result(result)

    def close(self):
        self.task.cancel()
        self.writer.close()


class Crowd:
    """Keeps `count` clients of one kind alive; one that is disconnected comes again after a pause."""

    def __init__(self, count, client, *args, pause=0.05):
        self.pause = pause
        self.tasks = [asyncio.create_task(self.repeat(client, args)) for _ in range(count)]

    async def repeat(self, client, args):
        while True:
            try:
                await client(*args)
            except (OSError, EOFError):
                pass
            await asyncio.sleep(self.pause)

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
