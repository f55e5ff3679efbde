"""A stand-in for the server's feed, only until the server has its own."""

from __future__ import annotations

import asyncio
import json

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketHandler


class Feed(WebSocketMixin, WebSocketHandler, JupyterHandler):
    exports = None

    async def get(self):
        if self.current_user is None:
            self.set_status(403)
            self.finish()
            return
        await super().get()

    def select_subprotocol(self, subprotocols):
        return "v1.feed.jupyter-export" if "v1.feed.jupyter-export" in subprotocols else None

    def open(self):
        self.queue = []

    async def on_message(self, text):
        message = json.loads(text)
        if message["type"] == "ping":
            self.tell({"type": "pong"})
        elif message["type"] == "hello":
            from jupyter_export.queue.store import Store

            app = self.settings["jupyter_export"]
            exports = self.exports = await app.ready()
            database = exports._database
            exports.listeners.append(self.hear)
            self.buffer = []
            since = message["since"]
            if message["epoch"] == database.epoch and since is not None:
                events = await database.call(Store.events_since, since)
                for event in events:
                    self.tell(event.to_json())
                self.seq = events[-1].seq if events else since
            else:
                self.seq = database.last_seq
                jobs = {j["id"]: j for j in await exports.list(limit=200)}
                jobs.update({j["id"]: j for j in await exports.active()})
                self.tell({
                    "type": "snapshot", "epoch": database.epoch, "seq": self.seq,
                    "jobs": list(jobs.values()), "progress": {},
                    "queue": await exports.queue_state(),
                })
            for m in self.buffer:
                self.pass_on(m)
            self.buffer = None

    def hear(self, message):
        if self.buffer is not None:
            self.buffer.append(message)
        else:
            self.pass_on(message)

    def pass_on(self, message):
        if message["type"] == "event" and message["seq"] <= self.seq:
            return
        self.tell(message)

    def tell(self, message):
        try:
            self.write_message(json.dumps(message))
        except Exception:
            pass

    def on_close(self):
        if self.exports and self.hear in self.exports.listeners:
            self.exports.listeners.remove(self.hear)


def _jupyter_server_extension_points():
    return [{"module": "aaa_feed"}]


def _load_jupyter_server_extension(serverapp):
    base = serverapp.web_app.settings["base_url"]
    serverapp.web_app.add_handlers(".*$", [(base + "jupyter-export/feed", Feed)])
