#!/usr/bin/env python3
"""Costs of shared state: CPU of the gateway per request with a local limit, a shared limit with leases, and one that is
counted on Redis for each request, next to nginx with Lua and the same script on the same Redis; and a hit of the shared
cache on Redis next to a plain route.

    benches/shared_state/run.py [target/release/margay] [--rounds 5] [--seconds 3]
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "src/stages/rate_limit/shared/acquire.lua"
CONNECTIONS = 64
LIMIT = 1_000_000_000

NGINX = """
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log; events {{ worker_connections 1024; }}
http {{
  access_log off; lua_package_path "/usr/share/lua/5.1/?.lua;;";
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; }}
  init_worker_by_lua_block {{ sha = "{sha}" }}
  server {{ listen 127.0.0.1:{port};
    location / {{
      access_by_lua_block {{
        local words = {{ "EVALSHA", sha, "1", "bench:nginx", "1", "0", "4", "0", "w", "{limit}", "86400000000000", "0", "-" }}
        local text = {{ "*" .. #words .. "\\r\\n" }}
        for _, word in ipairs(words) do text[#text + 1] = "$" .. #word .. "\\r\\n" .. word .. "\\r\\n" end
        local redis = ngx.socket.tcp()
        redis:settimeout(1000)
        assert(redis:connect("127.0.0.1", {redis}))
        assert(redis:send(table.concat(text)))
        local head = assert(redis:receive())
        local values = {{}}
        for at = 1, tonumber(string.sub(head, 2)) do
          local line = assert(redis:receive())
          if string.sub(line, 1, 1) == "$" then line = assert(redis:receive()) end
          values[at] = line
        end
        redis:setkeepalive(10000, 64)
        if values[1] ~= ":1" then ngx.exit(429) end
      }}
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://origin;
    }}
  }}
}}
"""

ORIGIN = """
daemon off; worker_processes 1; pid {dir}/origin.pid; error_log {dir}/origin.log; events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{port}; location / {{ add_header Cache-Control "max-age=3600"; return 200 "{body}"; }} }} }}
"""


def free_port():
    for port in random.sample(range(12000, 32000), 200):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no free port between 12000 and 32000")


def wait_port(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def cpu_seconds(pid):
    """CPU time of a process and its children."""
    pids, total = [pid], 0
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    for each in pids + [int(child) for child in children]:
        fields = pathlib.Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, margay, seconds):
        self.margay, self.seconds = margay, seconds
        self.dir = tempfile.mkdtemp(prefix="bench-state-")
        self.processes = []
        self.redis, self.origin = free_port(), free_port()
        cores = os.cpu_count()
        self.load = ["taskset", "-c", "0"] if cores > 1 else []
        self.proxy = ["taskset", "-c", "1"] if cores > 1 else []
        self.start(self.load + ["redis-server", "--port", str(self.redis), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", self.dir])
        wait_port(self.redis)
        sha = subprocess.run(["redis-cli", "-p", str(self.redis), "-x", "SCRIPT", "LOAD"], input=SCRIPT.read_text(), capture_output=True, text=True, check=True)
        self.sha = sha.stdout.strip()
        conf = self.write("origin.conf", ORIGIN.format(dir=self.dir, port=self.origin, body="x" * 1024))
        self.start(self.load + ["nginx", "-c", conf, "-e", f"{self.dir}/origin.log"])
        wait_port(self.origin)

    def start(self, command):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir)
        self.processes.append(process)
        return process

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        pathlib.Path(path).write_text(text, encoding="utf-8")
        return path

    def gateway(self, name, route, rest):
        port = free_port()
        document = {"Routes": [{
            "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}", "DownstreamScheme": "http",
            "DownstreamHostAndPorts": [{"Host": "127.0.0.1", "Port": self.origin}], **route,
        }], "SharedState": {"Url": f"redis://127.0.0.1:{self.redis}", "Timeout": "250ms", "Prefix": name}, **rest}
        file = self.write(f"{name}.json", json.dumps(document))
        process = self.start(self.proxy + [self.margay, "run", "--config", file, "--listen", f"127.0.0.1:{port}",
                                           "--admin", f"127.0.0.1:{free_port()}", "--threads", "1"])
        wait_port(port)
        time.sleep(0.5)
        return process.pid, port

    def nginx(self):
        port = free_port()
        conf = self.write("nginx.conf", NGINX.format(dir=self.dir, port=port, origin=self.origin, redis=self.redis, sha=self.sha, limit=LIMIT))
        process = self.start(self.proxy + ["nginx", "-c", conf, "-e", f"{self.dir}/error.log"])
        wait_port(port)
        return process.pid, port

    def measure(self, pid, port, script=None):
        """CPU microseconds per request, requests per second, p99 in milliseconds."""
        before = cpu_seconds(pid)
        extra = ["-s", script] if script else []
        command = self.load + ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", "--latency", *extra, f"http://127.0.0.1:{port}/a"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used = cpu_seconds(pid) - before
        requests = int(next(line.split()[0] for line in text.splitlines() if "requests in" in line))
        if "Non-2xx" in text:
            raise RuntimeError(text)
        p99 = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("99%"))
        return used / requests * 1e6, requests / self.seconds, p99

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("margay", nargs="?", default="target/release/margay")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=3)
    options = arguments.parse_args()
    bench = Bench(os.path.abspath(options.margay), options.seconds)
    limit = {"Limit": LIMIT, "Period": "1d", "PartitionBy": ["Route"], "EnableHeaders": False}
    # Requests for 20,000 URLs, of which few fit into the memory of the gateway, so that nearly all are hits on Redis; the
    # warm-up fills Redis. The plain row that they are compared with requests the same URLs.
    unique = bench.write("unique.lua", "local n = 0\nrequest = function() n = n + 1 return wrk.format('GET', '/a?n=' .. n % 20000, { Host = 'gw' }) end")
    cache = {"Cache": {"Shared": True, "MaxSize": "1MiB"}}
    cached = {"CacheOptions": {"Mode": "Http"}}
    try:
        rows = {
            "plain": (*bench.gateway("plain", {}, {}), None),
            "plain, 20,000 URLs": (*bench.gateway("urls", {}, {}), unique),
            "local limit": (*bench.gateway("local", {"RateLimitOptions": limit}, {}), None),
            "shared limit, leases": (*bench.gateway("leases", {"RateLimitOptions": {**limit, "Scope": "Shared"}}, {}), None),
            "shared limit, Lease 1": (*bench.gateway("exact", {"RateLimitOptions": {**limit, "Scope": "Shared", "Lease": "1"}}, {}), None),
            "nginx with Lua": (*bench.nginx(), None),
            "hit on Redis": (*bench.gateway("cache", cached, cache), unique),
        }
        for pid, port, script in rows.values():
            bench.measure(pid, port, script)
        results = {name: [] for name in rows}
        for _ in range(options.rounds):
            for name, row in rows.items():
                results[name].append(bench.measure(*row))
        median = {name: statistics.median(cpu for cpu, _, _ in all) for name, all in results.items()}
        for name, all in results.items():
            rate = statistics.median(rate for _, rate, _ in all)
            print(f"{name:24} {median[name]:7.2f} us/request {rate:9.0f} requests/s   p99 {all[-1][2]}")
        print(f"leases over the local limit: {median['shared limit, leases'] - median['local limit']:+.2f} us (at most 1.5)")
        exact = median["shared limit, Lease 1"] / median["nginx with Lua"]
        print(f"Lease 1 against nginx with Lua: {exact:.2f} (at most 0.70)")
        print(f"hit on Redis against the plain route: {median['hit on Redis'] / median['plain, 20,000 URLs']:.2f} (at most 1.50)")
    finally:
        bench.stop()


if __name__ == "__main__":
    sys.exit(main())
