"""The panel under a strict content security policy: it works, and violates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_support import RunningLab, new_context, open_lab, row, run_all, show_sidebar
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server_support import TOKEN, RunningServer, clip

CLIP = "subtitles_mov_text.mp4"

LISTEN = """
window.violations = [];
document.addEventListener('securitypolicyviolation', event => window.violations.push({
  directive: event.effectiveDirective, blocked: event.blockedURI,
  source: event.sourceFile, sample: event.sample, disposition: event.disposition }));
"""

#: What JupyterLab 4 itself cannot do without, and what anywidget needs for any widget.
LAB_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self' data:",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "frame-ancestors 'self'",
    ]
)
#: Reported, and read for what comes from our files: eval, styles by markup, other servers.
OUR_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' blob:"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(
        tmp_path_factory.mktemp("strict"),
        search=[str(Path(__file__).parents[1] / "strict_page")],
        **{"ServerApp.jpserver_extensions": {"jupyter_export": True, "strict_page": True}},
    )
    server.add(CLIP)
    yield server
    server.stop()


@pytest.fixture
def strict_page(strict: RunningServer, context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto(f"{strict.url}strict/?token={TOKEN}")
    page.wait_for_function("() => window.started")
    return page


def violations(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate("() => window.violations")
    return found


def test_the_panel_lives_under_the_strictest_policy_and_violates_nothing(
    strict: RunningServer, strict_page: Page
) -> None:
    page = strict_page
    job = strict.submit(clip(CLIP, "strict.mp4"))
    shown = row(page, job)
    expect(shown).to_have_attribute("data-state", "completed", timeout=60_000)
    # Styled, with a picture, and it plays.
    assert shown.evaluate("e => getComputedStyle(e).display") != "block"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jpx-Row img')].some(i => i.naturalWidth > 0)"
    )
    shown.get_by_label("Play").click()
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 1")
    shown.get_by_label("Details").click()
    page.locator("summary", has_text="Hardware").click()
    expect(page.get_by_text("libx264").last).to_be_visible()
    strict.post("queue/pause").raise_for_status()
    waiting = strict.submit(clip(CLIP, "strict_waiting.mp4"))
    row(page, waiting).get_by_label("Cancel").click()
    expect(row(page, waiting)).to_have_attribute("data-state", "cancelled")
    strict.post("queue/resume").raise_for_status()
    assert violations(page) == []


def test_the_policy_of_that_page_bites(strict_page: Page) -> None:
    """Else the test above would show nothing."""
    strict_page.evaluate(
        """() => {
          for (const text of ['<img src=x onerror="window.hit = 1">']) {
            try { document.body.innerHTML += text; } catch { }
          }
          const inline = document.createElement('script');
          try { inline.textContent = 'window.hit = 2'; document.body.append(inline); } catch { }
          const style = document.createElement('style');
          style.textContent = 'body { color: red }';
          document.head.append(style);
          new Image().src = 'https://elsewhere.example/x.png';
          fetch('https://elsewhere.example/x').catch(() => null);
        }"""
    )
    strict_page.wait_for_function("() => window.violations.length >= 5")
    told = {text.split()[0] for text in violations(strict_page)}
    assert {"require-trusted-types-for", "style-src-elem", "img-src", "connect-src"} <= told, told
    assert strict_page.evaluate("() => window.hit") is None


@pytest.fixture(scope="module")
def strict_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    headers = {
        "Content-Security-Policy": LAB_POLICY,
        "Content-Security-Policy-Report-Only": OUR_POLICY,
    }
    lab = RunningLab(
        tmp_path_factory.mktemp("strict-lab"),
        **{"ServerApp.tornado_settings": {"headers": headers}},
    )
    lab.add(CLIP)
    yield lab
    lab.stop()


def test_in_jupyterlab_under_a_policy_nothing_of_ours_is_reported(
    strict_lab: RunningLab, browser: Browser
) -> None:
    context = new_context(browser)
    context.add_init_script(LISTEN)
    try:
        strict_lab.notebook("panel.ipynb", "import jupyter_export as jx\njx.panel()")
        page = open_lab(context, strict_lab, "panel.ipynb")
        sidebar = show_sidebar(page)
        run_all(page)
        cell = page.locator(".jp-OutputArea .jpx-Panel")
        expect(cell).to_be_visible(timeout=60_000)
        job = strict_lab.submit(clip(CLIP, "policy.mp4"))
        for where in (sidebar, cell):
            expect(row(where, job)).to_have_attribute("data-state", "completed", timeout=60_000)
        row(sidebar, job).get_by_label("Play").click()
        page.wait_for_function("() => document.querySelector('.jpx-Panel video')?.readyState >= 1")
        page.evaluate("jupyterapp.commands.execute('docmanager:open', {path: 'panel.ipynb'})")
        found = violations(page)
        assert any(v["disposition"] == "report" for v in found), "nothing was reported at all"
        mine = [v for v in found if "jupyter-export" in v["source"] or "jpx" in v["sample"]]
        # Extensions bring their styles by script, as JupyterLab has it: no style is counted.
        mine = [v for v in mine if not v["directive"].startswith("style-src")]
        assert mine == []
        enforced = [v for v in found if v["disposition"] == "enforce"]
        assert [v for v in enforced if "jupyter-export" in v["source"]] == []
    finally:
        context.close()
