#!/usr/bin/env python3
"""Two gateways with shared limits while Redis stops (SIGSTOP), is killed, and is behind a delay of 200 ms, each under load.

With "OnFailure": "Local" no request fails, a request waits at most for `Timeout`, and after the circuit has opened nothing
waits; the gateways use Redis again without a restart. Also measures how many requests pass in a window during a restart of
Redis and a failover by Sentinel, for each algorithm, with exact limits and with leases.

    tests/chaos/shared_state.py target/release/margay [--seconds 30]
"""

import argparse
import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from gateways import free_port

TIMEOUT_MS = 25
# What a loaded machine may add to a request.
SLACK_MS = 60


class Redis:
    def __init__(self, *options):
        self.port = free_port()
        self.options = [str(option) for option in options]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1",
             "--dir", tempfile.mkdtemp(prefix="state-redis-"), *self.options],
            stdout=subprocess.DEVNULL)
        wait_port(self.port)

    def command(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True).stdout

    def kill(self):
        self.process.kill()
        self.process.wait()


class Sentinel(Redis):
    """Watches a primary, and knows its replica."""

    def __init__(self, primary):
        path = os.path.join(tempfile.mkdtemp(prefix="state-sentinel-"), "sentinel.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"sentinel monitor mymaster 127.0.0.1 {primary} 1\n"
                       "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n")
        self.path = path
        super().__init__()
        until = time.monotonic() + 20
        while "slave" not in self.command("SENTINEL", "replicas", "mymaster"):
            if time.monotonic() > until:
                raise RuntimeError("the Sentinel does not know the replica after 20 s")
            time.sleep(0.2)

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", self.path, "--sentinel", "--port", str(self.port), "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        wait_port(self.port)


def wait_port(port):
    for _ in range(400):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return
        except OSError:
            time.sleep(0.025)
    raise RuntimeError(f"nothing listens on port {port}")


class Delay(threading.Thread):
    """Forwards to a port; replies are delayed by `seconds`."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.port, self.target, self.seconds = free_port(), target, 0.0

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.connect, "127.0.0.1", self.port)
        await server.serve_forever()

    async def connect(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.copy(reader, up_writer, False), self.copy(up_reader, writer, True), return_exceptions=True)

    @staticmethod
    def write(writer, data):
        if not writer.is_closing():
            writer.write(data)

    async def copy(self, reader, writer, is_delayed):
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            if is_delayed and self.seconds:
                loop.call_later(self.seconds, self.write, writer, data)
            else:
                writer.write(data)
        writer.close()


def origin():
    """A backend that responds at once, as a process of its own."""
    port = free_port()
    conf = tempfile.mkdtemp(prefix="state-origin-")
    path = os.path.join(conf, "nginx.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"daemon off; worker_processes 1; pid {conf}/pid; error_log {conf}/log; events {{}} "
                   f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}")
    process = subprocess.Popen(["nginx", "-c", path, "-e", f"{conf}/log"], stderr=subprocess.DEVNULL)
    wait_port(port)
    return process, port


class Gateway:
    def __init__(self, binary, backend, redis_port, limit, options=None, state=None):
        self.port, self.admin = free_port(), free_port()
        document = {
            "SharedState": {"Url": f"redis://127.0.0.1:{redis_port}", "Timeout": f"{TIMEOUT_MS}ms", **(state or {})},
            "Routes": [{
                "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}", "DownstreamScheme": "http",
                "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": backend}],
                "RateLimitOptions": {"Limit": limit, "Period": "1h", "PartitionBy": ["Route"], "Scope": "Shared", "Lease": 1, **(options or {})},
            }],
        }
        self.dir = tempfile.mkdtemp(prefix="state-gateway-")
        path = os.path.join(self.dir, "gateway.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        self.process = subprocess.Popen(
            [binary, "run", "--config", path, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}", "--threads", "1"],
            stderr=open(os.path.join(self.dir, "log"), "wb"))
        wait_port(self.port)
        self.wait(True)

    def available(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        connection.request("GET", "/v1/status")
        return json.loads(connection.getresponse().read())["shared_state"]["available"]

    def wait(self, available):
        until = time.monotonic() + 15
        while self.available() != available:
            if time.monotonic() > until:
                raise RuntimeError(f"the shared state is not {'available' if available else 'away'} after 15 s")
            time.sleep(0.05)


class Load(threading.Thread):
    """Requests one after the other on one connection; (end, milliseconds, status)."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.results, self.is_stopped = port, [], False

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.is_stopped:
            started = time.monotonic()
            try:
                connection.request("GET", "/a")
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException) as error:
                status = repr(error)
                connection.close()
            ended = time.monotonic()
            self.results.append((ended, (ended - started) * 1000, status))
            time.sleep(0.002)


def scenario(name, gateways, seconds, begin, end):
    """Load before, during and after a disturbance; the faults."""
    loads = [Load(gateway.port) for gateway in gateways for _ in range(4)]
    for load in loads:
        load.start()
    time.sleep(2)
    begin()
    began = time.monotonic()
    time.sleep(seconds)
    end()
    ended = time.monotonic()
    for gateway in gateways:
        gateway.wait(True)
    recovered = time.monotonic()
    time.sleep(1)
    for load in loads:
        load.is_stopped = True
        load.join()
    results = [result for load in loads for result in load.results]
    failed = [status for _, _, status in results if status != 200]
    during = sorted(ms for at, ms, _ in results if began <= at <= ended)
    later = sorted(ms for at, ms, _ in results if began + 2 <= at <= ended)
    before = sorted(ms for at, ms, _ in results if at < began)
    p99, usual = (all[int(len(all) * 0.99)] if all else 0 for all in (later, before))
    print(f"{name:28} {len(results)} requests, {len(failed)} failed; longest {during[-1]:.1f} ms, "
          f"p99 after the circuit opened {p99:.1f} ms (before: {usual:.1f} ms); used again after {recovered - ended:.1f} s")
    faults = []
    if failed:
        faults.append(f"{name}: {len(failed)} requests failed, such as {failed[0]}")
    if during[-1] > TIMEOUT_MS + SLACK_MS:
        faults.append(f"{name}: a request took {during[-1]:.1f} ms")
    if p99 > usual + TIMEOUT_MS / 2:
        faults.append(f"{name}: requests wait although the circuit is open: p99 {p99:.1f} ms")
    return faults


def disturbed_window(binary, backend, event, options):
    """How many requests pass in a window while Redis restarts empty, or fails over to its replica."""
    primary, limit, others, state = Redis(), 500, [], {}
    if event == "failover":
        others = [Redis("--replicaof", "127.0.0.1", primary.port)]
        primary.command("SET", "ready", "1")
        until = time.monotonic() + 20
        while others[0].command("GET", "ready").strip() != "1":
            if time.monotonic() > until:
                raise RuntimeError("the replica is not synchronized after 20 s")
            time.sleep(0.1)
        others.append(Sentinel(primary.port))
        state = {"Mode": "sentinel", "Url": [f"redis://127.0.0.1:{others[-1].port}"]}
    gateways = [Gateway(binary, backend, primary.port, limit, options, state) for _ in range(2)]
    connections = [http.client.HTTPConnection("127.0.0.1", gateway.port) for gateway in gateways]
    passed = 0

    def requests(count):
        nonlocal passed
        for at in range(count):
            connection = connections[at % 2]
            connection.request("GET", "/a")
            response = connection.getresponse()
            response.read()
            passed += response.status == 200

    requests(400)
    primary.kill()
    requests(200)
    if event == "restart":
        primary.start()
    for gateway in gateways:
        gateway.wait(True)
    requests(2400)
    name = f"{event}, {options['Algorithm']}, lease {options['Lease']}"
    print(f"{name:40} {passed} passed with a limit of {limit}: {passed - limit} more")
    for gateway in gateways:
        gateway.process.kill()
    for redis in [primary, *others]:
        redis.kill()
    # A restart: the counter before, those of two gateways, the counter after. A failover keeps the counter.
    bound = (4 if event == "restart" else 3) * limit
    return [] if limit <= passed <= bound else [f"{name}: {passed} requests passed with a limit of {limit}"]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--seconds", type=int, default=30)
    options = arguments.parse_args()
    binary = os.path.abspath(options.binary)
    backend_process, backend = origin()
    redis = Redis()
    delay = Delay(redis.port)
    delay.start()
    wait_port(delay.port)
    gateways = [Gateway(binary, backend, delay.port, 1_000_000_000) for _ in range(2)]

    def set_delay(seconds):
        delay.seconds = seconds

    faults = scenario("SIGSTOP", gateways, options.seconds, lambda: redis.process.send_signal(signal.SIGSTOP), lambda: redis.process.send_signal(signal.SIGCONT))
    faults += scenario("a delay of 200 ms", gateways, options.seconds, lambda: set_delay(0.2), lambda: set_delay(0.0))
    faults += scenario("killed", gateways, options.seconds, redis.kill, redis.start)
    for event in ("restart", "failover"):
        for algorithm in ("FixedWindow", "TokenBucket"):
            for lease in (1, "Adaptive"):
                faults += disturbed_window(binary, backend, event, {"Algorithm": algorithm, "Lease": lease})
    for gateway in gateways:
        gateway.process.kill()
    redis.kill()
    backend_process.terminate()
    for fault in faults:
        print(f"FAULT {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
