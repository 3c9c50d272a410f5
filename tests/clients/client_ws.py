"""The library websockets through a proxy: argument 1 is the URL."""

import asyncio
import sys

import websockets


async def main():
    async with websockets.connect(sys.argv[1], max_size=8 << 20) as socket:
        await socket.send("text \u00e9")
        assert await socket.recv() == "text \u00e9"
        await socket.send(bytes(range(256)))
        assert await socket.recv() == bytes(range(256))
        for size in (1 << 20, (4 << 20) + 1):
            large = bytes(i % 251 for i in range(1 << 16)) * (size >> 16) + b"!"
            await socket.send(large)
            assert await socket.recv() == large
        await socket.send("x" * (1 << 20))
        assert len(await socket.recv()) == 1 << 20
        await asyncio.wait_for(await socket.ping(), 5)
        # Many small ones before any is read.
        for i in range(1000):
            await socket.send(str(i))
        for i in range(1000):
            assert await socket.recv() == str(i)
        print("echo")
        await socket.close(4000, "enough")
        assert socket.close_code == 4000, socket.close_code
    async with websockets.connect(sys.argv[1]) as socket:
        await socket.send("close, please")
        try:
            await socket.recv()
            raise SystemExit("it is still open")
        except websockets.ConnectionClosed:
            pass
        assert (socket.close_code, socket.close_reason) == (4001, "as you say")
    print("done")


asyncio.run(main())
