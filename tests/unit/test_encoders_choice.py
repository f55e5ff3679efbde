"""Which encoder a job gets, and the reason that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from jupyter_export.errors import EncoderUnavailable
from jupyter_export.hardware.choice import Choice, decide
from jupyter_export.hardware.doctor import to_json, to_lines
from jupyter_export.hardware.encoders import ENCODERS, Family
from jupyter_export.hardware.machine import Gpu
from jupyter_export.hardware.probe import EncoderResult
from jupyter_export.hardware.pytorch import Torch
from jupyter_export.hardware.reasons import NOT_BUILT, Trouble, explain, judge, with_models
from jupyter_export.hardware.report import HardwareReport
from jupyter_export.settings import Settings
from jupyter_export.spec import Encoding, Quality

DEFAULT = ("nvenc", "qsv", "amf", "software")
NO_DRIVER = "no NVIDIA driver (libcuda.so.1 is missing)"


def report(*usable: str) -> HardwareReport:
    """A machine on which exactly `usable` can be used."""
    return HardwareReport(
        versions={"av": "18.1.0", "ffmpeg": "8.1.2"},
        driver=None,
        gpus=(Gpu(name="Tesla T4", vendor="NVIDIA", driver="570.1"),),
        environment={},
        nvdec=EncoderResult(name="nvdec", usable=False, reason=NO_DRIVER),
        torch=Torch(version="2.13.0", reason="this build has no CUDA"),
        encoders=tuple(
            EncoderResult(name=name, usable=name in usable, reason="" if name in usable else "n/a")
            for name in ENCODERS
        ),
        probed_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("usable", "priority", "force_cpu", "exclude", "name", "reason"),
    [
        (
            ["h264_nvenc", "h264_qsv", "libx264"],
            DEFAULT,
            False,
            [],
            "h264_nvenc",
            "h264_nvenc: first usable of nvenc, qsv, amf, software",
        ),
        (
            ["h264_qsv", "libx264"],
            DEFAULT,
            False,
            [],
            "h264_qsv",
            "h264_qsv: first usable of nvenc, qsv, amf, software; h264_nvenc: n/a",
        ),
        (
            ["libx264"],
            DEFAULT,
            False,
            [],
            "libx264",
            "libx264 (software): h264_nvenc: n/a; h264_qsv: n/a; h264_amf: n/a",
        ),
        (
            ["h264_nvenc", "h264_amf", "libx264"],
            ("amf", "nvenc"),
            False,
            [],
            "h264_amf",
            "h264_amf: first usable of amf, nvenc, software",
        ),
        (
            ["h264_nvenc", "libx264"],
            ("software", "nvenc"),
            False,
            [],
            "libx264",
            "libx264 (software): first usable of software, nvenc",
        ),
        (
            ["h264_nvenc", "libx264"],
            ("qsv",),
            False,
            [],
            "libx264",
            "libx264 (software): h264_qsv: n/a",
        ),
        (
            ["h264_nvenc", "libx264"],
            (),
            False,
            [],
            "libx264",
            "libx264 (software): first usable of software",
        ),
        (
            ["h264_nvenc", "libx264"],
            DEFAULT,
            True,
            [],
            "libx264",
            "libx264 (software): the setting force_cpu is on",
        ),
        (
            ["h264_nvenc", "libx264"],
            ("nvenc",),
            False,
            ["h264_nvenc"],
            "libx264",
            "libx264 (software): h264_nvenc: failed under this job",
        ),
    ],
)
def test_auto_takes_the_first_usable_and_says_what_stood_in_the_way(
    usable: Sequence[str],
    priority: Sequence[str],
    force_cpu: bool,
    exclude: Sequence[str],
    name: str,
    reason: str,
) -> None:
    choice = decide(Encoding(), report(*usable), priority, force_cpu, frozenset(exclude))
    assert choice == Choice(name=name, reason=reason, hardware=name != "libx264")


def test_lossless_is_ffv1_even_where_a_gpu_could_encode() -> None:
    encoding = Encoding(quality=Quality.LOSSLESS)
    choice = decide(encoding, report("h264_nvenc", "libx264", "ffv1"), DEFAULT, False)
    assert choice == Choice(name="ffv1", reason="ffv1 (software): lossless", hardware=False)


def test_an_encoder_asked_for_by_name_is_taken_whatever_the_order() -> None:
    usable = report("h264_nvenc", "h264_qsv", "libx264")
    for name, label in (("h264_qsv", "h264_qsv"), ("libx264", "libx264 (software)")):
        choice = decide(Encoding(encoder=name), usable, DEFAULT, False)
        assert (choice.name, choice.reason) == (name, f"{label}: asked for by name")


def test_an_encoder_asked_for_by_name_that_failed_under_the_job_gives_way_and_says_so() -> None:
    choice = decide(
        Encoding(encoder="h264_qsv"),
        report("h264_qsv", "libx264"),
        ("qsv", "software"),
        False,
        frozenset({"h264_qsv"}),
    )
    assert choice.name == "libx264"
    assert choice.reason == "libx264 (software): h264_qsv: failed under this job"


@pytest.mark.parametrize(
    ("encoding", "priority", "force_cpu", "detail", "advice"),
    [
        ({"encoder": "h264_amf"}, DEFAULT, False, "h264_amf cannot be used here: n/a.", "libx264"),
        ({"encoder": "h264_nvenc"}, DEFAULT, True, "force_cpu is on", "libx264"),
        ({"encoder": "h264_nvenc"}, ("qsv",), False, "leaves out nvenc", "libx264"),
        ({"encoder": "x264"}, DEFAULT, False, "no encoder named 'x264'", "h264_nvenc, hevc_nvenc"),
        ({"encoder": "ffv1"}, DEFAULT, False, "does not offer quality balanced", "auto"),
        (
            {"encoder": "libx264", "quality": "lossless"},
            DEFAULT,
            False,
            "does not offer quality lossless",
            "auto",
        ),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_with_the_reason_and_a_way_out(
    encoding: dict[str, str], priority: Sequence[str], force_cpu: bool, detail: str, advice: str
) -> None:
    usable = report("h264_nvenc", "libx264", "ffv1")
    with pytest.raises(EncoderUnavailable) as caught:
        decide(Encoding(**encoding), usable, priority, force_cpu)
    assert detail in caught.value.detail
    assert advice in caught.value.advice
    assert caught.value.field == "encoding.encoder"


def test_a_machine_without_any_encoder_says_why_for_each() -> None:
    with pytest.raises(EncoderUnavailable, match=r"h264_nvenc: n/a; .*libx264: n/a"):
        decide(Encoding(), report(), DEFAULT, False)


def test_the_environment_reorders_and_forces(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = report("h264_nvenc", "h264_qsv", "libx264")

    def chosen() -> str:
        settings = Settings()
        return decide(Encoding(), usable, settings.encoder_priority, settings.force_cpu).name

    assert chosen() == "h264_nvenc"
    monkeypatch.setenv("JUPYTER_EXPORT_ENCODER_PRIORITY", "qsv,nvenc")
    assert chosen() == "h264_qsv"
    monkeypatch.setenv("JUPYTER_EXPORT_FORCE_CPU", "1")
    assert chosen() == "libx264"


@pytest.mark.parametrize(
    ("family", "log", "reason"),
    [
        ("nvenc", ["Cannot load libcuda.so.1\n"], NO_DRIVER),
        (
            "nvenc",
            [
                "Cannot load libnvidia-encode.so.1\n",
                "The minimum required Nvidia driver for nvenc is (unknown) or newer\n",
            ],
            "the NVIDIA driver comes without its encoding library (libnvidia-encode.so.1); in a "
            "container, NVIDIA_DRIVER_CAPABILITIES must contain video",
        ),
        (
            "nvenc",
            [
                "Driver does not support the required nvenc API version. "
                "Required: 13.0 Found: 12.1\n",
                "The minimum required Nvidia driver for nvenc is 570.0 or newer\n",
            ],
            "the NVIDIA driver is too old for this FFmpeg (570.0 or newer is needed)",
        ),
        (
            "nvenc",
            [
                "OpenEncodeSessionEx failed: unsupported device (2): (no details)\n",
                "No capable devices found\n",
            ],
            "no NVENC on this GPU",
        ),
        (
            "nvenc",
            [
                "OpenEncodeSessionEx failed: out of memory (10): (no details)\n",
                "No capable devices found\n",
            ],
            "the NVENC session limit is reached",
        ),
        (
            "nvenc",
            ["cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n"],
            "the NVIDIA driver found no usable GPU (CUDA_ERROR_NO_DEVICE)",
        ),
        (
            "qsv",
            ["Error creating a MFX session: -9.\n"],
            "no Intel GPU or media driver (oneVPL)",
        ),
        ("amf", ["DLL libamfrt64.so.1 failed to open\n"], "no AMD GPU or AMF runtime"),
        ("software", ["anything"], "its trial failed"),
    ],
)
def test_a_drivers_log_becomes_a_reason_in_plain_words(
    family: str, log: list[str], reason: str
) -> None:
    assert explain(Family(family), log) == reason


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        (["NVIDIA H200"] * 8, "no NVENC on this GPU (H200): data-centre GPUs have none"),
        (
            ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 PCIe"],
            "no NVENC on this GPU (A100-SXM4-80GB, H100 PCIe): data-centre GPUs have none",
        ),
        (["NVIDIA GeForce MX450"], "no NVENC on this GPU (GeForce MX450)"),
        (["NVIDIA H200", "Tesla T4"], "no NVENC on this GPU (H200, Tesla T4)"),
        ([], "no NVENC on this GPU"),
    ],
)
def test_a_gpu_without_encoder_is_named(models: list[str], reason: str) -> None:
    assert with_models(explain(Family.NVENC, ["unsupported device (2)"]), models) == reason
    assert with_models(NO_DRIVER, models) == NO_DRIVER


@pytest.mark.parametrize(
    ("log", "invalid", "trouble"),
    [
        (["OpenEncodeSessionEx failed: out of memory (10)"], False, Trouble.BUSY),
        (["-> CUDA_ERROR_OUT_OF_MEMORY: out of memory"], False, Trouble.BUSY),
        (["-> CUDA_ERROR_NO_DEVICE: no device", "Invalid argument"], True, Trouble.DEVICE),
        (["Width 8192 exceeds 4096", "No capable devices found"], False, Trouble.DEVICE),
        (["a driver's own words"], False, Trouble.DEVICE),
        (["InitializeEncoder failed: invalid param (8)"], True, Trouble.REQUEST),
    ],
)
def test_a_failure_is_put_down_to_the_crowd_the_device_or_ourselves(
    log: list[str], invalid: bool, trouble: Trouble
) -> None:
    assert judge(Family.NVENC, log, invalid=invalid)[0] is trouble
    assert judge(Family.SOFTWARE, ["anything"], invalid=False)[0] is Trouble.REQUEST


def test_what_ffmpeg_does_not_contain_is_no_part_of_a_jobs_story() -> None:
    bare = report("libx264")
    results = tuple(
        replace(result, reason=NOT_BUILT) if "vaapi" in result.name else result
        for result in bare.encoders
    )
    reason = decide(
        Encoding(), replace(bare, encoders=results), ("qsv", "vaapi", "software"), False
    ).reason
    assert reason == "libx264 (software): h264_qsv: n/a"


def test_the_doctor_names_every_encoder_gpu_and_version_with_its_reason() -> None:
    text = "\n".join(to_lines(report("libx264"), DEFAULT, False))
    for name in ENCODERS:
        assert name in text
    assert "Tesla T4, driver 570.1" in text
    assert "FFmpeg 8.1.2" in text
    assert "auto takes for h264: libx264 (software): h264_nvenc: n/a" in text
    value = to_json(report("libx264"), DEFAULT, False)
    assert value["auto"]["name"] == "libx264"
    assert {e["name"]: (e["family"], e["usable"]) for e in value["encoders"]}["h264_amf"] == (
        "amf",
        False,
    )


def test_the_doctor_still_speaks_when_nothing_can_encode() -> None:
    assert "auto takes for h264: nothing: No encoder" in "\n".join(
        to_lines(report(), DEFAULT, False)
    )
    assert to_json(report(), DEFAULT, False)["auto"]["name"] is None
