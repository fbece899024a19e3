"""TCP links between members of the system and what they speak to, which can be held, cut or slowed.

As a program: a process of its own (the bots have this interpreter to themselves), told by lines of JSON on stdin, answering by lines on stdout.
As a module: `Links` starts and tells it.
"""

import asyncio
import contextlib
import json
import struct
import subprocess
import sys
import threading

# pass: all of it; hold: nothing gets through, and what was under way comes late; requests, answers: one direction is held; cut: connections
# are reset, and new ones are refused.
MODES = {"pass": (), "hold": ("requests", "answers"), "requests": ("requests",), "answers": ("answers",), "cut": ()}
CHUNK = 1 << 16
UNDER_WAY = 64  # chunks of a direction that are delayed at once


class Link:
    """From a port of our own to a target. A Kafka's answers name brokers by their ports: they get the ports of the links that lead there."""

    def __init__(self, target, ports):
        self.target = target
        self.ports = ports  # {real port: link's port}, empty when it is no Kafka; filled in once all are bound
        self.is_kafka = ports is not None
        self.mode = "pass"
        self.delay_s = 0.0
        self.touched = 0  # chunks and connections that the mode has kept or slowed
        self.changed = asyncio.Event()
        self.writers = set()
        self.server = None

    async def open(self):
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    def set(self, mode, delay_s):
        self.mode, self.delay_s, self.touched = mode, delay_s, 0
        self.changed.set()
        self.changed = asyncio.Event()
        if mode == "cut":
            for writer in self.writers:
                self.touched += 1
                writer.transport.abort()

    async def _gate(self, direction):
        told = False
        while direction in MODES[self.mode]:
            self.touched += not told
            told = True
            await self.changed.wait()

    async def _accept(self, reader, writer):
        if self.mode == "cut":
            self.touched += 1
            writer.transport.abort()
            return
        await self._gate("requests")
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self.writers |= pair
        pumps = [asyncio.ensure_future(self._pump("requests", reader, far_writer)), asyncio.ensure_future(self._pump("answers", far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.writers -= pair
            for one in pair:
                if self.mode == "cut":
                    one.transport.abort()
                else:
                    one.close()  # once what it has is sent

    async def _pump(self, direction, source, sink):
        """Taking and giving with a queue between them: chunks are delayed side by side, not one after the other."""
        queue = asyncio.Queue(UNDER_WAY)
        clock = asyncio.get_running_loop().time

        async def take():
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while chunk := await self._read(direction, source):
                    self.touched += self.delay_s > 0
                    await queue.put((clock() + self.delay_s, chunk))
            await queue.put((0, None))

        async def give():
            with contextlib.suppress(OSError):
                while True:
                    due, chunk = await queue.get()
                    if chunk is None:
                        return
                    if due > clock():
                        await asyncio.sleep(due - clock())
                    await self._gate(direction)
                    sink.write(chunk)
                    await sink.drain()

        taking = asyncio.ensure_future(take())
        try:
            await give()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _read(self, direction, source):
        if direction == "requests" or not self.is_kafka:
            return await source.read(CHUNK)
        head = await source.readexactly(4)
        answer = await source.readexactly(*struct.unpack(">i", head))
        for real, ours in self.ports.items():
            answer = answer.replace(b"127.0.0.1" + struct.pack(">i", real), b"127.0.0.1" + struct.pack(">i", ours))
        return head + answer


async def serve(plan):
    """`plan`: {name: {"target": [host, port], "kafka": name of a group of links or null}}."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    groups = {entry["kafka"]: {} for entry in plan.values()}
    links = {name: Link(entry["target"], groups[entry["kafka"]] if entry["kafka"] else None) for name, entry in plan.items()}
    ports = {name: await link.open() for name, link in links.items()}
    for name, entry in plan.items():
        groups[entry["kafka"]][entry["target"][1]] = ports[name]
    print(json.dumps(ports), flush=True)
    while line := await lines.readline():
        wish = json.loads(line)
        for name in wish["links"]:
            if "mode" in wish:
                links[name].set(wish["mode"], wish["delay_s"])
        print(json.dumps(sum(links[name].touched for name in wish["links"])), flush=True)


class Links:
    """Any thread may tell it."""

    def __init__(self, plan):
        """`plan`: {name: (host, port, group or None)}; links of a group lead to the brokers of one Kafka."""
        entries = {name: {"target": [host, port], "kafka": group} for name, (host, port, group) in plan.items()}
        self.process = subprocess.Popen([sys.executable, "-B", __file__, json.dumps(entries)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()
        self.ports = json.loads(self.process.stdout.readline())

    def _tell(self, **wish):
        with self.lock:
            print(json.dumps(wish), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())

    def set(self, names, mode, delay_s=0.0):
        self._tell(links=list(names), mode=mode, delay_s=delay_s)

    def touched(self, names):
        """How often the present modes of these have been felt."""
        return self._tell(links=list(names))

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
