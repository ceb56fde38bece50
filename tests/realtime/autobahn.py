#!/usr/bin/env python3
"""The cases of the Autobahn|Testsuite against a simple client of a hub whose event handler echoes.

Usage: tests/realtime/autobahn.py path/to/margay [GROUP...]      default: the groups 1 to 7 and 10

The package `autobahntestsuite` requires Python 2, which Debian no longer has. Its case files are installed unchanged and run by
the driver below, which replaces the fuzzing client: a case sends frames, and states which frames and which close it expects.
"""

import asyncio
import codecs
import http.server
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / "target" / "autobahn-venv"
PACKAGE = "autobahntestsuite==25.10.1"
GROUPS = ["1", "2", "3", "4", "5", "6", "7", "10"]
# Cases at a time: most of them wait.
PARALLEL = 24
CASE_TIMEOUT = 120
CONNECTING, CLOSED, OPEN, CLOSING = 0, 1, 2, 3


def install():
    """The folder with the case files."""
    folder = VENV / PACKAGE
    if not folder.exists():
        print(f"installing {PACKAGE}", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        command[0] = VENV / "bin" / "python"
        subprocess.run([*command, "--target", folder, PACKAGE], check=True)
    return folder / "autobahntestsuite" / "case"


# ---- The case files, in which a text of Python 2 is a text with one character for each byte.

class Utf8Validator:
    """The validator that the cases use to compute what is valid."""

    def reset(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def validate(self, text):
        try:
            self.decoder.decode(text.encode("latin-1"))
        except UnicodeDecodeError:
            return False, False, 0, 0
        return True, not self.decoder.getstate()[0], 0, 0


def converted(text):
    """A case file for Python 3; the other case files are in the same namespace already."""
    text = re.sub(r"^\s*from (?:case\w*|autobahn\S*|zope\S*|twisted\S*) import .*$", "", text, flags=re.M)
    text = re.sub(r"^\s*import binascii.*$", "", text, flags=re.M)
    text = re.sub(r"^(\s*)print\b.*$", r"\1pass", text, flags=re.M)
    text = re.sub(r"\bxrange\b", "range", text)
    text = re.sub(r"\bunichr\b", "chr", text)
    text = re.sub(r" / ", " // ", text)
    text = re.sub(r"\(object, (Case\w*)", r"(\1", text)
    return re.sub(r"\.encode\((['\"]utf-?8['\"])\)", r'.encode(\1).decode("latin-1")', text, flags=re.I)


def load_cases(folder):
    """The classes of all cases by id."""
    protocol = types.SimpleNamespace(STATE_CLOSED=CLOSED, STATE_OPEN=OPEN)
    names = {"WebSocketProtocol": protocol, "Utf8Validator": Utf8Validator, "__name__": "cases"}
    names["binascii"] = types.SimpleNamespace(b2a_hex=lambda text: text.encode("latin-1").hex())

    def order(path):
        return [int(n) if n.isdigit() else 0 for n in re.findall(r"\d+|x", path.stem)]

    files = sorted(folder.glob("case[0-9]*.py"), key=order)
    for path in [folder / "case.py", *files]:
        if re.match(r"case(12|13)|case9_(9|10)_", path.stem):
            continue
        # Classes that others extend are in files of the same group.
        exec(compile(converted(path.read_text("latin-1")), str(path), "exec"), names)
    names["Case"].compare = lambda self, one, other: list(one) == list(other)
    cases, pending = {}, [names["Case"]]
    while pending:
        for case in pending.pop().__subclasses__():
            pending.append(case)
            numbers = re.fullmatch(r"Case(\d+)_(\d+)(?:_(\d+))?", case.__name__)
            if numbers:
                cases[".".join(n for n in numbers.groups() if n)] = case
    return dict(sorted(cases.items(), key=lambda item: [int(n) for n in item[0].split(".")]))


# ---- The driver

def frame_head(first, length):
    """The first byte and the length of a masked frame."""
    if length < 126:
        return bytes([first, 0x80 | length])
    if length < 65536:
        return struct.pack("!BBH", first, 0x80 | 126, length)
    return struct.pack("!BBQ", first, 0x80 | 127, length)


class Protocol:
    """One connection, with what the cases expect of a protocol."""

    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007

    def __init__(self):
        self.state, self.queue = CONNECTING, asyncio.Queue()
        self.factory = types.SimpleNamespace(isServer=False)
        self.connectionWasOpen = self.closedByMe = self.failedByMe = self.droppedByMe = self.wasClean = False
        self.remoteCloseCode = self.localCloseReason = None
        self.autoFragmentSize, self.createWirelog = 0, False
        self.trafficStats, self.txFrameStats = None, {}

    async def open(self, port, path):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode("latin-1"))
        self.state, self.connectionWasOpen = OPEN, True
        self.writing = asyncio.ensure_future(self.write_queue())

    async def write_queue(self):
        """Writes in order; a chopped frame is written in parts."""
        while True:
            data, chop = await self.queue.get()
            try:
                for at in range(0, len(data), chop or max(len(data), 1)):
                    self.writer.write(data[at:at + (chop or len(data))])
                    await self.writer.drain()
                    if chop:
                        await asyncio.sleep(0)
            except OSError:
                return

    # What cases call.

    def sendFrame(self, opcode, payload="", fin=True, rsv=0, mask=None, payload_len=None, chopsize=None, sync=False):
        data = payload.encode("latin-1")
        self.txFrameStats[opcode] = self.txFrameStats.get(opcode, 0) + 1
        if payload_len is not None:
            data = (data * (payload_len // max(len(data), 1) + 1))[:payload_len] if data else bytes(payload_len)
        head, key = frame_head((0x80 if fin else 0) | rsv << 4 | opcode, len(data)), os.urandom(4)
        repeated = int.from_bytes((key * (len(data) // 4 + 1))[:len(data)], "big")
        masked = (int.from_bytes(data, "big") ^ repeated).to_bytes(len(data), "big")
        self.queue.put_nowait((head + key + masked, chopsize))

    def sendMessage(self, payload, isBinary=False, fragmentSize=None, sync=False, doNotCompress=False):
        size = fragmentSize or self.autoFragmentSize or max(len(payload), 1)
        parts = [payload[at:at + size] for at in range(0, len(payload), size)] or [""]
        for n, part in enumerate(parts):
            opcode = 0 if n else 2 if isBinary else 1
            self.sendFrame(opcode, part, fin=n == len(parts) - 1)

    def beginMessage(self, isBinary=False):
        self.frame_opcode = 2 if isBinary else 1

    def beginMessageFrame(self, length):
        self.frame_key, self.frame_at = os.urandom(4), 0
        self.queue.put_nowait((frame_head(self.frame_opcode, length) + self.frame_key, None))
        self.frame_opcode = 0

    def sendMessageFrameData(self, payload, sync=False):
        data = payload.encode("latin-1")
        masked = bytes(byte ^ self.frame_key[(self.frame_at + n) % 4] for n, byte in enumerate(data))
        self.frame_at += len(data)
        self.queue.put_nowait((masked, None))

    def endMessage(self):
        self.sendFrame(0, "", fin=True)

    def sendClose(self, code=None, reason=None):
        if self.state == OPEN:
            self.sendCloseFrame(code, reason)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        self.localCloseReason = reasonUtf8
        payload = "" if code is None else struct.pack("!H", code).decode("latin-1") + (reasonUtf8 or "")
        self.sendFrame(8, payload)
        self.closedByMe, self.state = not isReply, CLOSING

    def continueLater(self, delay, call, tag=None):
        self.after(delay, call)

    def closeAfter(self, delay):
        self.after(delay, self.sendClose)

    def killAfter(self, delay):
        self.after(delay, self.fail)

    def enableWirelog(self, enable):
        pass

    def after(self, delay, call):
        def called():
            if self.state != CLOSED:
                call()
        asyncio.get_running_loop().call_later(delay, called)

    def fail(self):
        self.failedByMe = self.droppedByMe = True
        self.state = CLOSED
        self.writer.transport.abort()

    # What the peer sends.

    async def receive(self, case):
        message, binary = [], False
        while True:
            first, second = await self.reader.readexactly(2)
            length = second & 0x7f
            if length == 126:
                length, = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                length, = struct.unpack("!Q", await self.reader.readexactly(8))
            if second & 0x80 or first & 0x70:
                raise ConnectionError("the server sent a masked frame or reserved bits")
            payload = (await self.reader.readexactly(length)).decode("latin-1")
            opcode = first & 0x0f
            if opcode in (0, 1, 2):
                binary = opcode == 2 if opcode else binary
                message.append(payload)
                if first & 0x80:
                    text, message = "".join(message), []
                    case.onMessage(text, binary)
            elif opcode == 9:
                case.onPing(payload)
                self.sendFrame(10, payload)
            elif opcode == 10:
                case.onPong(payload)
            elif opcode == 8:
                self.receive_close(payload, case)

    def receive_close(self, payload, case):
        data = payload.encode("latin-1")
        self.remoteCloseCode = struct.unpack("!H", data[:2])[0] if data else None
        self.wasClean = True
        if self.state == OPEN:
            self.sendCloseFrame(self.remoteCloseCode, isReply=True)
        case.onClose(True, self.remoteCloseCode, payload[2:])


async def run_case(case_class, port):
    """The behavior, and how the connection was closed."""
    protocol = Protocol()
    case = case_class(protocol)
    await protocol.open(port, "/client/hubs/echo")
    try:
        case.onOpen()
        await asyncio.wait_for(protocol.receive(case), CASE_TIMEOUT)
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        protocol.state = CLOSED
        protocol.writing.cancel()
        protocol.writer.close()
    case.onConnectionLost(protocol.failedByMe)
    return case


async def run_all(cases, port):
    """The ids of cases that failed."""
    limit, failed, totals = asyncio.Semaphore(PARALLEL), [], {}

    async def run(name, case_class):
        async with limit:
            try:
                case = await run_case(case_class, port)
                behavior, close, text = case.behavior, case.behaviorClose, case.resultClose
            except Exception as error:
                behavior, close, text = "FAILED", "FAILED", repr(error)
        totals[behavior, close] = totals.get((behavior, close), 0) + 1
        if behavior == "FAILED" or close == "FAILED":
            failed.append(name)
            print(f"FAILED {name}: {behavior}, close {close}: {text}", flush=True)

    await asyncio.gather(*(run(name, case) for name, case in cases.items()))
    for (behavior, close), count in sorted(totals.items()):
        print(f"{behavior}, close {close}: {count}")
    return failed


# ---- The gateway and the event handler

class Echo(http.server.BaseHTTPRequestHandler):
    """Permits every origin, and responds to events with their payload."""

    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self):
        self.send_response(200)
        self.send_header("WebHook-Allowed-Origin", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class EchoServer(http.server.ThreadingHTTPServer):
    request_queue_size, daemon_threads = 128, True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().server_bind()


def free_port():
    for port in random.sample(range(12000, 32000), 200):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    sys.exit("no free port between 12000 and 32000")


def document(port, admin, handler):
    event_handler = {"UrlTemplate": f"http://127.0.0.1:{handler}/{{event}}", "UserEventPattern": "*"}
    hub = {"AnonymousConnect": True, "EventHandlers": [event_handler], "Limits": {"MaxMessageSize": "16MiB"}}
    return {
        "Listeners": [{"Name": "hubs", "Address": f"127.0.0.1:{port}"}],
        "Administration": {"Address": f"127.0.0.1:{admin}"},
        "HubServices": {"rt": {
            "Type": "WebPubSub", "Keys": ["a-key-of-the-test-that-is-long-enough"],
            "PublicUrls": [f"http://127.0.0.1:{port}"], "Hubs": {"echo": hub},
        }},
        "Routes": [{"Key": "hubs", "UpstreamPathTemplate": "/{everything}", "DownstreamHubService": "rt"}],
    }


def wait_ready(gateway, admin):
    for _ in range(200):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready", timeout=5).close()
        except OSError:
            if gateway.poll() is not None:
                sys.exit(f"the gateway ended with {gateway.returncode}")
            time.sleep(0.05)
    sys.exit("the gateway is not ready")


def main():
    groups = sys.argv[2:] or GROUPS
    cases = {name: case for name, case in load_cases(install()).items() if name.split(".")[0] in groups}
    server = EchoServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.json"
        config.write_text(json.dumps(document(port, admin, server.server_address[1])))
        with open(Path(folder) / "log", "w") as log:
            gateway = subprocess.Popen([Path(sys.argv[1]).resolve(), "run", "--config", config], stdout=log, stderr=log)
        try:
            wait_ready(gateway, admin)
            failed = asyncio.run(run_all(cases, port))
        finally:
            gateway.terminate()
            gateway.wait(30)
    print(f"{len(cases) - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed) or not cases)


if __name__ == "__main__":
    main()
