#!/usr/bin/env python3
"""The OpenAPI document of the administration API: it validates, and a client that is generated from it drives a gateway.

Usage: tests/admin/run.py path/to/margay

The tools are installed once, with the versions of requirements.txt, into target/admin-venv. A step is a function with a
generated client as its argument, listed in STEPS.
"""

import hashlib
import http.server
import importlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent.parent / "target" / "admin-venv"
TOKEN = "a-token-of-the-test"


def enter_venv():
    """Installs the tools if their versions changed, and continues in their environment."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp = VENV / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the tools of requirements.txt", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    if Path(sys.prefix) != VENV:
        os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), *sys.argv])


def free_port():
    """A free port below the ephemeral range: no outgoing connection can take it before the gateway binds it."""
    for port in random.sample(range(12000, 32000), 200):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no free port between 12000 and 32000")


class Backend(http.server.BaseHTTPRequestHandler):
    """Responds to every request."""

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def document(backend):
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return {
        "Administration": {"Tokens": [{"Name": "test", "Hash": f"sha256:{digest}", "Role": "write"}]},
        "Routes": [{
            "Key": "shop",
            "UpstreamPathTemplate": "/{everything}",
            "DownstreamPathTemplate": "/{everything}",
            "DownstreamScheme": "http",
            "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": backend}, {"Host": "localhost", "Port": backend}],
            "RateLimitOptions": {"Limit": 100000, "Period": "1h", "PartitionBy": ["IP"]},
        }],
    }


class Gateway:
    """A gateway with a backend, and its directory."""

    def __init__(self, binary, folder):
        self.folder, self.backend = Path(folder), start_backend()
        self.listen, self.admin = free_port(), free_port()
        self.config = self.folder / "gateway.json"
        self.config.write_text(json.dumps(document(self.backend)))
        command = [binary, "run", "--config", self.config, "--listen", f"127.0.0.1:{self.listen}"]
        command += ["--admin", f"127.0.0.1:{self.admin}", "--threads", "1"]
        self.process = subprocess.Popen(command)
        self.url = f"http://127.0.0.1:{self.admin}"

    def wait(self):
        for _ in range(200):
            try:
                return self.get("/ready")
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"the gateway ended with {self.process.returncode}")
                time.sleep(0.05)
        sys.exit("the gateway is not ready")

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()

    def traffic(self, path="/"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.listen}{path}", timeout=10) as response:
            return response.read().decode()


def generate(folder, text):
    """Validates the document and generates the client `margay_admin`."""
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(json.loads(text)).validate()
    path, settings = folder / "openapi.json", folder / "settings.yaml"
    path.write_text(text)
    settings.write_text("package_name_override: margay_admin\nproject_name_override: margay_admin\npost_hooks: []\n")
    command = [VENV / "bin" / "openapi-python-client", "generate", "--path", path, "--config", settings, "--meta", "none"]
    run = subprocess.run([*command, "--output-path", folder / "margay_admin"], capture_output=True, text=True)
    if run.returncode != 0 or "Warning" in run.stdout + run.stderr:
        sys.exit(f"the client cannot be generated:\n{run.stdout}{run.stderr}")
    sys.path.insert(0, str(folder))


def call(tag, operation, client, **arguments):
    """A call of the generated client; its status must be 200, unless `expected` differs."""
    expected = arguments.pop("expected", 200)
    module = importlib.import_module(f"margay_admin.api.{tag}.{operation}")
    response = module.sync_detailed(client=client, **arguments)
    assert response.status_code == expected, f"{operation}: {response.status_code} {response.content!r}"
    return response.parsed


def model(name):
    return getattr(importlib.import_module("margay_admin.models"), name)


def status(gateway, client):
    found = call("status", "status", client)
    assert found.state == "ready" and found.config.routes == 1, found


def without_token(gateway, _client):
    anonymous = importlib.import_module("margay_admin").Client(base_url=gateway.url)
    call("status", "status", anonymous, expected=401)


def drain(gateway, client):
    names = [endpoint.endpoint for endpoint in call("clusters", "list_clusters", client).clusters[0].endpoints]
    changed = call("clusters", "drain_endpoint", client, cluster="shop", endpoint=names[0])
    assert changed.endpoint.health == "drained", changed
    assert gateway.traffic() == "hello\n"
    changed = call("clusters", "enable_endpoint", client, cluster="shop", endpoint=names[0])
    assert changed.endpoint.eligible, changed


def explain(gateway, client):
    found = call("config", "explain", client, body=model("ExplainRequest")(url="/orders/7"))
    assert found.route.name == "shop", found


def configuration(gateway, client):
    found = call("config", "config", client)
    assert found.config.to_dict()["Administration"]["Tokens"][0]["Hash"] == "***", found


def limits(gateway, client):
    gateway.traffic()
    found = call("limits", "limits", client, route="shop", key="127.0.0.1").limits[0].counter
    assert found.remaining < found.quota, found
    assert call("limits", "reset_limits", client, route="shop", key="127.0.0.1").reset == 1


def revocations(gateway, client):
    found = call("authentication", "revoke", client, body=model("RevocationRequest")(jti="a-token", for_="1m"))
    assert found.count == 1, found


def log_level(gateway, client):
    found = call("status", "set_log_level", client, body=model("LogLevelChange")(level="info", for_="1s"))
    assert found.level == "info" and found.reverts_to == "warn", found


def change(gateway, client):
    wanted = json.loads(gateway.config.read_text())
    assert call("config", "check_config", client, body=wanted).valid
    wanted["Routes"][0]["Timeout"] = "5s"
    lines = ["route shop: timeout 90s (default) -> 5s"]
    assert call("config", "diff_config", client, body=wanted).lines == lines
    applied = call("config", "put_config", client, body=wanted)
    assert applied.changes == lines and not applied.watching, applied
    call("config", "put_config", client, body={"Routes": 1}, expected=422)
    newest, *_, oldest = call("config", "history", client).entries
    assert newest.number == applied.number and newest.who == "test", newest
    assert call("config", "roll_back", client, number=oldest.number).id == oldest.id
    assert call("config", "tests", client).passed

def routes(gateway, client):
    gateway.traffic()
    found = [route for route in call("routes", "list_routes", client).routes if route.name == "shop"]
    assert found[0].traffic.requests_total >= 1 and found[0].target.name == "shop", found
    assert call("routes", "show_route", client, name="shop").route.name == "shop"


STEPS = [status, without_token, routes, drain, explain, configuration, limits, revocations, change, log_level]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    enter_venv()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(sys.argv[1], folder)
        try:
            gateway.wait()
            generate(Path(folder), gateway.get("/openapi.json"))
            client = importlib.import_module("margay_admin").AuthenticatedClient(base_url=gateway.url, token=TOKEN)
            for step in STEPS:
                step(gateway, client)
                print(f"ok {step.__name__}", flush=True)
        finally:
            gateway.process.terminate()
            gateway.process.wait()
    print(f"{len(STEPS)} steps with the generated client")


if __name__ == "__main__":
    main()
