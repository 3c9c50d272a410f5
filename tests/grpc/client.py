"""Calls of grpcio against a target; prints what came of them as JSON.

client.py TARGET SCENARIO [ARGUMENT...]
"""
import json
import sys
import threading
import time

import grpc

target, scenario, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
size = 64 * 1024 * 1024
options = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size)]
channel = grpc.insecure_channel(target, options=options)


def plain(metadata):
    return {k: v if isinstance(v, str) else list(v) for k, v in metadata or ()}


def outcome(call):
    """Of a call that is over."""
    return {"code": call.code().name, "details": call.details(), "trailing": plain(call.trailing_metadata())}


def unary(method, body, **how):
    begin = time.monotonic()
    multi = channel.unary_unary(method)
    try:
        answer, call = multi.with_call(body, **how)
        found = {"answer": answer.decode("latin1"), "initial": plain(call.initial_metadata()), **outcome(call)}
    except grpc.RpcError as error:
        found = {"answer": None, "initial": plain(error.initial_metadata()), **outcome(error)}
    return {**found, "seconds": time.monotonic() - begin}


def stream(method, body, each=None, **how):
    begin, got = time.monotonic(), []
    call = channel.unary_stream(method)(body, **how)
    try:
        for message in call:
            got.append(message.decode("latin1"))
            if each:
                each(call, got)
    except grpc.RpcError:
        pass
    return {"got": got, **outcome(call), "seconds": time.monotonic() - begin}


def say(value):
    print(json.dumps(value), flush=True)


def timeout():
    return float(rest[1]) if len(rest) > 1 else None


if scenario == "echo":
    say(unary("/t.T/Echo", rest[0].encode(), metadata=(("x-mine", "1"), ("x-mine-bin", b"\x00\x01\xff")), timeout=20))
elif scenario == "call":
    say(unary(rest[0], (rest[2] if len(rest) > 2 else "").encode(), timeout=timeout()))
elif scenario == "large":
    n = int(rest[0])
    body = bytes(range(256)) * (n // 256)
    answer, call = channel.unary_unary("/t.T/Echo").with_call(body, timeout=60)
    say({"same": answer == body, "code": call.code().name})
elif scenario == "collect":
    lengths = [int(x) for x in rest]
    say(json.loads(channel.stream_unary("/t.T/Collect")((b"x" * n for n in lengths), timeout=60)))
elif scenario == "count":
    say(stream("/t.T/Count", rest[0].encode(), timeout=timeout()))
elif scenario == "chat":
    # Each message only after the answer to the one before.
    got, turn = [], threading.Semaphore(1)

    def questions():
        for i in range(int(rest[0])):
            turn.acquire()
            yield b"%d" % i

    call = channel.stream_stream("/t.T/Chat")(questions(), timeout=timeout() or 60)
    for message in call:
        got.append(message.decode())
        turn.release()
    say({"got": got, **outcome(call)})
elif scenario == "cancel":
    say(stream("/t.T/Hang", b"go", lambda call, got: call.cancel()))
elif scenario == "hang":
    say(stream("/t.T/Hang", rest[0].encode(), timeout=timeout()))
elif scenario == "follow":
    # Says each message as it comes, so that the test can act amid the stream.
    def each(call, got):
        print(got[-1], flush=True)

    say(stream("/t.T/Count", rest[0].encode(), each, timeout=timeout()))
elif scenario == "many":
    n = int(rest[0])
    calls = [channel.unary_stream("/t.T/Count")(b"5 20", timeout=60) for _ in range(n)]
    say(sum(len(list(call)) for call in calls))
elif scenario == "seen":
    say(json.loads(channel.unary_unary("/t.T/Seen")(b"", timeout=10)))
