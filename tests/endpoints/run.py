"""Runs the black-box cases of TCP and UDP endpoints, roles and traffic rules (tests/cases/endpoints.jsonl).

Usage: run.py --binary PATH --certs DIR --cases FILE [ID or feature ...]. Prints one line for each case that fails;
exits 1 if any does. The certificates are made by the caller: ca, server, web1, worker1, stranger (.pem and .key).
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

PATIENCE = 8.0
RESET = struct.pack("ii", 1, 0)
ports_lock = threading.Lock()
# Below the ports of the other end-to-end tests, which begin at 12000; `peers.py` has the upper half.
port_range = [2000, 7000]
next_port = [0]


class Failed(Exception):
    pass


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


def free_ports(count):
    with ports_lock:
        low, high = port_range
        while True:
            first = next_port[0] or low + os.getpid() % 29 * 160
            next_port[0] = first + count if first + 2 * count < high else low
            if all(is_free(first + k) for k in range(count)):
                return first


class Tokens:
    PATTERN = re.compile(r"(PORT\d+|CLOSED\d+|LISTEN\d+|RANGE\d+|ADMIN)(\+\d+)?")

    def __init__(self, folder):
        self.values, self.folder = {}, folder

    def number(self, name):
        if name not in self.values:
            self.values[name] = free_ports(16 if name.startswith("RANGE") else 1)
        return self.values[name]

    def of(self, value):
        if isinstance(value, dict):
            return {self.of_text(key): self.of(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.of(entry) for entry in value]
        return self.of_text(value) if isinstance(value, str) else value

    def of_text(self, text):
        whole = self.PATTERN.fullmatch(text)
        if whole:
            return self.number(whole[1]) + int(whole[2] or 0)
        replaced = self.PATTERN.sub(lambda m: str(self.number(m[1]) + int(m[2] or 0)), text)
        return replaced.replace("{DIR}", self.folder)


def generated(count):
    return (bytes(range(256)) * (count // 256 + 1))[:count]


class Backend:
    """A service; remembers its last connection."""

    def __init__(self, spec, certs):
        self.spec, self.certs = spec, certs
        self.address = (spec.get("host", "127.0.0.1"), spec["port"])
        self.connections, self.last, self.lock = 0, None, threading.Lock()
        self.start()

    def start(self):
        self.stopped = False
        kind = socket.SOCK_DGRAM if self.spec["kind"] == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.address)
        self.open = []
        if kind == socket.SOCK_STREAM:
            self.socket.listen(512)
        target = self.serve_udp if kind == socket.SOCK_DGRAM else self.accept
        threading.Thread(target=target, args=(self.socket,), daemon=True).start()

    def stop(self):
        self.stopped = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def accept(self, listener):
        while not self.stopped:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen = {"received": b"", "ended": None, "tls_name": None}
            with self.lock:
                self.connections += 1
                self.last = seen
            threading.Thread(target=self.serve, args=(connection, seen), daemon=True).start()

    def serve(self, connection, seen):
        try:
            if self.spec["kind"] == "tls":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(f"{self.certs}/server.pem", f"{self.certs}/server.key")
                if self.spec.get("alpn"):
                    context.set_alpn_protocols(self.spec["alpn"])

                def name(_, server_name, __):
                    seen["tls_name"] = server_name

                context.sni_callback = name
                connection = context.wrap_socket(connection, server_side=True)
            if self.spec["kind"] == "http":
                return self.serve_http(connection, seen)
            if self.spec.get("hello"):
                connection.sendall(self.spec["hello"].encode())
            if "script" in self.spec:
                return self.run_script(connection, seen)
            while True:
                data = connection.recv(65536)
                if not data:
                    seen["ended"] = "fin"
                    break
                seen["received"] += data
                if self.spec.get("mode", "echo") == "echo":
                    connection.sendall(data)
            connection.close()
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            seen["ended"] = "reset"
            connection.close()
        except OSError:
            seen["ended"] = seen["ended"] or "reset"

    def serve_http(self, connection, seen):
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    connection.close()
                    return
                buffer += data
                seen["received"] += data
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            target = head.split(b" ")[1].decode()
            body = f"{self.spec.get('name', '')} {target}".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def run_script(self, connection, seen):
        def read(count):
            while count is None or len(seen["received"]) < count:
                data = connection.recv(65536)
                if not data:
                    seen["ended"] = "fin"
                    return
                seen["received"] += data

        waited = 0
        for step in self.spec["script"]:
            for action, value in step.items():
                if action == "send":
                    connection.sendall(value.encode())
                elif action == "generate":
                    connection.sendall(generated(value))
                elif action == "wait":
                    waited += len(value.encode())
                    read(waited)
                elif action == "read_to_end":
                    read(None)
                elif action == "sleep_ms":
                    time.sleep(value / 1000)
                elif action == "shutdown":
                    connection.shutdown(socket.SHUT_WR)
                elif action == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()

    def serve_udp(self, listener):
        while not self.stopped:
            try:
                data, peer = listener.recvfrom(70000)
            except OSError:
                return
            if self.stopped:
                return
            with self.lock:
                self.connections += 1
                self.last = {"received": data, "ended": None, "tls_name": None}
            answer = f"{self.spec['name']}:".encode() + data if self.spec.get("name") else data
            for _ in range(self.spec.get("replies", 1)):
                try:
                    listener.sendto(answer, peer)
                except OSError:
                    pass


class Connection:
    """A TCP client."""

    def __init__(self, step, certs):
        self.buffer = b""
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if step.get("from"):
            self.socket.bind((step["from"], 0))
        self.socket.connect((step.get("host", "127.0.0.1"), step["to"]))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if step.get("before_hex"):
            self.socket.sendall(bytes.fromhex(step["before_hex"].replace(" ", "")))
        self.raw = self.socket
        if step.get("tls") is not None:
            self.socket = wrap(self.socket, step["tls"], certs)

    def fill(self, deadline):
        """Reads more; the end of the stream is b''."""
        self.socket.settimeout(max(deadline - time.time(), 0.001))
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            raise Failed(f"nothing more came; so far {self.buffer[:200]!r}")
        self.buffer += data
        return data

    def take(self, count, deadline):
        while len(self.buffer) < count:
            if not self.fill(deadline):
                raise Failed(f"the connection ended after {self.buffer[:200]!r}")
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def run(self, script):
        for step in script:
            deadline = time.time() + step.get("within_ms", PATIENCE * 1000) / 1000
            for action, value in step.items():
                handler = getattr(self, "do_" + action, None)
                if handler:
                    handler(value, deadline, step)
                elif action not in ("within_ms", "bytewise_ms"):
                    raise Failed(f"unknown action {action}")

    def do_send(self, text, *_):
        self.write(text.encode(), 0)

    def do_send_hex(self, text, _, step):
        self.write(bytes.fromhex(text.replace(" ", "")), step.get("bytewise_ms", 0))

    def do_generate(self, count, *_):
        self.write(generated(count), 0)

    def write(self, data, pause):
        self.socket.settimeout(PATIENCE)
        if not pause:
            return self.socket.sendall(data)
        for byte in data:
            self.socket.sendall(bytes([byte]))
            time.sleep(pause / 1000)

    def do_expect(self, text, deadline, _):
        self.expect_bytes(text.encode(), deadline)

    def expect_bytes(self, expected, deadline):
        taken = self.take(len(expected), deadline)
        if taken != expected:
            raise Failed(f"expected {expected!r}, got {taken!r}")

    def do_expect_hex(self, text, deadline, _):
        self.expect_bytes(bytes.fromhex(text.replace(" ", "")), deadline)

    def do_expect_re(self, pattern, deadline, _):
        while not re.search(pattern.encode(), self.buffer):
            if not self.fill(deadline):
                raise Failed(f"{pattern} does not match {self.buffer[:200]!r}")
        self.buffer = b""

    def do_expect_bytes(self, count, deadline, _):
        self.take(count, deadline + 20)

    def do_expect_alpn(self, name, *_):
        if self.socket.selected_alpn_protocol() != name:
            raise Failed(f"ALPN {self.socket.selected_alpn_protocol()}, expected {name}")

    def do_shutdown(self, *_):
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.settimeout(PATIENCE)
            try:
                self.socket.unwrap()
            except (OSError, ssl.SSLError):
                pass
        else:
            self.socket.shutdown(socket.SHUT_WR)

    def do_sleep_ms(self, value, *_):
        time.sleep(value / 1000)

    def do_silent_ms(self, value, *_):
        self.socket.settimeout(value / 1000)
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            return
        raise Failed(f"expected silence, got {data!r}")

    def do_reset(self, *_):
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def do_expect_end(self, expected, deadline, _):
        try:
            while True:
                before = len(self.buffer)
                if not self.fill(deadline):
                    end = "fin"
                    break
                if expected == "closed":
                    raise Failed(f"bytes came before the end: {self.buffer[before:][:100]!r}")
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError, OSError):
            end = "reset"
        if expected not in ("closed", end):
            raise Failed(f"expected the end {expected}, got {end}")


def wrap(raw, tls, certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls.get("alpn"):
        context.set_alpn_protocols(tls["alpn"])
    if tls.get("cert"):
        context.load_cert_chain(f"{certs}/{tls['cert']}.pem", f"{certs}/{tls['cert']}.key")
    return context.wrap_socket(raw, server_hostname=tls.get("name") or None)


class Udp:
    """A UDP client."""

    def __init__(self, step):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if step.get("from"):
            self.socket.bind((step["from"], 0))
        self.socket.connect((step.get("host", "127.0.0.1"), step["to"]))

    def receive(self):
        self.socket.settimeout(PATIENCE)
        try:
            return self.socket.recv(70000)
        except socket.timeout:
            raise Failed("no datagram came")

    def run(self, script):
        for step in script:
            for action, value in step.items():
                if action == "send":
                    self.socket.send(value.encode())
                elif action == "generate":
                    self.socket.send(generated(value))
                elif action == "expect":
                    got = self.receive()
                    if got != value.encode():
                        raise Failed(f"expected {value!r}, got {got[:100]!r}")
                elif action == "expect_re":
                    got = self.receive()
                    if not re.search(value.encode(), got):
                        raise Failed(f"{value} does not match {got[:100]!r}")
                elif action == "expect_size":
                    got = self.receive()
                    if len(got) != value:
                        raise Failed(f"expected {value} bytes, got {len(got)}")
                elif action == "silent_ms":
                    self.socket.settimeout(value / 1000)
                    try:
                        got = self.socket.recv(70000)
                    except (socket.timeout, ConnectionRefusedError):
                        continue
                    raise Failed(f"expected silence, got {got[:100]!r}")
                elif action == "sleep_ms":
                    time.sleep(value / 1000)
                elif action != "within_ms":
                    raise Failed(f"unknown action {action}")


def at_pointer(document, pointer):
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return "{{ABSENT}}"
    return document


def check_json(document, expected):
    for pointer, value in expected.items():
        found = at_pointer(document, pointer)
        if isinstance(value, dict) and set(value) == {"regex"}:
            if not re.search(value["regex"], str(found)):
                raise Failed(f"{pointer}: {found!r} does not match {value['regex']}")
        elif found != value:
            raise Failed(f"{pointer}: expected {value!r}, got {found!r}")


class Case:
    def __init__(self, case, binary, certs):
        self.folder = tempfile.mkdtemp(prefix="margay-endpoints-")
        shutil.copytree(certs, f"{self.folder}/certs")
        self.binary, self.certs = binary, certs
        self.tokens = Tokens(self.folder)
        self.case = self.tokens.of(case)
        self.open, self.kept, self.etag = {}, [], ""
        self.process, self.backends = None, []

    def run(self):
        try:
            self.backends = [Backend(spec, self.certs) for spec in self.case.get("backends", [])]
            for name, text in self.case.get("files", {}).items():
                self.write(name, text)
            start = self.case.get("start", {})
            if "config" in self.case:
                self.write("gateway.json", json.dumps(self.case["config"], indent=1))
                if "errors" in start or "warnings" in start:
                    self.check(start)
                if start.get("must_fail"):
                    return self.expect_failure()
                if not start.get("only_check") and "errors" not in start:
                    self.start()
            for at, step in enumerate(self.case.get("steps", [])):
                try:
                    self.step(step)
                except Failed as error:
                    raise Failed(f"step {at} {json.dumps(step)[:300]}: {error}")
                except (OSError, ssl.SSLError) as error:
                    raise Failed(f"step {at} {json.dumps(step)[:300]}: {type(error).__name__} {error}")
        finally:
            self.end()

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for backend in self.backends:
            backend.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)

    def check(self, start):
        arguments = [self.binary, "check", "--json", "--config", f"{self.folder}/gateway.json"]
        result = subprocess.run(arguments, capture_output=True, text=True, cwd=self.folder, timeout=60)
        diagnostics = json.loads(result.stdout or "{}").get("diagnostics", [])
        if result.returncode != (2 if "errors" in start else 0):
            raise Failed(f"check exits {result.returncode}: {result.stdout[:600]}{result.stderr[:300]}")
        if any(one["code"] == "MG0102" for one in diagnostics):
            raise Failed(f"unknown setting: {result.stdout[:600]}")
        for severity in ("error", "warning"):
            for pointer in start.get(severity + "s", []):
                def fits(one):
                    found = one.get("pointer") or ""
                    related = found.startswith(pointer) or (found and pointer.startswith(found))
                    return one["severity"] == severity and related
                if not any(fits(one) for one in diagnostics):
                    raise Failed(f"no {severity} at {pointer}: {result.stdout[:900]}")

    def start(self):
        admin = self.tokens.number("ADMIN")
        log = open(f"{self.folder}/stderr.log", "a")
        arguments = [self.binary, "run", "--config", f"{self.folder}/gateway.json", "--admin", f"127.0.0.1:{admin}"]
        self.process = subprocess.Popen(arguments, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.time() + 30
        while time.time() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"the gateway ended: {self.log()}")
            try:
                if self.request({"to": admin, "path": "/ready"})[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise Failed(f"the gateway is not ready: {self.log()}")

    def log(self):
        with open(f"{self.folder}/stderr.log") as file:
            return file.read()[-1500:]

    def expect_failure(self):
        try:
            self.start()
        except Failed:
            if self.process.poll() not in (None, 0):
                return
        raise Failed("the gateway runs")

    def step(self, step):
        for key, value in step.items():
            handler = getattr(self, "do_" + key, None)
            if handler:
                handler(value, step)
            elif key not in ("expect", "script"):
                raise Failed(f"unknown step {key}")

    def do_tcp(self, value, _):
        if value.get("refused"):
            return self.expect_refused(value)
        try:
            connection = Connection(value, self.certs)
        except ConnectionResetError:
            # The reset was faster than the return of connect(2).
            if value.get("script", [{}])[0].get("expect_end") in ("reset", "closed"):
                return
            raise
        if value.get("id"):
            self.open[value["id"]] = connection
        connection.run(value.get("script", []))
        if not value.get("id"):
            connection.socket.close()

    def expect_refused(self, value):
        try:
            connection = Connection(value, self.certs)
            data = connection.fill(time.time() + PATIENCE)
        except (OSError, ssl.SSLError):
            return
        if data:
            raise Failed(f"not refused: {data[:100]!r}")

    def do_udp(self, value, _):
        client = self.open.get(value.get("id")) or Udp(value)
        if value.get("id"):
            self.open[value["id"]] = client
        client.run(value.get("script", []))

    def do_on(self, name, step):
        self.open[name].run(step.get("script", []))

    def request(self, value):
        source = (value["from"], 0) if value.get("from") else None
        connection = http.client.HTTPConnection("127.0.0.1", value["to"], timeout=20, source_address=source)
        if value.get("tls") is not None:
            connection.connect()
            connection.sock = wrap(connection.sock, value["tls"], self.certs)
        headers = {name: text.replace("{{ETAG}}", self.etag) for name, text in (value.get("headers") or {}).items()}
        body = json.dumps(value["body"]) if "body" in value else None
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection.request(value.get("method", "GET"), value["path"], body=body, headers=headers)
        response = connection.getresponse()
        self.etag = response.getheader("ETag") or self.etag
        content = response.read()
        connection.close()
        return response.status, content, response

    def do_http(self, value, step):
        expected, began = step.get("expect", {}), time.time()
        status, body, response = self.request(value)
        elapsed = (time.time() - began) * 1000
        if status != expected.get("status", status):
            raise Failed(f"status {status}, expected {expected['status']}: {body[:500]!r}")
        if "body" in expected and body.decode() != expected["body"]:
            raise Failed(f"body {body[:300]!r}")
        for pattern in expected.get("body_re", []):
            if not re.search(pattern, body.decode(), re.M):
                raise Failed(f"{pattern} does not match {body[:3000]!r}")
        for name, text in expected.get("headers", {}).items():
            if response.getheader(name) != text:
                raise Failed(f"{name}: {response.getheader(name)}")
        if "elapsed_ms" in expected and not expected["elapsed_ms"][0] <= elapsed <= expected["elapsed_ms"][1]:
            raise Failed(f"it took {elapsed:.0f} ms")
        if "json" in expected:
            check_json(json.loads(body), expected["json"])

    def do_cli(self, value, step):
        expected = step.get("expect", {})
        result = subprocess.run([self.binary, *value["args"]], capture_output=True, text=True, cwd=self.folder, timeout=60)
        if result.returncode != expected.get("exit", result.returncode):
            raise Failed(f"exit {result.returncode}: {result.stdout[:500]} {result.stderr[:500]}")
        for key, text in (("stdout_re", result.stdout), ("stderr_re", result.stderr)):
            for pattern in expected.get(key, []):
                if not re.search(pattern, text, re.M):
                    raise Failed(f"{pattern} does not match {text[:900]}")
        if "json" in expected:
            check_json(json.loads(result.stdout), expected["json"])

    def do_spread(self, value, _):
        counts = {}
        for _ in range(value["times"]):
            connection = Connection(value, self.certs)
            while b"\n" not in connection.buffer:
                if not connection.fill(time.time() + PATIENCE):
                    raise Failed("the connection ended without a greeting")
            name = connection.buffer.split(b"\n")[0].decode()
            counts[name] = counts.get(name, 0) + 1
            if value.get("keep"):
                self.kept.append(connection)
            else:
                connection.socket.close()
        for name, (least, most) in value.get("hello", {}).items():
            if not least <= counts.get(name.strip(), 0) <= most:
                raise Failed(f"{counts}, expected {name} {least} to {most} times")
        if "distinct" in value and len(counts) != value["distinct"]:
            raise Failed(f"{counts}, expected {value['distinct']} backends")

    def do_saw(self, value, _):
        deadline, problem = time.time() + 3, None
        while time.time() < deadline:
            problem = self.seen_problem(value)
            if problem is None:
                return
            time.sleep(0.02)
        raise Failed(problem)

    def seen_problem(self, value):
        backend = next(b for b in self.backends if b.spec["port"] == value["port"])
        seen = backend.last
        if "connections" in value and backend.connections != value["connections"]:
            return f"{backend.connections} connections"
        if seen is None:
            return None if set(value) <= {"port", "connections"} else "no connection"
        received = seen["received"]
        if "received" in value and received != value["received"].encode():
            return f"received {received[:200]!r}"
        if "received_re" in value and not re.search(value["received_re"].encode(), received):
            return f"received {received[:200]!r}"
        if "received_hex_re" in value and not re.search(value["received_hex_re"], received.hex()):
            return f"received {received.hex()[:300]}"
        if "size" in value and len(received) != value["size"]:
            return f"received {len(received)} bytes"
        for key in ("ended", "tls_name"):
            if key in value and seen[key] != value[key]:
                return f"{key} {seen[key]}"
        return None

    def do_write_config(self, value, _):
        self.write("gateway.json", json.dumps(value, indent=1))

    def do_write_files(self, value, _):
        for name, text in value.items():
            self.write(name, text)

    def do_restart(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.start()

    def do_backend(self, value, _):
        backend = next(b for b in self.backends if b.spec["port"] == value["port"])
        backend.stop() if value["action"] == "stop" else backend.start()
        time.sleep(0.05)

    def do_wait_ms(self, value, _):
        time.sleep(value / 1000)


def run(case, arguments):
    runner = Case(case, arguments.binary, arguments.certs)
    try:
        runner.run()
    except Failed as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--certs", required=True)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("wanted", nargs="*")
    arguments = parser.parse_args()
    with open(arguments.cases) as file:
        cases = [json.loads(line) for line in file if line.strip()]
    wanted = arguments.wanted
    cases = [case for case in cases if not wanted or case["id"] in wanted or case["feature"] in wanted]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for case, problem in zip(cases, pool.map(lambda case: run(case, arguments), cases)):
            if problem:
                failed += 1
                print(f"{case['id']} ({case.get('notes', case['feature'])}): {problem}", flush=True)
    print(f"{len(cases) - failed} of {len(cases)} cases passed", flush=True)
    raise SystemExit(1 if failed or not cases else 0)


if __name__ == "__main__":
    main()
