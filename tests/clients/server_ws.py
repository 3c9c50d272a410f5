"""Sends back what comes; closes by itself when told to. Prints its port."""

import asyncio

import websockets


async def serve(socket, _path=None):
    # A close with a code of its own is no error.
    while True:
        try:
            message = await socket.recv()
        except websockets.ConnectionClosed:
            return
        if message == "close, please":
            await socket.close(4001, "as you say")
            return
        await socket.send(message)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=8 << 20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
