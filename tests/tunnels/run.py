#!/usr/bin/env python3
"""Tunnels with the clients that people use: OpenSSH (ssh, scp, sshd), curl, an MQTT library and a WebSocket library.

Usage: tests/tunnels/run.py path/to/margay

A gateway with TLS, an agent, connectors, devices and their services run on free ports of this machine. CASE=text selects
cases by their names. The libraries of requirements.txt are installed once, into target/tunnels.
"""

import base64
import getpass
import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / "target" / "tunnels"
PYTHON = WORK / "venv" / "bin" / "python"
TIMEOUT = 30
PORTS = ["public", "admin", "mqtt", "ssh", "echo", "sshd", "local"]
KEYS = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in ["dev1", "dev2", "service", "other"]}


def install():
    """Installs the libraries if their versions changed; then this file runs with them."""
    wanted, stamp = (HERE / "requirements.txt").read_text(), WORK / ".installed"
    if not (stamp.exists() and stamp.read_text() == wanted):
        WORK.mkdir(parents=True, exist_ok=True)
        print("installing the libraries of requirements.txt", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", WORK / "venv"], check=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    if Path(sys.prefix) != WORK / "venv":
        os.execv(PYTHON, [PYTHON, __file__, *sys.argv[1:]])


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


def equal(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}"[:600])


def token(key, resource, policy=None):
    """A shared access signature that is valid for an hour."""
    resource, expiry = quote(resource, safe=""), int(time.time()) + 3600
    signature = hmac.digest(base64.b64decode(key), f"{resource}\n{expiry}".encode(), "sha256")
    text = f"SharedAccessSignature sr={resource}&sig={quote(base64.b64encode(signature), safe='')}&se={expiry}"
    return text + (f"&skn={policy}" if policy else "")


class Echo(BaseRequestHandler):
    """Returns what it receives; after RESET a few bytes and a reset, after HALF the rest once the client has ended."""

    def handle(self):
        data = self.request.recv(1 << 16)
        if data == b"RESET":
            self.request.sendall(b"r" * 1000)
            time.sleep(0.3)
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self.request.close()
        if data == b"HALF":
            while self.request.recv(1 << 16):
                pass
            return self.request.sendall(b"h" * 200_000)
        while data:
            self.request.sendall(data)
            data = self.request.recv(1 << 16)


class Echoes(ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256
    handle_error = lambda *_: None


class Pages(ThreadingHTTPServer):
    daemon_threads, handle_error = True, lambda *_: None


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Lab:
    """The gateway, its agent, and everything around them."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.processes = str(Path(binary).resolve()), folder, []
        self.port = dict(zip(PORTS, free_ports(len(PORTS))))
        self.environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self.environment |= {f"{name.upper()}_KEY": key for name, key in KEYS.items()}
        for name, key in KEYS.items():
            (folder / f"{name}.key").write_text(key)
        self.make_keys()
        self.web = self.serve(Pages(("127.0.0.1", 0), Web))
        self.echo = self.serve(Echoes(("127.0.0.1", 0), Echo))
        self.start_sshd()
        self.gateway_url = f"https://localhost:{self.port['public']}/_agents"
        self.start_gateway()
        self.agent = self.start_agent()

    def make_keys(self):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.run("openssl", "req", "-x509", *curve, "-days", 2, "-subj", "/CN=Tests", "-keyout", "ca.key", "-out", "ca.pem")
        self.run("openssl", "req", *curve, "-subj", "/CN=localhost", "-keyout", "gateway.key", "-out", "gateway.csr")
        (self.folder / "names").write_text("subjectAltName=DNS:localhost\n")
        self.run("openssl", "x509", "-req", "-in", "gateway.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", 2, "-extfile", "names", "-out", "gateway.pem")
        for name in ["host", "user"]:
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)

    def serve(self, server):
        Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    def start_sshd(self):
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        (self.folder / "sshd.conf").write_text(
            f"Port {self.port['sshd']}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\n"
        )
        path = "/usr/sbin:" + os.environ["PATH"]
        self.start("sshd", shutil.which("sshd", path=path), "-D", "-e", "-f", "sshd.conf")

    def configuration(self):
        tls = {"Certificates": [{"CertificateFile": "gateway.pem", "KeyFile": "gateway.key"}]}
        listener = lambda name, **more: {"Name": name, "Address": f"127.0.0.1:{self.port[name]}", **more}
        http = {"DownstreamPathTemplate": "/{rest}", "DownstreamScheme": "http", "Listeners": ["public"]}
        to = lambda host: {"DownstreamHostAndPorts": [{"Host": host}]}
        return {
            "Listeners": [listener("public", Tls=tls), listener("mqtt", Protocol="Mqtt", Tls=tls),
                          listener("ssh", Protocol="Tcp"), listener("echo", Protocol="Tcp")],
            "TransportRoutes": [{"Key": name, "Listeners": [name], **to(f"agent:dev1/{name}")} for name in ["ssh", "echo"]],
            "Routes": [
                {"UpstreamPathTemplate": "/_agents", "DownstreamPathTemplate": "/", "DownstreamService": "Agents"},
                {"UpstreamPathTemplate": "/at/{id}/{rest}", **http, **to("agent:{id}/http")},
                {"UpstreamPathTemplate": "/missing/{rest}", **http, **to("agent:dev1/missing")},
                {"UpstreamPathTemplate": "/closed/{rest}", **http, **to("agent:dev1/closed")},
                {"UpstreamPathTemplate": "/{all}", "DownstreamPathTemplate": "/{all}", "DownstreamService": "DeviceStreams"},
            ],
            "Tunnels": {
                "Policies": {"service": {"Rights": ["ServiceConnect"], "Keys": ["${SERVICE_KEY}"]}},
                "Agents": {"dev1": {"Keys": ["${DEV1_KEY}"]}, "dev2": {"Keys": ["${DEV2_KEY}"]}},
                "DeviceStreams": {"HostNames": ["localhost"], "PublicUrl": f"wss://localhost:{self.port['public']}"},
            },
        }

    def write(self, configuration):
        (self.folder / "new").write_text(json.dumps(configuration))
        os.replace(self.folder / "new", self.folder / "gateway.json")

    def start_gateway(self):
        self.write(self.configuration())
        admin = f"127.0.0.1:{self.port['admin']}"
        self.gateway = self.start("gateway", self.binary, "run", "--config", "gateway.json", "--admin", admin)
        self.wait("the gateway is ready", lambda: self.admin("/ready")[0] == 200)

    def start_agent(self):
        services = {"ssh": f"127.0.0.1:{self.port['sshd']}", "echo": f"127.0.0.1:{self.echo}",
                    "http": f"http://127.0.0.1:{self.web}", "closed": "127.0.0.1:1"}
        offered = [part for name, target in services.items() for part in ["--service", f"{name}={target}"]]
        agent = self.start("agent", *self.tunnel("agent", "dev1"), "--id", "dev1", *offered)
        self.wait("the agent is connected", lambda: self.is_connected("dev1"))
        return agent

    def tunnel(self, command, key):
        return [self.binary, command, "--gateway", self.gateway_url, "--key-file", self.folder / f"{key}.key", "--ca", self.folder / "ca.pem"]

    def connector(self, service, *more, agent="dev1", key="service"):
        return [*self.tunnel("connect", key), "--agent", agent, "--service", service, "--policy", "service", *more]

    def start_connector(self, service):
        local = f"127.0.0.1:{self.port['local']}"
        connector = self.start("connect", *self.connector(service, "--listen", local))
        self.wait("the connector listens", lambda: socket.create_connection(("127.0.0.1", self.port["local"]), 1).close() is None)
        return connector

    def start_device(self, mode, *target):
        device = self.start("device", PYTHON, HERE / "device.py", self.port["mqtt"], "dev2",
                            token(KEYS["dev2"], "localhost/devices/dev2"), "ca.pem", mode, *target)
        self.wait("the device has subscribed", lambda: "subscribed" in self.log("device"))
        return device

    def start(self, name, *command):
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen([str(part) for part in command], cwd=self.folder, env=self.environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def run(self, *command, **options):
        done = subprocess.run([str(part) for part in command], cwd=self.folder, env=self.environment, capture_output=True,
                              timeout=TIMEOUT * 2, **options)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def ssh(self, command, port=None, proxy=None, program="ssh"):
        options = ["-i", "user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                   "-o", "IdentitiesOnly=yes"]
        options += ["-o", "ProxyCommand=" + " ".join(str(part) for part in proxy)] if proxy else []
        port = ["-P" if program == "scp" else "-p", port] if port else []
        return self.run(program, *options, *port, *command)

    def stop(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        process.wait(TIMEOUT)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, what, condition):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (OSError, ValueError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not within {TIMEOUT} s: {what}")

    def admin(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port["admin"], timeout=TIMEOUT)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def request(self, method, path, fields={}):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        connection = http.client.HTTPSConnection("localhost", self.port["public"], timeout=TIMEOUT, context=context)
        connection.request(method, path, headers=fields)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()

    def code(self, path):
        status, _, body = self.request("GET", path)
        return status, json.loads(body).get("code")

    def is_connected(self, agent):
        agents = json.loads(self.admin("/agents")[1])["agents"]
        return any(known["agent"] == agent and known["connected"] for known in agents)

    def request_stream(self, device, name, connect=5, response=5):
        fields = {"Authorization": token(KEYS["service"], "localhost", "service"), "Content-Length": "0",
                  "iothub-streaming-connect-timeout-in-seconds": str(connect),
                  "iothub-streaming-response-timeout-in-seconds": str(response)}
        return self.request("POST", f"/twins/{device}/streams/{name}?api-version=2018-08-30-preview", fields)

    def join(self, fields):
        import websocket
        header = [f"Authorization: Bearer {fields['iothub-streaming-auth-token']}"]
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return websocket.create_connection(fields["iothub-streaming-url"], header=header, sslopt={"context": context}, timeout=TIMEOUT)

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def exchange(port, data, ends=False):
    """What comes back until as much was received as was sent, or with `ends` until the end; and whether that was a reset."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
        try:
            sender = Thread(target=client.sendall, args=(data,), daemon=True)
            sender.start()
            sender.join() if ends else None
            if ends and data != b"RESET":
                client.shutdown(socket.SHUT_WR)
            while ends or len(received) < len(data):
                part = client.recv(1 << 16)
                if not part:
                    return received, False
                received += part
        except ConnectionResetError:
            return received, True
    return received, False


def user():
    return getpass.getuser()


def ssh_through_a_listener_has_the_output_and_the_exit_code(lab):
    done = lab.ssh([f"{user()}@127.0.0.1", "echo out; echo err >&2; exit 7"], port=lab.port["ssh"])
    equal(done, (7, b"out\n", "err\n"), "ssh")


def ssh_with_a_connector_as_its_proxy_command(lab):
    done = lab.ssh([f"{user()}@dev1", "cat; exit 4"], proxy=lab.connector("ssh", "--stdio"))
    equal(done[:2], (4, b""), done[2])


def scp_copies_files_there_and_back_over_a_connector(lab):
    connector = lab.start_connector("ssh")
    content = random.randbytes(16 << 20)
    (lab.folder / "sent").write_bytes(content)
    far = f"{user()}@127.0.0.1:{lab.folder}/there"
    for copied in [["sent", far], [far, "back"]]:
        done = lab.ssh(copied, port=lab.port["local"], program="scp")
        equal(done[0], 0, done[2])
    equal((lab.folder / "back").read_bytes() == content, True, "the same bytes")
    lab.stop(connector)


def curl_reaches_a_service_by_the_name_of_its_agent(lab):
    code, out, error = lab.run("curl", "-sS", "--cacert", "ca.pem", f"https://localhost:{lab.port['public']}/at/dev1/a?b=c")
    equal((code, out), (0, b'{"path": "/a?b=c"}'), error)


def refusals_have_their_codes(lab):
    for path, expected in [("/at/nobody/x", (404, "agent.unknown")), ("/at/dev2/x", (503, "agent.offline")),
                           ("/missing/x", (502, "agent.service")), ("/closed/x", (502, "agent.connect"))]:
        equal(lab.code(path), expected, path)
    refused = lab.run(*lab.tunnel("agent", "other"), "--id", "dev1", "--service", "a=127.0.0.1:1", "--once")
    equal((refused[0], "identity.signature" in refused[2]), (1, True), refused[2])
    refused = lab.run(*lab.connector("echo", "--stdio", key="other"), input=b"")
    equal(refused[0], 1, refused[2])


def a_hundred_streams_at_once(lab):
    data = random.randbytes(1 << 16)
    with ThreadPoolExecutor(100) as pool:
        received = list(pool.map(lambda _: exchange(lab.port["echo"], data)[0] == data, range(100)))
    equal(received.count(True), 100, "equal bytes")


def each_direction_ends_by_itself_and_a_reset_stays_one(lab):
    equal(exchange(lab.port["echo"], b"HALF", ends=True), (b"h" * 200_000, False), "after the end of the client")
    equal(exchange(lab.port["echo"], b"RESET", ends=True), (b"r" * 1000, True), "a reset of the service")


def an_agent_that_is_killed_is_offline_at_once_and_comes_back(lab):
    lab.stop(lab.agent, signal.SIGKILL)
    lab.wait("503", lambda: lab.code("/at/dev1/x") == (503, "agent.offline"))
    lab.agent = lab.start_agent()
    equal(lab.request("GET", "/at/dev1/x")[0], 200, "afterwards")


def agent_and_connector_survive_a_restart_of_the_gateway(lab):
    connector = lab.start_connector("echo")
    equal(exchange(lab.port["local"], b"before")[0], b"before", "before")
    lab.stop(lab.gateway)
    lab.start_gateway()
    lab.wait("the agent is back", lambda: lab.is_connected("dev1"))
    lab.wait("the connector is back", lambda: exchange(lab.port["local"], b"after")[0] == b"after")
    lab.stop(connector)


def a_device_accepts_a_stream_and_bytes_pass(lab):
    device = lab.start_device("accept")
    status, fields, _ = lab.request_stream("dev2", "my-stream")
    equal((status, fields["iothub-streaming-is-accepted"]), (200, "True"), "the request")
    bridge = lab.join(fields)
    for data in [b"hello", random.randbytes(1 << 18)]:
        bridge.send_binary(data)
        received = b""
        while len(received) < len(data):
            received += bridge.recv()
        equal(received == data, True, "the same bytes")
    bridge.close()
    lab.wait("the close frame arrives", lambda: "closed" in lab.log("device"))
    lab.stop(device)


def a_device_refuses_does_not_answer_or_is_away(lab):
    for mode, response, expected in [("refuse", 5, 200), ("silent", 1, 504)]:
        device = lab.start_device(mode)
        status, fields, _ = lab.request_stream("dev2", "s", response=response)
        equal((status, fields["iothub-streaming-is-accepted"]), (expected, "False" if expected == 200 else None), mode)
        lab.stop(device)
    lab.wait("the device is away", lambda: lab.request_stream("dev2", "s", connect=0)[0] == 404)
    status, _, body = lab.request_stream("nobody", "s", connect=0)
    equal((status, "DeviceNotFound" in body), (404, True), body)


def ssh_with_a_connector_over_the_bridge_of_a_device(lab):
    device = lab.start_device("accept", f"127.0.0.1:{lab.port['sshd']}")
    done = lab.ssh([f"{user()}@dev2", "echo over MQTT; exit 5"], proxy=lab.connector("ssh", "--stdio", agent="dev2"))
    equal(done[:2], (5, b"over MQTT\n"), done[2])
    lab.stop(device)


def an_agent_answers_a_device_stream(lab):
    status, fields, _ = lab.request_stream("dev1", "echo")
    equal((status, fields["iothub-streaming-is-accepted"]), (200, "True"), "the request")
    bridge = lab.join(fields)
    bridge.send_binary(b"to the agent")
    equal(bridge.recv(), b"to the agent", "the echo")
    bridge.close()


def a_key_that_a_reload_replaces_ends_open_streams(lab):
    with socket.create_connection(("127.0.0.1", lab.port["echo"]), TIMEOUT) as client:
        client.sendall(b"x")
        equal(client.recv(1), b"x", "the stream")
        configuration = lab.configuration()
        configuration["Tunnels"]["Agents"]["dev1"]["Keys"] = ["${OTHER_KEY}"]
        lab.write(configuration)
        try:
            equal(client.recv(1), b"", "the end")
        except ConnectionResetError:
            pass
    equal(lab.code("/at/dev1/x"), (503, "agent.offline"), "afterwards")


CASES = [value for value in list(globals().values())
         if getattr(value, "__module__", None) == __name__ and getattr(value, "__code__", None) and value.__code__.co_varnames[:1] == ("lab",)]


def main():
    install()
    cases = [case for case in CASES if os.environ.get("CASE", "") in case.__name__]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(sys.argv[1], Path(folder))
        try:
            for case in cases:
                began = time.monotonic()
                try:
                    case(lab)
                    print(f"ok {case.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
                except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
                    failed += 1
                    print(f"not ok {case.__name__.replace('_', ' ')}: {error}", flush=True)
        finally:
            lab.close()
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(bool(failed or not cases))


if __name__ == "__main__":
    main()
