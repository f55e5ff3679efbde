"""Compile resample.c when the package is built; where no compiler is, Pillow does its work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = "jupyter_export/media/native"


class NativeBuild(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Hatch's hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the library beside its source, and say that the wheel is for this platform."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / HERE
        library = folder / "resample.so"
        library.unlink(missing_ok=True)
        compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
        if compiler is None or sys.platform == "win32":
            self.app.display_info("No C compiler: moving crops will be slower.")
            return
        part = library.with_suffix(".part")
        # Without contraction, so that the filters are rounded the same on every processor.
        how = [compiler, "-O3", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(part)]
        done = subprocess.run([*how, str(folder / "resample.c")], capture_output=True, text=True)
        if done.returncode:
            part.unlink(missing_ok=True)
            self.app.display_warning(f"Moving crops will be slower: {done.stderr.strip()}")
            return
        part.replace(library)
        build_data["artifacts"].append(f"{HERE}/resample.so")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
