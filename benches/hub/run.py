#!/usr/bin/env python3
"""The rows `hub-*` of `make bench`: hubs next to bare servers on npm `ws` and PyPI `socketify` (µWebSockets).

Usage: benches/hub/run.py path/to/margay path/to/hub_clients [ROW...]

One worker; the server has a core of its own where there are two. CPU is user and system time of the server's process for each
delivery, memory is its PSS. Receivers are native clients (`clients.rs`).
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / "target" / "hub-bench"
SERVERS = ["margay", "ws", "socketify"]
ROWS = ["hub-idle", "hub-fanout", "hub-burst", "hub-wide", "hub-handshake", "hub-send"]
CONNECTIONS = int(os.environ.get("CONNECTIONS", 9000))
SECONDS = os.environ.get("SECONDS_EACH", "5")
TICKS = os.sysconf("SC_CLK_TCK")


def install():
    """npm `ws` and PyPI `socketify`, once."""
    WORK.mkdir(parents=True, exist_ok=True)
    if not (WORK / "node_modules" / "ws").exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "ws@8.23.0"], cwd=WORK, check=True)
    if not (WORK / "venv" / "socketify").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", WORK / "venv"], check=True)
        subprocess.run([WORK / "venv" / "bin" / "pip", "install", "--quiet", "socketify"], check=True)
        (WORK / "venv" / "socketify").touch()
    (WORK / "ws.mjs").write_text((HERE / "ws.mjs").read_text())


def free_port():
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                return str(port)


def pinned(core):
    return ["taskset", "-c", str(core)] if os.cpu_count() > 1 else []


class Server:
    """A running server."""

    def __init__(self, name, binary):
        self.name, self.port = name, free_port()
        environment = {**os.environ, "BENCH_PORT": self.port, "BENCH_ADMIN": free_port()}
        command = {
            "margay": [binary, "run", "--config", HERE / "margay.json", "--threads", "1"],
            "ws": ["node", WORK / "ws.mjs"],
            "socketify": [WORK / "venv" / "bin" / "python", HERE / "socketify_server.py"],
        }[name]
        log = open(WORK / f"{name}.log", "w")
        self.process = subprocess.Popen(pinned(1) + command, env=environment, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", int(self.port))) == 0:
                    return
            time.sleep(0.05)
        sys.exit(f"{name} does not listen: see {WORK}/{name}.log")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def pss_kib(self):
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def clients(program, server, mode, connections, groups, burst=1):
    """The command of the clients."""
    kind = "margay" if server.name == "margay" else "bare"
    arguments = [mode, f"127.0.0.1:{server.port}", kind, connections, groups, SECONDS, burst]
    return pinned(0) + [program, *map(str, arguments)]


def run_idle(program, server):
    before = server.pss_kib()
    command = clients(program, server, "idle", CONNECTIONS, CONNECTIONS // 100)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(3)
    each = (server.pss_kib() - before) / CONNECTIONS
    process.communicate("\n")
    return f"{each:.1f} KiB for each of {CONNECTIONS} connections"


def run_measured(program, server, mode, connections, groups, burst=1):
    # The connections are opened before the first delivery: their CPU is measured apart and subtracted.
    command = clients(program, server, mode, connections, groups, burst)
    opened = opening_cost(program, server, connections, groups) if mode in ("fanout", "wide") else 0
    before = server.cpu_seconds()
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    cpu = server.cpu_seconds() - before - opened
    count = result.get("deliveries") or result.get("handshakes") or result.get("requests") or 0
    text = f"{result['per_second']:,.0f}/s, CPU {1e6 * cpu / max(count, 1):.1f} us each"
    if "p99_us" in result:
        text += f", p50 {result['p50_us'] / 1000:.1f} ms, p99 {result['p99_us'] / 1000:.1f} ms"
    return text


def opening_cost(program, server, connections, groups):
    before = server.cpu_seconds()
    command = clients(program, server, "idle", connections, groups)
    subprocess.run(command, input="\n", stdout=subprocess.DEVNULL, text=True, check=True)
    time.sleep(1)
    return server.cpu_seconds() - before


def run_row(row, program, server):
    groups = CONNECTIONS // 100
    match row:
        case "hub-idle":
            return run_idle(program, server)
        case "hub-fanout":
            return run_measured(program, server, "fanout", CONNECTIONS, groups)
        case "hub-burst":
            return run_measured(program, server, "fanout", CONNECTIONS, groups, burst=16)
        case "hub-wide":
            return run_measured(program, server, "wide", CONNECTIONS, 1)
        case "hub-handshake":
            return run_measured(program, server, "handshake", 64, 1)
        case "hub-send" if server.name == "margay":
            return run_measured(program, server, "send", 16, 1)
    return None


def main():
    binary, program = (Path(argument).resolve() for argument in sys.argv[1:3])
    install()
    for row in sys.argv[3:] or ROWS:
        for name in SERVERS:
            server = Server(name, binary)
            try:
                result = run_row(row, program, server)
            finally:
                server.stop()
            if result:
                print(f"{row:14} {name:10} {result}", flush=True)


if __name__ == "__main__":
    main()
