"""The hardware report, and its cache in a file that a change of driver or library voids."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from .encoders import ENCODERS, Family
from .machine import Gpu, find_gpus, nvidia_driver, search_environment
from .probe import EncoderResult, probe_encoders
from .pytorch import Torch, installed_torch
from .reasons import with_models
from .trials import NVDEC, TORCH

__all__ = ["HardwareReport", "load", "make_report", "store"]

logger = logging.getLogger(__name__)

FORMAT = 2
QUIET_SECONDS = 4.0
"""What a trial gets where there is no GPU that could keep a driver busy while it starts, beside
what it waits for a core."""


@dataclass(frozen=True, kw_only=True)
class HardwareReport:
    """What this machine can do, and since when that is known."""

    versions: dict[str, str]
    """Of PyAV (``av``), FFmpeg and its libraries."""
    driver: str | None
    """The NVIDIA driver's version."""
    gpus: tuple[Gpu, ...]
    environment: dict[str, str]
    """What else decides which drivers are found."""
    encoders: tuple[EncoderResult, ...]
    """In the order of the table."""
    nvdec: EncoderResult
    """NVIDIA's decoder."""
    torch: Torch
    probed_at: datetime

    def find(self, name: str) -> EncoderResult | None:
        """The result for the encoder `name`, if it is in the report."""
        return next((result for result in self.encoders if result.name == name), None)

    @property
    def key(self) -> dict[str, Any]:
        """What the results depend on: another key, another probe."""
        return {
            "versions": self.versions,
            "driver": self.driver,
            "gpus": [gpu.to_json() for gpu in self.gpus],
            "environment": self.environment,
            "torch": self.torch.version,
        }

    @property
    def lasting(self) -> bool:
        """Whether every answer holds until the drivers or libraries change."""
        return all(result.lasting for result in (*self.encoders, self.nvdec))

    def covers(self, names: Sequence[str]) -> bool:
        """Whether each of `names` was tried."""
        return set(names) <= {result.name for result in self.encoders if result.tried}

    def with_results(self, results: Sequence[EncoderResult], probed_at: datetime) -> HardwareReport:
        """With `results` in place of those of the same names."""
        newer = {result.name: result for result in results}
        encoders = tuple(newer.get(result.name, result) for result in self.encoders)
        return replace(self, encoders=encoders, probed_at=probed_at)

    def completed(self, why_not: dict[str, str]) -> HardwareReport:
        """With a line for each encoder that was not tried; `why_not` has the reasons."""
        have = {result.name: result for result in self.encoders}
        for name, reason in why_not.items():
            have.setdefault(
                name,
                EncoderResult(name=name, usable=False, reason=f"not tried: {reason}", tried=False),
            )
        return replace(self, encoders=tuple(have[name] for name in ENCODERS if name in have))

    def to_json(self) -> dict[str, Any]:
        """For the cache and for REST."""
        return {
            **self.key,
            "encoders": [result.to_json() for result in self.encoders],
            "nvdec": self.nvdec.to_json(),
            "torch": self.torch.to_json(),
            "probed_at": self.probed_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            versions=dict(value["versions"]),
            driver=value["driver"],
            gpus=tuple(Gpu.from_json(gpu) for gpu in value["gpus"]),
            environment=dict(value["environment"]),
            encoders=tuple(EncoderResult.from_json(result) for result in value["encoders"]),
            nvdec=EncoderResult.from_json(value["nvdec"]),
            torch=Torch.from_json(value["torch"]),
            probed_at=datetime.fromisoformat(value["probed_at"]).astimezone(UTC),
        )


async def make_report(names: Sequence[str], limit: float) -> HardwareReport:
    """Look at the machine and try each of `names`, none longer than `limit` seconds.

    NVIDIA's decoder is tried with its encoders, and torch where it has a chance. With no names
    it tells only the versions and devices, that is the key.

    Raises:
        OSError: no child process can be started.
    """
    gpus = await find_gpus()
    driver = nvidia_driver() or next((g.driver for g in gpus if g.vendor == "NVIDIA"), None)
    torch = await asyncio.to_thread(installed_torch, driver)
    wanted = list(names)
    if any(ENCODERS[name].family is Family.NVENC for name in names):
        wanted.append(NVDEC)
    if names and not torch.reason:
        wanted.append(TORCH)
    probed = await probe_encoders(wanted, limit if gpus else min(limit, QUIET_SECONDS), most=limit)
    models = [gpu.name for gpu in gpus if gpu.vendor == "NVIDIA"]
    results = {
        result.name: replace(result, reason=with_models(result.reason, models))
        for result in probed.encoders
    }
    if TORCH in results:
        found = results.pop(TORCH)
        torch = replace(torch, usable=found.usable, reason=found.detail or found.reason)
    nvdec = results.pop(NVDEC, None) or EncoderResult(
        name=NVDEC, usable=False, reason="not tried: NVIDIA's encoders are not used", tried=False
    )
    return HardwareReport(
        versions=probed.versions,
        driver=driver,
        gpus=gpus,
        environment=search_environment(),
        encoders=tuple(results[name] for name in names),
        nvdec=nvdec,
        torch=torch,
        probed_at=datetime.now(UTC).replace(microsecond=0),
    )


def load(path: Path) -> HardwareReport | None:
    """The stored report; None when there is none, or none that can be understood. Blocks."""
    try:
        value = json.loads(path.read_text())
        if value["format"] != FORMAT:
            return None
        return HardwareReport.from_json(value["report"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("action=ignore-hardware-cache path=%s reason=%r", path, error)
        return None


def store(path: Path, report: HardwareReport) -> None:
    """Write `report` so that a reader finds the old file or the new one, never half. Blocks.

    A folder that cannot be written costs only the next start's time, so it is logged, not raised.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"format": FORMAT, "report": report.to_json()}, file, indent=1)
        Path(temporary).replace(path)
    except OSError as error:
        logger.warning("action=skip-hardware-cache path=%s reason=%r", path, error)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
