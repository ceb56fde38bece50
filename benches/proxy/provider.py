#!/usr/bin/env python3
"""An OpenID Connect provider for the bench: it signs in every browser, and every token is active.

Usage: provider.py PORT FOLDER, where the folder gets its key.
"""

import base64
import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
ISSUER, KEY = f"http://127.0.0.1:{PORT}", f"{FOLDER}/provider.pem"


def openssl(*arguments, text=b""):
    return subprocess.run(["openssl", *arguments], input=text, check=True, stdout=subprocess.PIPE).stdout


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def id_token(nonce):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "bench", "sub": "bench", "nonce": nonce, "iat": now, "exp": now + 3600}
    header = {"alg": "RS256", "kid": "bench", "typ": "JWT"}
    signed = f"{url64(json.dumps(header).encode())}.{url64(json.dumps(claims).encode())}"
    return f"{signed}.{url64(openssl('dgst', '-sha256', '-sign', KEY, text=signed.encode()))}"


class Provider(BaseHTTPRequestHandler):
    nonce = ""

    def do_GET(self):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/.well-known/openid-configuration":
            names = ["authorization", "token", "introspection"]
            endpoints = {f"{name}_endpoint": f"{ISSUER}/{name}" for name in names}
            return self.reply({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", **endpoints})
        if url.path == "/keys":
            modulus = bytes.fromhex(openssl("rsa", "-in", KEY, "-noout", "-modulus").decode().strip().split("=")[1])
            return self.reply({"keys": [{"kty": "RSA", "kid": "bench", "n": url64(modulus), "e": "AQAB"}]})
        Provider.nonce = query.get("nonce", "")
        self.send_response(302)
        callback = urlencode({"code": "bench", "state": query.get("state", "")})
        self.send_header("Location", f"{query.get('redirect_uri', '')}?{callback}")
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/introspection":
            return self.reply({"active": True, "sub": "bench", "exp": int(time.time()) + 86400})
        self.reply({
            "access_token": "bench", "token_type": "Bearer", "expires_in": 86400, "id_token": id_token(Provider.nonce),
        })

    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", KEY)
ThreadingHTTPServer(("127.0.0.1", PORT), Provider).serve_forever()
