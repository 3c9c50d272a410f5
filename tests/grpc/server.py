"""A gRPC server without generated code: messages are bytes. Prints its port, then serves.

server.py [PORT] [KEY CERT]
"""
import json
import sys
import threading
import time
from concurrent import futures

import grpc

seen = {"calls": 0, "cancelled": 0, "remaining": None, "metadata": {}, "peers": [], "received": 0}


def note(context):
    seen["calls"] += 1
    seen["remaining"] = context.time_remaining()
    seen["metadata"] = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
    seen["peers"].append(context.peer())


def echo(request, context):
    note(context)
    context.send_initial_metadata((("x-init", "begin"), ("x-init-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-trail", "end"), ("x-trail-bin", b"\x01\xfe")))
    if request.startswith(b"fail:"):
        context.abort(grpc.StatusCode[request[5:].decode()], "no good: \u00fc 100 %")
    return request


def fail(request, context):
    """Trailers-only: nothing is sent before the status."""
    note(context)
    code, _, times = request.decode().partition(" ")
    if times and seen["calls"] > int(times):
        return b"fine"
    context.abort(grpc.StatusCode[code], "at once")


def collect(requests, context):
    note(context)
    lengths = [len(r) for r in requests]
    return json.dumps(lengths).encode()


def count(request, context):
    note(context)
    n, ms = (int(x) for x in request.split())
    for i in range(n):
        yield b"%d" % i
        time.sleep(ms / 1000)


def chat(requests, context):
    note(context)
    for request in requests:
        seen["received"] += 1
        yield b"re:" + request


def hang(request, context):
    note(context)
    ended = threading.Event()

    def gone():
        seen["cancelled"] += 1
        ended.set()

    context.add_callback(gone)
    if request:
        yield request
    ended.wait(60)


def ask(request, context):
    return json.dumps(seen).encode()


class Handler(grpc.GenericRpcHandler):
    kinds = {
        "/t.T/Echo": grpc.unary_unary_rpc_method_handler(echo),
        "/t.T/Fail": grpc.unary_unary_rpc_method_handler(fail),
        "/t.T/Collect": grpc.stream_unary_rpc_method_handler(collect),
        "/t.T/Count": grpc.unary_stream_rpc_method_handler(count),
        "/t.T/Chat": grpc.stream_stream_rpc_method_handler(chat),
        "/t.T/Hang": grpc.unary_stream_rpc_method_handler(hang),
        "/t.T/Seen": grpc.unary_unary_rpc_method_handler(ask),
    }

    def service(self, details):
        return self.kinds.get(details.method)


size = 64 * 1024 * 1024
options = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size), ("grpc.so_reuseport", 0)]
server = grpc.server(futures.ThreadPoolExecutor(300), handlers=(Handler(),), options=options)
where = "127.0.0.1:" + (sys.argv[1] if len(sys.argv) > 1 else "0")
if len(sys.argv) > 3:
    with open(sys.argv[2], "rb") as key, open(sys.argv[3], "rb") as cert:
        port = server.add_secure_port(where, grpc.ssl_server_credentials([(key.read(), cert.read())]))
else:
    port = server.add_insecure_port(where)
server.start()
print(port, flush=True)
server.wait_for_termination()
