"""Many feed clients in one process: python feed_swarm.py URL TOKEN CLIENTS SECONDS.

They come and go at random, a tenth of them reads slowly. After SECONDS all stay and read on until
nothing comes any more, then what they know is compared with REST; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import socket
import struct
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

#: Seconds for which a client stays, and is away.
STAYS, AWAY = (0.5, 12.0), (0.0, 2.0)
#: Seconds that a slow client takes for one message.
SLOW_SECONDS = 0.25


class Client(asyncio.Protocol):
    """One client; `connection_lost` and `connection_made` come again and again."""

    def __init__(self, swarm: Swarm, number: int) -> None:
        self.swarm = swarm
        self.slow = number % 10 == 0
        self.rng = random.Random(number)
        self.epoch: str | None = None
        self.seq: int | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()
        self.buffer = bytearray()
        self.open = False
        self.waiting: list[dict[str, Any]] = []
        self.reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.open = transport, False
        self.buffer.clear()
        self.waiting.clear()
        self.closed.clear()
        key = base64.b64encode(os.urandom(16)).decode()
        at = self.swarm.address
        transport.write(
            f"GET {at.path}jupyter-export/feed HTTP/1.1\r\nHost: {at.netloc}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: v1.feed.jupyter-export\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: token {self.swarm.token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.reading:
            self.reading.cancel()
            self.reading = None
        self.closed.set()

    def say(self, message: dict[str, Any], opcode: int = 1) -> None:
        if self.transport is not None:
            data = json.dumps(message).encode()
            # A mask of zeros is a mask.
            self.transport.write(struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(data)) + data)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert b" 101 " in self.buffer[:20], bytes(self.buffer[:100])
            del self.buffer[: end + 4]
            self.open = True
            self.swarm.connections += 1
            self.say({"type": "hello", "epoch": self.epoch, "since": self.seq})
        self._frames()
        if self.slow and not self.swarm.final:
            if self.waiting and self.reading is None and self.transport is not None:
                self.transport.pause_reading()
                self.reading = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._slowly)
        else:
            self._all()

    def _all(self) -> None:
        for message in self.waiting:
            self.take(message)
        self.waiting.clear()

    def _slowly(self) -> None:
        self.reading = None
        if self.swarm.final:
            self._all()
        elif self.waiting:
            self.take(self.waiting.pop(0))
            if self.waiting:
                self.reading = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._slowly)
                return
        if self.transport is not None:
            self.transport.resume_reading()

    def _frames(self) -> None:
        view, at = self.buffer, 0
        while len(view) - at >= 2:
            opcode, size, head = view[at] & 0xF, view[at + 1], 2
            if size == 126 and len(view) - at >= 4:
                size, head = struct.unpack_from("!H", view, at + 2)[0], 4
            elif size == 127 and len(view) - at >= 10:
                size, head = struct.unpack_from("!Q", view, at + 2)[0], 10
            elif size > 125:
                break
            if len(view) - at < head + size:
                break
            data = bytes(view[at + head : at + head + size])
            at += head + size
            if opcode == 8:
                code = struct.unpack("!H", data[:2])[0] if data else 1005
                self.swarm.closes[code] = self.swarm.closes.get(code, 0) + 1
                if self.transport is not None:
                    self.transport.close()
            elif opcode == 1:
                self.waiting.append(json.loads(data))
        del view[:at]

    def take(self, message: dict[str, Any]) -> None:
        swarm = self.swarm
        swarm.messages[message["type"]] = swarm.messages.get(message["type"], 0) + 1
        swarm.heard_at = time.monotonic() if message["type"] != "ping" else swarm.heard_at
        match message["type"]:
            case "snapshot":
                self.epoch, self.seq = message["epoch"], message["seq"]
                self.jobs = {job["id"]: job for job in message["jobs"]}
            case "event":
                if message["seq"] != (self.seq or 0) + 1:
                    swarm.gaps += 1
                self.seq = message["seq"]
                if "job" in message:
                    self.jobs[message["job"]["id"]] = message["job"]
                    if message["event"] == "deleted":
                        del self.jobs[message["job"]["id"]]
            case "progress":
                self.jobs[message["job"]]["progress"] = message["progress"]
            case "positions":
                for id, place in message["positions"].items():
                    if id in self.jobs and self.jobs[id]["state"] == "queued":
                        self.jobs[id] |= dict(
                            zip(("queue_position", "waiting_for"), place, strict=True)
                        )
            case "ping":
                self.say({"type": "pong"})

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        at = self.swarm.address
        while True:
            connection = socket.socket()
            if self.slow:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, (at.hostname, at.port))
                await loop.create_connection(lambda: self, sock=connection)
            except OSError:
                connection.close()
                await asyncio.sleep(self.rng.uniform(*AWAY))
                continue
            stays = None if self.swarm.final else self.rng.uniform(*STAYS) * (1 + 4 * self.slow)
            try:
                async with asyncio.timeout(stays):
                    await self.closed.wait()
            except TimeoutError:
                if self.swarm.final:
                    await self.closed.wait()
                elif self.transport is not None:
                    self.transport.abort()
                    await self.closed.wait()
            await asyncio.sleep(0 if self.swarm.final else self.rng.uniform(*AWAY))


class Swarm:
    """All clients, and what they count."""

    def __init__(self, url: str, token: str, clients: int) -> None:
        self.url, self.token = url, token
        self.address = urlsplit(url)
        self.final = False
        self.connections = self.gaps = 0
        self.messages: dict[str, int] = {}
        self.closes: dict[int, int] = {}
        self.heard_at = 0.0
        self.clients = [Client(self, n) for n in range(clients)]

    async def run(self, seconds: float) -> dict[str, Any]:
        tasks = [asyncio.create_task(client.live()) for client in self.clients]
        await asyncio.sleep(seconds)
        self.final = True
        async with httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"token {self.token}"}, trust_env=False
        ) as http:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                await asyncio.sleep(0.5)
                health = (await http.get("jupyter-export/health", timeout=60)).json()
                quiet = health["queue"]["state"] == "draining" and not health["queue"]["running"]
                if quiet and time.monotonic() - self.heard_at > 3:
                    break
            truth: dict[str, dict[str, Any]] = {}
            query: dict[str, Any] = {"limit": 500}
            while True:
                page = (await http.get("jupyter-export/jobs", params=query, timeout=60)).json()
                truth |= {job["id"]: job for job in page["jobs"]}
                if page["next"] is None:
                    break
                query["before"] = page["next"]
        for task in tasks:
            task.cancel()
        wrong = [self._differs(client, truth, health["seq"]) for client in self.clients]
        return {
            "clients": len(self.clients),
            "slow": sum(client.slow for client in self.clients),
            "connections": self.connections,
            "jobs": len(truth),
            "gaps": self.gaps,
            "diverged": sum(map(bool, wrong)),
            "why": [text for text in wrong if text][:5],
            "messages": self.messages,
            "closes": self.closes,
            "cpu": time.process_time(),
        }

    def _differs(self, client: Client, truth: dict[str, Any], seq: int) -> str:
        if client.seq != seq:
            return f"at {client.seq}, not {seq}"
        for id, job in truth.items():
            if job["state"] in {"queued", "running", "publishing"} and id not in client.jobs:
                return f"{id} is {job['state']} and not known"
        finished = [j for j in truth.values() if j["finished_at"]]
        finished.sort(key=lambda j: str(j["finished_at"]), reverse=True)
        for job in finished[:150]:
            if job["id"] not in client.jobs:
                return f"{job['id']} finished lately and is not known"
        for id, job in client.jobs.items():
            if job != truth.get(id):
                return f"{id}: {job} is not {truth.get(id)}"
        return ""


if __name__ == "__main__":
    swarm = Swarm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.stdout.write(json.dumps(asyncio.run(swarm.run(float(sys.argv[4])))) + "\n")
