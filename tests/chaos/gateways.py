"""Starts margay, nginx or HAProxy in front of the same backends, each with its defaults and the same limits."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile

LIMITED_CONNECTIONS = 20


def free_port():
    """A free port below the ephemeral range (ip_local_port_range): no outgoing connection can take it before the gateway binds it."""
    for port in random.sample(range(12000, 32000), 200):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no free port between 12000 and 32000")


class Gateway:
    """A gateway process. `port` speaks HTTP/1.1, `h2_port` HTTP/2 with prior knowledge; both have the same routes."""

    def __init__(self, name, binary, backend_ports, descriptors=4096, log=None, dns=None, registry=None, env=None):
        self.name, self.binary, self.backends, self.descriptors = name, binary, backend_ports, descriptors
        self.log, self.dns, self.registry, self.env = log, dns, registry, env or {}
        self.dir = tempfile.mkdtemp(prefix="chaos-")
        self.port, self.admin = free_port(), free_port()
        self.h2_port = self.port if name == "margay" else free_port()
        self.process = None

    def command(self):
        return {"margay": self.margay, "nginx": self.nginx, "haproxy": self.haproxy}[self.name]()

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def margay(self):
        hosts = [{"Host": "127.0.0.1", "Port": port} for port in self.backends]

        def route(path, **more):
            return {"UpstreamPathTemplate": path, "DownstreamPathTemplate": path, "DownstreamScheme": "http",
                    "DownstreamHostAndPorts": hosts, "LoadBalancerOptions": {"Type": "RoundRobin"}, "RetryOptions": {"Attempts": 2, "BudgetMinimum": 100}, **more}

        limited = {"HttpHandlerOptions": {"MaxConnectionsPerServer": LIMITED_CONNECTIONS}}
        routes = [route("/"), route("/big"), route("/slow"), route("/work", **limited), route("/limited", **limited),
                  route("/unresolved", DownstreamHostAndPorts=[{"Host": "backend.chaos.test", "Port": 80}])]
        config = {"Routes": routes, "GlobalConfiguration": {}}
        if self.registry:
            routes += [route("/discovered", ServiceName="shop"), route("/unlisted", ServiceName="unlisted")]
            for discovered in routes[-2:]:
                del discovered["DownstreamHostAndPorts"]
            provider = {"Type": "Consul", "Scheme": "http", "Host": "127.0.0.1", "Port": self.registry}
            config["GlobalConfiguration"]["ServiceDiscoveryProvider"] = provider
        if self.log:
            config["AccessLog"] = True
        if self.dns:
            config["Dns"] = {"Servers": [self.dns], "Timeout": "2s"}
        file = self.write("gateway.json", json.dumps(config))
        return [self.binary, "run", "--config", file, "--listen", f"127.0.0.1:{self.port}",
                "--admin", f"127.0.0.1:{self.admin}", "--threads", "2"]

    def nginx(self):
        servers = "".join(f"server 127.0.0.1:{port};" for port in self.backends)
        limited = "".join(f"server 127.0.0.1:{port} max_conns={LIMITED_CONNECTIONS};" for port in self.backends)
        resolver = f"resolver {self.dns} valid=1s; resolver_timeout 2s;" if self.dns else ""
        unresolved = 'location /unresolved { set $name backend.chaos.test; proxy_pass http://$name; }' if self.dns else ""
        log = f"access_log {self.log};" if self.log else "access_log off;"
        file = self.write("nginx.conf", f"""
daemon off; worker_processes 2; worker_rlimit_nofile {self.descriptors}; pid {self.dir}/pid; error_log {self.dir}/error.log;
events {{ worker_connections {self.descriptors // 2}; }}
http {{
  {log} client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy; {resolver}
  fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  upstream all {{ zone a 64k; {servers} keepalive 64; }}
  upstream limited {{ zone l 64k; {limited} keepalive 20; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096; listen 127.0.0.1:{self.h2_port} http2 backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://all; }}
    location /limited {{ proxy_pass http://limited; }}
    location /work {{ proxy_pass http://limited; }}
    {unresolved}
  }}
}}""")
        return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-p", self.dir, "-c", file]

    def haproxy(self):
        def servers(more=""):
            return "\n".join(f"  server s{n} 127.0.0.1:{port} {more}" for n, port in enumerate(self.backends))

        file = self.write("haproxy.cfg", f"""
global
  nbthread 2
  maxconn {(self.descriptors - 100) // 2}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 1s
  timeout http-request 10s
frontend f
  bind 127.0.0.1:{self.port}
  bind 127.0.0.1:{self.h2_port} proto h2
  use_backend limited if {{ path_beg /limited /work }}
  default_backend all
backend all
  balance roundrobin
  http-reuse always
  retry-on conn-failure empty-response
  option redispatch
{servers()}
backend limited
  balance roundrobin
{servers(f"maxconn {LIMITED_CONNECTIONS}")}
""")
        return [shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-f", file]

    async def start(self, stdout=subprocess.DEVNULL, stderr=None):
        command = ["prlimit", f"--nofile={self.descriptors}:{self.descriptors}", *self.command()]
        if stderr is None:
            stderr = open(os.path.join(self.dir, "stderr"), "wb")
        if self.log and self.name == "margay":
            stdout = open(self.log, "wb")
        self.process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=self.dir, env={**os.environ, **self.env})
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return self
            except OSError:
                await asyncio.sleep(0.05)
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} exited with status {self.process.returncode}: {self.errors()}")
        raise RuntimeError(f"{self.name} does not listen on port {self.port}: {self.errors()}")

    def errors(self):
        """The end of what the process wrote to stderr, if that is a file of this run."""
        try:
            with open(os.path.join(self.dir, "stderr"), encoding="utf-8", errors="replace") as file:
                return file.read()[-2000:]
        except OSError:
            return f"see {self.dir}"

    def rss_kib(self):
        """The resident memory of the process and its children."""
        total = 0
        for pid in [self.process.pid, *self.children()]:
            try:
                with open(f"/proc/{pid}/status", encoding="ascii") as status:
                    total += next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)
            except OSError:
                pass
        return total

    def children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def terminate(self):
        """A graceful stop, in the words of each gateway: SIGTERM, for nginx SIGQUIT, for HAProxy SIGUSR1."""
        self.process.send_signal({"nginx": signal.SIGQUIT, "haproxy": signal.SIGUSR1}.get(self.name, signal.SIGTERM))

    def kill(self):
        """SIGKILL for the process and its children."""
        for pid in [*self.children(), self.process.pid]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
