#!/usr/bin/env python3
"""Costs of the web application firewall: CPU per request on top of a route without it, with the OWASP Core Rule Set of MARGAY_CRS
(or ../shared/crs-4.28.0, else the built-in rules), next to nginx with the ModSecurity module and the same rules; and the latency of
plain requests while clients send the most expensive ones.

    benches/waf/run.py [target/release/margay] [--rounds 3] [--seconds 2]
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_http_modsecurity_module.so")
PROSE = "The quick brown fox jumps over the lazy dog, and the cat (which was asleep) didn't notice it. "
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
}
NGINX = """
load_module {module};
daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log; events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_buffer_size 256k; client_body_temp_path {dir}/body;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 16; }}
  server {{ listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://origin; }}
    location /waf/ {{ modsecurity on; modsecurity_rules_file {dir}/main.conf; proxy_pass http://origin; }}
  }}
}}
"""
MODSECURITY = """
SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1310720
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
Include {rules}/crs-setup.conf.example
Include {rules}/rules/*.conf
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def requests():
    """Name, method, target, body; all of them are clean."""
    members = {f"member_{n}": f"value number {n}" for n in range(900)}
    small = {"id": 17, "name": "Garden chair", "price": 49.5, "tags": ["outdoor", "wood"], "note": "delivered on Tuesday"}
    return [
        ("GET", "GET", "search?q=hello+world&page=2", None),
        ("JSON, 110 bytes", "POST", "items", json.dumps(small)),
        ("JSON, 900 members", "POST", "items", json.dumps(members)),
        ("JSON, 64 KiB of prose", "POST", "items", json.dumps({"a": (PROSE * 700)[:65500]})),
        ("JSON, 64 KiB of (", "POST", "items", json.dumps({"a": "(" * 65500})),
    ]


def send(connection, prefix, request):
    _, method, target, body = request
    headers = dict(BROWSER, Host="shop.example")
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, prefix + target, body, headers)
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise SystemExit(f"{prefix}{target}: status {response.status}")


def cpu_seconds(process):
    """User and system time of a process and its children."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    for pid in [str(process.pid), *children]:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / tick


def cost(process, port, prefix, request, seconds):
    """CPU microseconds for each request."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    send(connection, prefix, request)
    count, start, end = 0, cpu_seconds(process), time.monotonic() + seconds
    while time.monotonic() < end:
        send(connection, prefix, request)
        count += 1
    return (cpu_seconds(process) - start) * 1e6 / count


def measure(name, process, port, rounds, seconds):
    for request in requests():
        plain, inspected = [], []
        for _ in range(rounds):
            plain.append(cost(process, port, "/plain/", request, seconds))
            inspected.append(cost(process, port, "/waf/", request, seconds))
        added = statistics.median(inspected) - statistics.median(plain)
        print(f"{name:8} {request[0]:24} plain {statistics.median(plain):8.0f} us, firewall +{added:8.0f} us", flush=True)


def latency(name, process, port, seconds):
    """p99 of plain requests while eight clients send the most expensive body, paced to half a core."""
    expensive, stop, pause = requests()[-1], threading.Event(), [0.02]

    def hostile():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not stop.is_set():
            send(connection, "/waf/", expensive)
            time.sleep(pause[0])

    clients = [threading.Thread(target=hostile, daemon=True) for _ in range(8)]
    for client in clients:
        client.start()
    for _ in range(8):
        start, at = cpu_seconds(process), time.monotonic()
        time.sleep(0.5)
        used = (cpu_seconds(process) - start) / (time.monotonic() - at)
        pause[0] = min(2.0, max(0.005, pause[0] * used / 0.5))
    connection, times, end = http.client.HTTPConnection("127.0.0.1", port), [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        send(connection, "/plain/", requests()[0])
        times.append(time.monotonic() - start)
        time.sleep(0.002)
    stop.set()
    times.sort()
    print(f"{name:8} p99 of plain requests with 8 hostile clients: {times[len(times) * 99 // 100] * 1000:.2f} ms", flush=True)


def start(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            time.sleep(2)
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{command[0]} does not listen")


def margay(folder, binary, origin, rules):
    def route(prefix, waf):
        backend = {"Host": "127.0.0.1", "Port": origin}
        return {"UpstreamPathTemplate": prefix + "{rest}", "DownstreamPathTemplate": "/{rest}", "DownstreamScheme": "http",
                "DownstreamHostAndPorts": [backend], "Waf": waf}

    port = free_port()
    config = {"Routes": [route("/plain/", "Off"), route("/waf/", "Prevention")], "WafEngine": {"Rules": rules, "Log": "off"},
              "GlobalConfiguration": {}}
    (folder / "gateway.json").write_text(json.dumps(config))
    command = [binary, "run", "--config", str(folder / "gateway.json"), "--listen", f"127.0.0.1:{port}",
               "--admin", f"127.0.0.1:{free_port()}"]
    return start(command, port), port


def nginx(folder, origin, rules):
    port = free_port()
    (folder / "body").mkdir()
    for file in pathlib.Path(rules, "rules").glob("*.data"):
        shutil.copy(file, folder)
    (folder / "main.conf").write_text(MODSECURITY.format(rules=rules))
    (folder / "nginx.conf").write_text(NGINX.format(module=MODULE, dir=folder, origin=origin, port=port))
    return start(["nginx", "-c", str(folder / "nginx.conf")], port), port


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary", nargs="?", default=str(ROOT / "target/release/margay"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2)
    arguments = arguments.parse_args()
    directory = os.environ.get("MARGAY_CRS") or str(ROOT / "../shared/crs-4.28.0")
    has_rules = pathlib.Path(directory, "rules").is_dir()
    print(f"rules: {directory if has_rules else 'built-in; MARGAY_CRS names no rule set'}")
    with tempfile.TemporaryDirectory() as folder:
        folder, origin_port = pathlib.Path(folder), free_port()
        (folder / "origin").mkdir()
        text = (f"daemon off; worker_processes 1; pid {folder}/origin/pid; error_log {folder}/origin/error.log; events {{}}\n"
                f"http {{ access_log off; client_max_body_size 1m; client_body_temp_path {folder}/origin/body;\n"
                f"  server {{ listen 127.0.0.1:{origin_port}; location / {{ return 200 ok; }} }} }}")
        (folder / "origin/nginx.conf").write_text(text)
        processes = [start(["nginx", "-c", str(folder / "origin/nginx.conf")], origin_port)]
        try:
            processes.append(None)
            gateway, port = margay(folder, arguments.binary, origin_port, directory if has_rules else "built-in")
            processes[-1] = gateway
            measure("margay", gateway, port, arguments.rounds, arguments.seconds)
            latency("margay", gateway, port, 4 * arguments.seconds)
            if has_rules and MODULE.exists():
                other, port = nginx(folder, origin_port, directory)
                processes.append(other)
                measure("nginx", other, port, 1, arguments.seconds)
                latency("nginx", other, port, 4 * arguments.seconds)
            else:
                print("nginx: skipped, it needs libnginx-mod-http-modsecurity and a rule set")
        finally:
            for process in filter(None, processes):
                process.terminate()


if __name__ == "__main__":
    main()
