#!/usr/bin/env python3
"""Sign-in sessions with a certified provider (npm oidc-provider) and a headless Chromium.

Usage: tests/sessions/run.py path/to/margay [cookies|redis]

The cases of browser.mjs run twice: with sessions in cookies on one gateway, and with sessions on Redis and two gateways, where
Redis stops once. CASE=text selects cases by their names. The
libraries of package.json are installed once, into target/sessions.
"""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"
WORK = TARGET / "sessions"
TIMEOUT = 300


def free_ports(count):
    """Free ports below the ephemeral range: no outgoing connection can take one before it is bound."""
    ports = []
    for port in random.sample(range(12000, 32000), 500):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                ports.append(port)
            except OSError:
                continue
        if len(ports) == count:
            return ports
    sys.exit("no free ports between 12000 and 32000")


def node():
    """The program that .ci/need found or installed."""
    installed = TARGET / "node" / "node_modules" / "node" / "bin" / "node"
    return str(installed) if installed.exists() else "node"


def install():
    """Copies the files, and installs the libraries if their versions changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    for file in HERE.iterdir():
        shutil.copy(file, WORK)
    wanted, stamp = (HERE / "package.json").read_text(), WORK / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing the libraries of package.json", flush=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    stamp.write_text(wanted)


class Backend(BaseHTTPRequestHandler):
    """Returns the fields of requests, and pages."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        while length > 0:
            length -= len(self.rfile.read(min(length, 1 << 16)))
        if self.path.startswith("/api/"):
            kind, body = "application/json", json.dumps({"headers": {k.lower(): v for k, v in self.headers.items()}})
        else:
            kind, body = "text/html", "<!doctype html><title>app</title><link rel=icon href=data:,><h1>app</h1>"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """A backend whose queue has room for every connection of a case: beyond it the kernel drops connections, and those that are
    not repeated within the ConnectTimeout of the gateway fail."""

    daemon_threads, request_queue_size = True, 1024


def configuration(backend, issuer, redis):
    """One gateway; with a port of Redis its sessions are there."""
    route = {"DownstreamScheme": "http", "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": backend}]}
    template = {"UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}"}
    signed_in = {"AuthenticationOptions": {"AuthenticationProviderKeys": ["web"]}}
    public = [{**route, "UpstreamPathTemplate": path, "DownstreamPathTemplate": path} for path in ["/public", "/goodbye"]]
    document = {
        "AuthenticationSchemes": {"web": {
            "Type": "OpenIdConnect", "Authority": issuer, "ClientId": "app", "ClientSecret": "app-secret-of-the-tests",
            "Scopes": ["openid", "profile", "offline_access"], "SessionKeys": ["session.key"], "Timeout": "2s",
        }},
        "Routes": [*public, {**route, **template, **signed_in}],
    }
    if redis:
        document["SharedState"] = {"Type": "Redis", "Url": f"redis://127.0.0.1:{redis}", "Timeout": "500ms"}
    return document


def wait_for(url, process):
    for _ in range(200):
        try:
            return urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None:
                sys.exit(f"a process ended with {process.returncode}: see {WORK}")
            time.sleep(0.05)
    sys.exit(f"{url} does not respond")


def run(binary, name, gateways, backend):
    """Runs the cases with this number of gateways; returns how many passed, and how many there are."""
    provider_port, control, redis, *ports = free_ports(3 + 2 * gateways)
    listen, admin = ports[:gateways], ports[gateways:]
    issuer, origins = f"http://localhost:{provider_port}", [f"http://localhost:{port}" for port in listen]
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "session.key").write_text("a key of the tests with more than 32 bytes\n")
    document = configuration(backend, issuer, redis if gateways > 1 else None)
    (folder / "gateway.json").write_text(json.dumps(document))
    processes = []
    with open(folder / "log", "w") as log:
        def start(*command):
            processes.append(subprocess.Popen([str(part) for part in command], cwd=WORK, stdout=log, stderr=log))
            return processes[-1]
        try:
            environment = {**os.environ, "ISSUER": issuer}
            if gateways > 1:
                shared = start("redis-server", "--port", redis, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
                environment["REDIS_PID"] = str(shared.pid)
            provider = start(node(), "provider.mjs", provider_port, control, *origins)
            wait_for(f"http://127.0.0.1:{provider_port}/.well-known/openid-configuration", provider)
            for port, own_admin in zip(listen, admin):
                gateway = start(
                    binary, "run", "--config", folder / "gateway.json", "--listen", f"127.0.0.1:{port}", "--admin",
                    f"127.0.0.1:{own_admin}")
                wait_for(f"http://127.0.0.1:{own_admin}/ready", gateway)
            try:
                output = subprocess.run(
                    [node(), "browser.mjs", str(control), *origins], cwd=WORK, env=environment,
                    timeout=TIMEOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
            except subprocess.TimeoutExpired as expired:
                output = (expired.stdout or b"").decode(errors="replace")
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    plan, *lines = output.splitlines() or ["1..1"]
    (folder / "cases").write_text(output)
    for line in lines:
        if not line.startswith("ok "):
            print(f"{name}: {line}", flush=True)
    planned = int(plan.removeprefix("1..")) if plan.startswith("1..") else 1
    return sum(line.startswith("ok ") for line in lines), planned


def main():
    binary = Path(sys.argv[1]).resolve()
    install()
    server = Server(("127.0.0.1", 0), Backend)
    Thread(target=server.serve_forever, daemon=True).start()
    passed = failed = 0
    modes = {"cookies": 1, "redis": 2}
    for name, gateways in modes.items():
        if name not in (sys.argv[2:] or modes):
            continue
        began = time.monotonic()
        good, planned = run(binary, name, gateways, server.server_port)
        print(f"{name}: {good} of {planned} in {time.monotonic() - began:.0f} s", flush=True)
        passed, failed = passed + good, failed + planned - good
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
