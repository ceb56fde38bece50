#!/usr/bin/env python3
"""Chaos: what well-behaved clients get while something else goes wrong.

    tests/chaos/run.py MARGAY_BINARY [--seconds 3] [--gateways margay,nginx,haproxy] [--only PATTERN]

Each scenario starts a gateway with default settings in front of scripted backends, lets one client on a kept
connection and one on new connections send 20 requests a second each, and adds one disturbance. A row holds what the
two clients got. The exit code is 1 if margay failed more requests than the scenario allows.
"""

import argparse
import asyncio
import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from backend import Backend
from clients import Crowd, SteadyClient, idle, request, slow_reader, slow_writer, zero_window
from gateways import Gateway

SCENARIOS = {}


def scenario(allowed_kept=0, allowed_fresh=0, only=None):
    """Registers a scenario; `allowed_*` is the number of requests that may fail, None for any."""
    def register(function):
        name = function.__name__.replace("_", "-")
        SCENARIOS[name] = (function, allowed_kept, allowed_fresh, only)
        return function
    return register


class Run:
    """One scenario on one gateway: owns the processes and the two steady clients."""

    def __init__(self, name, binary, seconds):
        self.name, self.binary, self.seconds = name, binary, seconds
        self.stack = contextlib.AsyncExitStack()
        self.notes = []

    async def gateway(self, backends=None, stdout=subprocess.DEVNULL, stderr=None, **options):
        self.backends = backends or [await Backend().start()]
        gateway = Gateway(self.name, self.binary, [b.port for b in self.backends], **options)
        self.stack.callback(gateway.stop)
        return await gateway.start(stdout, stderr)

    @contextlib.asynccontextmanager
    async def steady(self, port, path="/"):
        """Runs the two steady clients for the time of the block."""
        self.kept, self.fresh = SteadyClient(port, path), SteadyClient(port, path, fresh=True)
        tasks = [asyncio.create_task(client.run()) for client in (self.kept, self.fresh)]
        await asyncio.sleep(0.3)
        try:
            yield
        finally:
            self.kept.stopped.set()
            self.fresh.stopped.set()
            await asyncio.gather(*tasks)

    async def disturb(self, gateway, crowd, path="/"):
        """The common form: steady clients, a crowd beside them for `seconds`, memory at the end of it."""
        before = gateway.rss_kib()
        async with self.steady(gateway.port, path):
            crowd = crowd()
            await asyncio.sleep(self.seconds)
            self.notes.append(f"memory +{max(0, gateway.rss_kib() - before) / 1024:.1f} MiB")
            await crowd.stop()


@scenario()
async def slow_readers(run):
    """100 clients request 256 KiB and read one byte a second."""
    gateway = await run.gateway()
    await run.disturb(gateway, lambda: Crowd(100, slow_reader, gateway.port))


@scenario()
async def slow_writers(run):
    """40 clients upload one byte a second to a cluster with 20 connections."""
    gateway = await run.gateway()
    await run.disturb(gateway, lambda: Crowd(40, slow_writer, gateway.port), "/limited")


@scenario()
async def zero_windows(run):
    """10 HTTP/2 connections with 100 streams each and a flow-control window of zero, on 1,024 descriptors."""
    gateway = await run.gateway(descriptors=1024)
    await run.disturb(gateway, lambda: Crowd(10, zero_window, gateway.h2_port), "/limited")


@scenario(only=["margay"])
async def stuck_log_pipe(run):
    """Standard error is a pipe that is full and not read, while 400 bad requests a second write log lines."""
    reader, writer = os.pipe()
    run.stack.callback(os.close, reader)
    gateway = await run.gateway(stderr=writer, descriptors=512, env={"MARGAY_LOG": "debug"})
    os.close(writer)
    await run.disturb(gateway, lambda: Crowd(100, malformed, gateway.port))


async def malformed(port):
    """A bad request, which writes a log line, at most four times a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/9.9\r\n\r\n")
    await reader.read()
    writer.close()
    await asyncio.sleep(0.25)


@scenario(allowed_fresh=None)
async def descriptors_exhausted(run):
    """1,000 idle connections on 512 descriptors: kept clients go on."""
    gateway = await run.gateway(descriptors=512)
    await run.disturb(gateway, lambda: Crowd(1000, idle, gateway.port))


@scenario(only=["margay", "nginx"])
async def full_disk(run):
    """The access log is on a device without space."""
    gateway = await run.gateway(log="/dev/full")
    async with run.steady(gateway.port):
        await asyncio.sleep(run.seconds)


@scenario(only=["margay", "nginx"])
async def clock_jumps(run):
    """The wall clock jumps a day ahead and a day back, once a second."""
    library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        raise SkippedScenario("faketime is not installed")
    folder = tempfile.mkdtemp(prefix="chaos-clock-")
    run.stack.callback(shutil.rmtree, folder)
    file = os.path.join(folder, "offset")

    def jump(offset):
        with open(file + ".new", "w", encoding="ascii") as new:
            new.write(offset)
        os.replace(file + ".new", file)

    jump("+0")
    env = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    gateway = await run.gateway(env=env)
    async with run.steady(gateway.port):
        for second in range(run.seconds):
            jump(["+1d", "-1d"][second % 2])
            await asyncio.sleep(1)


@scenario(only=["margay", "nginx"])
async def hung_dns(run):
    """The DNS server receives queries and never responds; 50 clients request a route that needs it."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    run.stack.callback(server.close)
    gateway = await run.gateway(dns=f"127.0.0.1:{server.getsockname()[1]}")
    await run.disturb(gateway, lambda: Crowd(50, unresolved, gateway.port))


async def unresolved(port):
    stream = await asyncio.open_connection("127.0.0.1", port)
    await request(*stream, "/unresolved", "Connection: close\r\n")
    stream[1].close()


@scenario(allowed_kept=None, allowed_fresh=None)
async def overload(run):
    """Five times the capacity of the backend (100 requests a second) for `seconds`; responses within 1 s count."""
    gateway = await run.gateway([await Backend(capacity=20).start()])
    good, sent, begun = 0, 0, time.monotonic()

    async def one():
        nonlocal good
        start, stream = time.monotonic(), None
        try:
            stream = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", gateway.port), 1)
            status, _ = await asyncio.wait_for(request(*stream, "/work", "Connection: close\r\n"), 1)
            good += status == 200 and time.monotonic() - start <= 1
        except (OSError, EOFError, asyncio.TimeoutError):
            pass
        finally:
            if stream:
                stream[1].close()

    tasks = []
    async with run.steady(gateway.port):
        while (elapsed := time.monotonic() - begun) < run.seconds:
            for _ in range(int(elapsed * 500) - sent):
                tasks.append(asyncio.create_task(one()))
                sent += 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
    run.notes.append(f"goodput {good / (100 * run.seconds):.0%} of capacity, {sent} sent")


@scenario()
async def backend_killed(run):
    """One of two backends is killed with its connections, and started again, once a second."""
    script = ("import asyncio,sys;sys.path.insert(0,sys.argv[1]);from backend import Backend\n"
              "async def main():\n b=await Backend().start(int(sys.argv[2]));print(b.port,flush=True);await asyncio.Event().wait()\n"
              "asyncio.run(main())")

    def spawn(port):
        process = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(os.path.abspath(__file__)), str(port)],
                                   stdout=subprocess.PIPE)
        return process, int(process.stdout.readline())

    victim, port = spawn(0)
    other = await Backend().start()
    fake = type("Spawned", (), {"port": port})
    gateway = await run.gateway([other, fake])
    async with run.steady(gateway.port):
        for _ in range(run.seconds):
            await asyncio.sleep(0.5)
            victim.kill()
            victim.wait()
            await asyncio.sleep(0.5)
            victim, _ = await asyncio.to_thread(spawn, port)
    victim.kill()
    victim.wait()


@scenario(allowed_kept=None, allowed_fresh=None)
async def sigterm_under_load(run):
    """Graceful stops beside 16 busy kept connections: a request that was sent and got no response is lost."""
    lost = done = 0
    for _ in range(max(3, run.seconds // 3)):
        gateway = await run.gateway()
        stop = asyncio.Event()

        async def busy():
            nonlocal lost, done
            while not stop.is_set():
                try:
                    stream = await asyncio.open_connection("127.0.0.1", gateway.port)
                except OSError:
                    return
                close = False
                while not close and not stop.is_set():
                    try:
                        status, close = await request(*stream)
                        done += status == 200
                    except (OSError, EOFError):
                        lost += 1
                        close = True
                stream[1].close()

        tasks = [asyncio.create_task(busy()) for _ in range(16)]
        await asyncio.sleep(0.5)
        gateway.terminate()
        await asyncio.to_thread(gateway.process.wait)
        stop.set()
        await asyncio.gather(*tasks)
    run.kept = run.fresh = None
    run.notes.append(f"{lost} lost of {done + lost}")
    if run.name == "margay" and lost:
        run.notes.append("REQUESTS LOST")


class SkippedScenario(Exception):
    pass


async def execute(name, gateway, binary, seconds):
    function, allowed_kept, allowed_fresh, only = SCENARIOS[name]
    run = Run(gateway, binary, seconds)
    try:
        async with run.stack:
            await function(run)
    except SkippedScenario as reason:
        print(f"| {name} | {gateway} | skipped: {reason} | | |", flush=True)
        return True
    kept, fresh = run.kept and run.kept.result, run.fresh and run.fresh.result
    print(f"| {name} | {gateway} | {kept or '-'} | {fresh or '-'} | {'; '.join(run.notes)} |", flush=True)
    bounds = [(kept, allowed_kept), (fresh, allowed_fresh)]
    within = all(result is None or allowed is None or result.failed <= allowed for result, allowed in bounds)
    return within and not any(note.isupper() for note in run.notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--gateways", default="margay")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    print("| scenario | gateway | kept connection | new connections | notes |\n|---|---|---|---|---|")
    failed = []
    for name, (_, _, _, only) in SCENARIOS.items():
        for gateway in options.gateways.split(","):
            if options.only in name and (only is None or gateway in only):
                within = asyncio.run(execute(name, gateway, binary, options.seconds))
                if not within and gateway == "margay":
                    failed.append(name)
    if failed:
        sys.exit("more failures than allowed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
