"""A small HTTP/1.1 backend on asyncio: it counts what it serves and can be slow or limited."""

import asyncio
import base64
import hashlib

BIG = b"x" * (256 * 1024)


class Backend:
    """`/` responds at once, `/big` with 256 KiB, `/slow` after 1.5 s, `/work` after 200 ms with at most `capacity` requests
    at work; a WebSocket stays open until the client closes it."""

    def __init__(self, capacity=20):
        self.served = 0
        self.open = 0
        self.peak = 0
        self.work = asyncio.Semaphore(capacity)
        self.server = None

    async def start(self, port=0):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def connection(self, reader, writer):
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            while await self.exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if "content-length" in fields:
            await reader.readexactly(int(fields["content-length"]))
        if "sec-websocket-key" in fields:
            return await self.web_socket(fields["sec-websocket-key"], reader, writer)
        if path.startswith("/work"):
            async with self.work:
                await asyncio.sleep(0.2)
        if path.startswith("/slow"):
            await asyncio.sleep(1.5)
        body = BIG if path.startswith("/big") else b"ok"
        self.served += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return True

    async def web_socket(self, key, reader, writer):
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        writer.write(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        await reader.read()
        return False
