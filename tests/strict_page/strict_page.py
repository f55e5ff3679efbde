"""A Jupyter server extension for a test: a page under the strictest policy that shows the panel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

import jupyter_export

STATIC = Path(jupyter_export.__file__).parent / "static"

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)

START = """
window.violations = [];
document.addEventListener('securitypolicyviolation', event =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`));
const { default: widget } = await import('./widget.js');
const values = { key: 'strict', kernel: 'none', project: '', selected: '' };
const model = {
  get: name => values[name],
  set: (name, value) => { values[name] = value; },
  save_changes() {}, on() {}, off() {}, send() {}
};
widget.initialize({ model });
widget.render({ model, el: document.getElementById('panel') });
window.started = true;
"""


class StrictPage(JupyterHandler):
    @web.authenticated
    def get(self, name: str) -> None:
        content, kind = {
            "": (self._page(), "text/html"),
            "start.js": (START, "text/javascript"),
            "widget.js": ((STATIC / "widget.js").read_text(), "text/javascript"),
            "widget.css": ((STATIC / "widget.css").read_text(), "text/css"),
            # What the policy is there for: shows that it is in force.
            "evil.js": (
                "document.body.insertAdjacentHTML('beforeend', '<p>in</p>')",
                "text/javascript",
            ),
        }[name]
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(content.encode())

    def _page(self) -> str:
        config = json.dumps({"baseUrl": self.base_url})
        assert self.xsrf_token  # the page gets its cookie
        return (
            "<!doctype html><html><head><title>strict</title>"
            '<link rel="stylesheet" href="widget.css">'
            f'<script id="jupyter-config-data" type="application/json">{config}</script>'
            '<script type="module" src="start.js"></script></head>'
            '<body><div id="panel"></div></body></html>'
        )


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "strict_page"}]


def _load_jupyter_server_extension(app: Any) -> None:
    base = app.web_app.settings["base_url"]
    app.web_app.add_handlers(".*$", [(url_path_join(base, r"strict/([a-z.]*)"), StrictPage)])
