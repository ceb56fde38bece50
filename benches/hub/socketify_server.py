"""A bare fan-out on socketify (µWebSockets): every text message goes to all members of the group in the URL."""

import os

from socketify import App, AppListenOptions, OpCode


def upgrade(response, request, context):
    key, version = request.get_header("sec-websocket-key"), None
    response.upgrade(key, version, None, context, request.get_query("group"))


def opened(socket):
    socket.subscribe(socket.get_user_data())


def received(socket, message, opcode):
    socket.publish(socket.get_user_data(), message, OpCode.TEXT)


app = App()
app.ws("/*", {"compression": 0, "idle_timeout": 0, "upgrade": upgrade, "open": opened, "message": received})
app.listen(AppListenOptions(port=int(os.environ["BENCH_PORT"]), host="127.0.0.1"), lambda _: None)
app.run()
