"""A view in a browser without a notebook: a server between the page and the widget in Python.

What the page sends goes through the widget's own comm, and what the widget sends comes back by it,
as in a notebook: only the kernel between them is left out.
"""

import base64
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from comm.base_comm import BaseComm

import edgelinear

SCRIPT = Path(edgelinear.__file__).parent / "viewer" / "static" / "view.js"
TRAITS = ("_meta", "_edges", "_edge_total", "_nodes", "_theme", "_view")
_PATIENCE = 20  # seconds until a page that waits for news asks anew

# The part of a front-end: a model with the traits of the widget, whose changes and messages go to
# and fro in the order in which they are made.
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>stage</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"></head>
<body style="margin: 0"><div id="cell"></div>
<script type="module">
import view from "/view.js";
const traits = await (await fetch("state")).json();
const listeners = new Map();
const changed = new Set();
let sent = Promise.resolve();
const emit = (event, ...given) => {
  for (const run of [...(listeners.get(event) ?? [])]) run(...given);
};
const say = (data) => {
  const body = JSON.stringify(data);
  sent = sent.then(() => fetch("say", { method: "POST", body }));
};
const set = (name, value) => {
  const isNew = JSON.stringify(traits[name]) !== JSON.stringify(value);
  traits[name] = value;
  if (isNew) emit(`change:${name}`);
};
const model = {
  get: (name) => traits[name],
  set: (name, value) => { changed.add(name); set(name, value); },
  save_changes: () => {
    const state = Object.fromEntries([...changed].map((name) => [name, traits[name]]));
    changed.clear();
    say({ method: "update", state, buffer_paths: [] });
  },
  on: (event, run) => listeners.set(event, [...(listeners.get(event) ?? []), run]),
  off: (event, run) =>
    listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== run)),
  send: (content) => say({ method: "custom", content }),
};
window.takeAway = view.render({ model, el: document.getElementById("cell") });
window.errors = [];
addEventListener("error", (event) => window.errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => window.errors.push(String(event.reason)));
for (;;) {
  for (const { data, buffers } of await (await fetch("hear")).json()) {
    if (data.method === "update") {
      for (const [name, value] of Object.entries(data.state)) if (name in traits) set(name, value);
    } else if (data.method === "custom") {
      const views = buffers.map((text) =>
        new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer));
      emit("msg:custom", data.content, views);
    }
  }
}
</script></body></html>
"""


class Wire(BaseComm):
    """The comm of a widget, whose other end is a page."""

    def __init__(self) -> None:
        self.news: queue.Queue = queue.Queue()
        self.is_cut = False  # as when a kernel is gone
        self.heard: list[dict] = []
        self.withheld = ""  # a kind of ask that waits for `release`
        self.waiting: list[dict] = []
        super().__init__(target_name="jupyter.widget")

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any
    ) -> None:
        if msg_type == "comm_msg":
            texts = [base64.b64encode(buffer).decode() for buffer in buffers or []]
            self.news.put({"data": data, "buffers": texts})

    def hear(self, data: dict) -> None:
        self.heard.append(data)
        kind = data.get("content", {}).get("ask", {}).get("kind")
        if kind is not None and kind == self.withheld:
            self.waiting.append(data)
        elif not self.is_cut:
            self.handle_msg({"content": {"data": data}, "buffers": []})

    def release(self) -> None:
        """Have Python hear what was withheld from it."""
        self.withheld, waiting, self.waiting = "", self.waiting, []
        for data in waiting:
            self.hear(data)

    def take(self) -> list[dict]:
        """Return what the widget has sent since, after a while nothing."""
        try:
            found = [self.news.get(timeout=_PATIENCE)]
        except queue.Empty:
            return []
        while not self.news.empty():
            found.append(self.news.get())
        return found


class Stage:
    """A server that shows views to a browser."""

    def __init__(self) -> None:
        self.views: list[tuple[Any, Wire]] = []
        self.lock = threading.RLock()  # a kernel does one thing at a time
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/view.js":
                    self.give(SCRIPT.read_text(encoding="utf-8"), "text/javascript")
                    return
                view, wire, what = stage.find(self.path)
                if what == "state":
                    self.give(json.dumps({name: getattr(view, name) for name in TRAITS}))
                elif what == "hear":
                    self.give(json.dumps(wire.take(), allow_nan=False))  # as Jupyter has it
                else:
                    self.give(PAGE, "text/html")

            def do_POST(self) -> None:
                _, wire, _ = stage.find(self.path)
                data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stage.lock:
                    wire.hear(data)
                self.give("{}")

            def give(self, text: str, kind: str = "application/json") -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # pages leave while they wait for news

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def find(self, path: str) -> tuple[Any, Wire, str]:
        number, _, what = path.strip("/").partition("/")
        view, wire = self.views[int(number)]
        return view, wire, what

    def show(self, view: Any) -> str:
        """Return the address at which a browser sees a view."""
        wire = Wire()
        view.comm = wire
        self.views.append((view, wire))
        return f"http://127.0.0.1:{self.server.server_port}/{len(self.views) - 1}/"

    def wire(self, view: Any) -> Wire:
        return next(wire for one, wire in self.views if one is view)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
