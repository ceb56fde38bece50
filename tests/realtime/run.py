#!/usr/bin/env python3
"""The official clients and server libraries of Azure Web PubSub and SignalR, unmodified, against a gateway.

Usage: tests/realtime/run.py path/to/margay [FILTER]

FILTER is a part of the names of the files: wps-json, wps, sr, py, example, sr-nodes, sr-load, demo. The libraries are
installed once, with the versions of cases/package.json and cases/requirements.txt, into target/realtime; one gateway serves
all files. A case that did not run counts as failed.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases"
WORK = HERE.parent.parent / "target" / "realtime"
# The number of cases of each file. Files of one lane run one after the other: the first two share a hub with a limit.
LANES = [
    {"wps-connect": 42, "wps-reliable": 16},
    {"wps-events": 35, "wps-protobuf": 9},
    {"wps-json": 49, "wps-rest": 48, "wps-streams": 9},
    {"sr-client": 60},
    {"sr-negotiate": 34, "sr-proxy": 36},
    {"py-client": 9},
    {"py-service": 14},
]
EXAMPLES = HERE.parent.parent / "deploy" / "examples"
PORTS = [
    f"RT_{name}_PORT"
    for name in ["PUBSUB", "SIGNALR", "APP", "ADMIN", "EVENTS", "ASRS", "APP1", "APP2"]
]
DEMO_PORTS = [
    f"{name}_PORT"
    for name in ["CATALOG", "CATALOG2", "ORDERS", "ECHO", "IDENTITY", "FLAKY", "EVENTS", "LIVE", "BROKEN"]
]
TIMEOUT = 300


def free_ports(count):
    """Free ports below the ephemeral range: no outgoing connection can take one before it is bound."""
    ports = []
    for port in random.sample(range(12000, 32000), 500):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                ports.append(str(port))
            except OSError:
                continue
        if len(ports) == count:
            return ports
    sys.exit("no free ports between 12000 and 32000")


def node():
    """The program that .ci/need found or installed."""
    installed = HERE.parent.parent / "target" / "node" / "node_modules" / "node" / "bin" / "node"
    return str(installed) if installed.exists() else "node"


def install():
    """Copies the cases, and installs the libraries if their versions changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    shutil.copytree(CASES, WORK, dirs_exist_ok=True)
    for name, commands in [
        ("package.json", [["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]]),
        ("requirements.txt", [
            [sys.executable, "-m", "venv", "--clear", "venv"],
            ["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
        ]),
    ]:
        wanted, stamp = (CASES / name).read_text(), WORK / f".installed-{name}"
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        print(f"installing the libraries of {name}", flush=True)
        for command in commands:
            subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.DEVNULL)
        stamp.write_text(wanted)


def wait_ready(gateway, port):
    for _ in range(200):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
        except OSError:
            if gateway.poll() is not None:
                sys.exit(f"the gateway ended with {gateway.returncode}: see {WORK}/margay.log")
            time.sleep(0.05)
    sys.exit("the gateway is not ready")


def run_file(name, environment):
    """The number of cases that passed, and the names of the others."""
    if name.startswith("py-"):
        file = f"test_{name.removeprefix('py-')}.py"
        python = WORK / "venv" / "bin" / "python"
        command, folder = [python, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", file], "py"
    else:
        reporter = ["--test-reporter=tap", f"--test-timeout={TIMEOUT * 1000}"]
        command, folder = [node(), "--test", *reporter, f"tests/{name}.test.mjs"], "."
    try:
        run = subprocess.run(
            command, cwd=WORK / folder, env=environment, timeout=TIMEOUT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        output = run.stdout
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
    (WORK / f"{name}.log").write_text(output)
    if name.startswith("py-"):
        passed = re.findall(r"(\d+) passed", output)
        return int(passed[-1]) if passed else 0, re.findall(r"^(?:FAILED|ERROR) (.*)", output, re.M)
    return len(re.findall(r"^ *ok \d+ - ", output, re.M)), re.findall(r"^ *not ok \d+ - (.*)", output, re.M)


def run_lane(lane, environment, totals):
    for name, expected in lane.items():
        started = time.monotonic()
        passed, failed = run_file(name, environment)
        for case in failed:
            print(f"FAILED {name}: {case}", flush=True)
        print(f"{name}: {passed} of {expected} in {time.monotonic() - started:.0f} s", flush=True)
        totals.append((passed, expected - passed))


def run_example(binary, name, path, services, client):
    """deploy/examples/NAME: the gateway, its backends and a client, each as a process. `services` are the scripts of the backends
    with the variables of their ports."""
    folder = WORK / f"example-{name}"
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
    listen, admin, *ports = free_ports(2 + len(services))
    environment = {
        **os.environ, "MARGAY_LISTEN": f"127.0.0.1:{listen}", "MARGAY_ADMIN": f"127.0.0.1:{admin}",
        "GATEWAY": f"http://127.0.0.1:{listen}{path}", **{f"{key}_PORT": port for (key, _), port in zip(services, ports)},
    }
    processes = []
    with open(WORK / f"example-{name}.log", "w") as log:
        def start(*command, **more):
            processes.append(subprocess.Popen(command, cwd=folder, env={**environment, **more}, stdout=log, stderr=log))
            return processes[-1]
        try:
            gateway = start(binary, "run", "--config", "gateway.json")
            for (key, script), port in zip(services, ports):
                start(node(), script, PORT=port, NAME=key)
            wait_ready(gateway, admin)
            for port in ports:
                wait_open(port)
            command = [node(), *client]
            client = subprocess.run(command, cwd=folder, env=environment, timeout=30, text=True, capture_output=True)
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)
    is_done = client.stdout.splitlines()[-1:] == ["done"]
    print(f"example {name}: {'1 of 1' if is_done else client.stdout + client.stderr}", flush=True)
    return (1, 0) if is_done else (0, 1)


def run_demo(binary):
    """The page /live of `margay demo` in a headless Chromium."""
    root, folder = HERE.parent.parent, WORK / "demo"
    folder.mkdir(exist_ok=True)
    shutil.copy(root / "gateway.json", folder)
    for part in ["policies", "deploy/examples/bff/sign-in"]:
        shutil.copytree(root / part, folder / part, dirs_exist_ok=True)
    shutil.copy(HERE / "demo.mjs", folder)
    ports = free_ports(2 + len(DEMO_PORTS))
    environment = {
        **os.environ, "MARGAY_LISTEN": f"127.0.0.1:{ports[0]}", "MARGAY_ADMIN": f"127.0.0.1:{ports[1]}",
        **dict(zip(DEMO_PORTS, ports[2:])),
    }
    with open(WORK / "demo.log", "w") as log:
        demo = subprocess.Popen([binary, "demo"], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_ready(demo, ports[1])
            command = [node(), "demo.mjs", f"http://127.0.0.1:{ports[0]}", str(folder)]
            test = subprocess.run(command, cwd=folder, timeout=120, text=True, capture_output=True)
        finally:
            demo.terminate()
            demo.wait(30)
    is_passed = test.stdout.strip() == "passed"
    print(f"demo: {'1 of 1' if is_passed else test.stdout + test.stderr}", flush=True)
    return (1, 0) if is_passed else (0, 1)


def run_script(name, *arguments):
    """A test with official SignalR clients that starts its own gateways."""
    shutil.copy(HERE / f"{name}.mjs", WORK)
    command = [node(), f"{name}.mjs", *arguments]
    run = subprocess.run(command, cwd=WORK, timeout=180, text=True, capture_output=True)
    last = (run.stdout.splitlines() or [""])[-1]
    print(f"{name}: {last if run.returncode == 0 else run.stdout + run.stderr}", flush=True)
    return (1, 0) if run.returncode == 0 else (0, 1)


def wait_open(port):
    for _ in range(200):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        time.sleep(0.05)
    sys.exit("the event handler does not listen")


def main():
    binary, wanted = Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else ""
    install()
    environment = {**os.environ, **dict(zip(PORTS, free_ports(len(PORTS))))}
    with open(WORK / "margay.log", "w") as log:
        command = [binary, "run", "--config", "gateway.json"]
        gateway = subprocess.Popen(command, cwd=WORK, env=environment, stdout=log, stderr=log)
    try:
        wait_ready(gateway, environment["RT_ADMIN_PORT"])
        lanes = [{name: n for name, n in lane.items() if wanted in name} for lane in LANES]
        totals = []
        threads = [threading.Thread(target=run_lane, args=(lane, environment, totals)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if gateway.poll() is not None:
            print(f"the gateway ended with {gateway.returncode}: see {WORK}/margay.log")
            totals.append((0, 1))
        if wanted in "example":
            handler = [("HANDLER", "handler/handler.mjs")]
            totals.append(run_example(binary, "pubsub", "", handler, ["handler/client.mjs", "ann"]))
            services = [("HANDLER", "app/handler.mjs"), ("APP1", "app/app.mjs"), ("APP2", "app/app.mjs")]
            totals.append(run_example(binary, "signalr", "/sr", services, ["app/client.mjs"]))
        if wanted in "sr-nodes":
            totals.append(run_script("signalr-nodes", binary))
        if wanted in "sr-load":
            totals.append(run_script("signalr-load", binary, "60"))
        if wanted in "demo":
            totals.append(run_demo(binary))
    finally:
        gateway.terminate()
        gateway.wait(30)
    passed, failed = (sum(column) for column in zip(*totals))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
