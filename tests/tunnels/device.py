#!/usr/bin/env python3
"""A device of device streams: MQTT with the library paho-mqtt, bridges with websocket-client.

Usage: device.py PORT ID TOKEN CA MODE [TARGET]

MODE is `accept`, `refuse` or `silent`. A bridge is joined to TARGET (`host:port`), or returns what it receives. Prints a line
for each event.
"""

import socket
import ssl
import sys
from threading import Thread
from urllib.parse import unquote

import paho.mqtt.client as mqtt
import websocket

PORT, ID, TOKEN, CA, MODE, *TARGET = sys.argv[1:]


def echo(bridge):
    while data := bridge.recv():
        bridge.send_binary(data)


def forward(bridge, target):
    host, port = target.rsplit(":", 1)
    peer = socket.create_connection((host, int(port)), 10)
    peer.settimeout(None)

    def send():
        while data := peer.recv(1 << 16):
            bridge.send_binary(data)
        bridge.close(status=1000, timeout=0)

    Thread(target=send, daemon=True).start()
    while data := bridge.recv():
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)


def join(url, token):
    bridge = websocket.create_connection(
        url, header=[f"Authorization: Bearer {token}"], sslopt={"context": ssl.create_default_context(cafile=CA)}, timeout=60
    )
    try:
        forward(bridge, TARGET[0]) if TARGET else echo(bridge)
        print("closed", flush=True)
    except (OSError, websocket.WebSocketException) as error:
        print(f"failed {error}", flush=True)


def on_message(client, _, message):
    fields = dict(pair.split("=", 1) for pair in message.topic.split("?", 1)[1].split("&"))
    print(f"requested {message.topic.split('/')[3]}", flush=True)
    if MODE == "silent":
        return
    status = 200 if MODE == "accept" else 400
    client.publish(f"$iothub/streams/res/{status}/?$rid={fields['$rid']}")
    if MODE == "accept":
        Thread(target=join, args=(unquote(fields["$url"]), fields["$auth"]), daemon=True).start()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=ID, clean_session=False, protocol=mqtt.MQTTv311)
client.username_pw_set(f"localhost/{ID}/?api-version=2018-08-30-preview", TOKEN)
client.tls_set(CA)
client.on_connect = lambda client, *_: client.subscribe("$iothub/streams/POST/#")
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.on_message = on_message
client.connect("localhost", int(PORT))
client.loop_forever()
