"""Trial encodes: every no has its reason, and a bad driver spoils nothing but itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from nvidia_support import Nvidia

from jupyter_export.errors import EncoderUnavailable
from jupyter_export.hardware import choice, machine
from jupyter_export.hardware import report as report_module
from jupyter_export.hardware.choice import Encoders
from jupyter_export.hardware.encoders import ENCODERS
from jupyter_export.hardware.probe import EncoderResult, probe_encoders
from jupyter_export.hardware.pytorch import installed_torch
from jupyter_export.settings import Settings
from jupyter_export.spec import Encoding

has_gpu = Path("/dev/nvidiactl").exists() or any(Path("/dev/dri").glob("renderD*"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="stands in for a Linux driver")

SOFTWARE = ["libx264", "libx265", "libsvtav1", "ffv1"]

LIMIT = 20.0
"""Seconds; only a trial that hangs waits that long."""


@pytest.mark.skipif(has_gpu, reason="needs a machine without a GPU")
@linux
async def test_without_a_gpu_every_no_has_its_reason_and_the_log_line_behind_it() -> None:
    probed = await probe_encoders(list(ENCODERS), LIMIT)
    by_name = {result.name: result for result in probed.encoders}
    assert [result.name for result in probed.encoders] == list(ENCODERS)
    assert by_name["h264_nvenc"].reason == "no NVIDIA driver (libcuda.so.1 is missing)"
    assert "Cannot load libcuda.so.1" in by_name["h264_nvenc"].detail
    assert by_name["h264_qsv"].reason == "no Intel GPU or media driver (oneVPL)"
    assert "MFX session" in by_name["h264_qsv"].detail
    assert by_name["h264_amf"].reason == "no AMD GPU or AMF runtime"
    assert "libamfrt64.so.1" in by_name["h264_amf"].detail
    assert by_name["h264_vaapi"].reason == "not in this build of FFmpeg"
    assert [name for name, result in by_name.items() if result.usable] == SOFTWARE
    assert probed.versions["av"]


async def test_an_unknown_encoder_is_refused_before_anything_is_started() -> None:
    with pytest.raises(EncoderUnavailable, match="no encoder named 'h264_magic'"):
        await probe_encoders(["libx264", "h264_magic"], LIMIT)


async def test_an_encoder_that_ffmpeg_does_not_contain_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = ENCODERS["h264_qsv"]
    script = (
        "import dataclasses, sys; from jupyter_export.hardware import encoders, trials;"
        "encoders.ENCODERS['h264_magic'] = dataclasses.replace("
        "encoders.ENCODERS['h264_qsv'], name='h264_magic'); trials.main(sys.argv[1:])"
    )
    monkeypatch.setitem(ENCODERS, "h264_magic", entry)
    probed = await probe_encoders(
        ["h264_magic", "libx264"], LIMIT, command=lambda left: [sys.executable, "-c", script, *left]
    )
    assert [(result.usable, result.reason) for result in probed.encoders] == [
        (False, "not in this build of FFmpeg"),
        (True, ""),
    ]


# --- Drivers that misbehave ---------------------------------------------------------------------


@pytest.fixture
def fake_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a libcuda.so.1 in the way that does the given C statement when it is loaded."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler; the tests with a stand-in child cover the same ground")

    def make(statement: str) -> None:
        source = tmp_path / "driver.c"
        source.write_text(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
            f"__attribute__((constructor)) static void loaded(void) {{ {statement} }}\n"
        )
        library = tmp_path / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))

    return make


@linux
async def test_a_driver_that_crashes_is_named_with_its_last_words_and_the_rest_is_tried(
    fake_driver: Callable[[str], None],
) -> None:
    fake_driver('fprintf(stderr, "cuda: wild pointer"); abort();')
    probed = await probe_encoders(["h264_nvenc", "h264_qsv", "libx264"], LIMIT)
    nvenc, qsv, x264 = probed.encoders
    assert (nvenc.usable, nvenc.reason) == (False, "its driver crashed (signal 6, SIGABRT)")
    assert "cuda: wild pointer" in nvenc.detail
    assert not qsv.usable and "crashed" not in qsv.reason
    assert x264.usable


@linux
async def test_a_driver_that_hangs_is_given_up_and_the_rest_is_tried(
    fake_driver: Callable[[str], None],
) -> None:
    fake_driver("for (;;) sleep(1000);")
    probed = await probe_encoders(["libx264", "h264_nvenc", "ffv1"], 5.0)
    first, nvenc, last = probed.encoders
    assert first.usable
    assert (nvenc.usable, nvenc.reason) == (False, "its driver did not answer within 5 s")
    assert not nvenc.lasting, "it may have been a bad moment"
    assert last.usable


@linux
async def test_a_trial_that_waits_for_a_core_is_not_taken_for_one_that_hangs() -> None:
    core = min(os.sched_getaffinity(0))
    pinned = f"import os, time; os.sched_setaffinity(0, {{{core}}})\n"
    crowd = [subprocess.Popen([sys.executable, "-c", pinned + "while True: pass"]) for _ in "1234"]
    slow = (
        "import sys; sys.stdin.readline(); print('{\"versions\": {}}', flush=True)\n"
        # Of a second's work, of which a fifth is done in a second.
        "while time.process_time() < 1: pass\n"
        'print(\'{"name": "h264_qsv", "usable": true}\', flush=True)'
    )
    hangs = slow.replace("while time.process_time() < 1: pass", "time.sleep(60)")

    async def tried(script: str) -> EncoderResult:
        command = [sys.executable, "-c", pinned + script]
        probed = await probe_encoders(["h264_qsv"], 2.0, most=600.0, command=lambda left: command)
        return probed.encoders[0]

    try:
        assert (await tried(slow)).usable
        # It would answer after a minute.
        assert (await tried(hangs)).reason == "its driver did not answer within 2 s"
    finally:
        for one in crowd:
            one.kill()
            one.wait()


@linux
async def test_a_driver_that_hangs_is_waited_for_once_and_not_once_per_codec(
    fake_driver: Callable[[str], None],
) -> None:
    fake_driver("for (;;) sleep(1000);")
    children: list[list[str]] = []

    def command(left: Sequence[str]) -> list[str]:
        children.append(list(left))
        return [sys.executable, "-m", "jupyter_export.hardware.trials", *left]

    probed = await probe_encoders(
        ["h264_nvenc", "hevc_nvenc", "av1_nvenc", "libx264"], 1.0, command=command
    )
    assert children == [["h264_nvenc", "hevc_nvenc", "av1_nvenc"], ["libx264"]]
    *nvenc, x264 = probed.encoders
    assert {result.reason for result in nvenc} == {"its driver did not answer within 1 s"}
    assert x264.usable


@linux
async def test_a_trial_that_somebody_kills_says_nothing_about_the_encoder() -> None:
    """Such as the kernel, when memory is short."""
    kills = iter([True, True, False])

    def command(left: Sequence[str]) -> list[str]:
        if next(kills):
            return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        return [sys.executable, "-m", "jupyter_export.hardware.trials", *left]

    (x264,) = (await probe_encoders(["libx264"], LIMIT, command=command)).encoders
    assert x264.usable


@linux
async def test_trials_that_are_killed_again_and_again_are_given_up_for_now() -> None:
    script = "import os; os.kill(os.getpid(), 9)"
    probed = await probe_encoders(
        ["libx264"], LIMIT, command=lambda left: [sys.executable, "-c", script]
    )
    (x264,) = probed.encoders
    assert not x264.usable and not x264.lasting
    assert x264.reason == "its trial was ended from outside (signal 9, SIGKILL)"


STAND_IN = """
import json, os, sys, time
print(json.dumps({{"versions": {{}}}}), flush=True)
for name in sys.argv[1:]:
    if name == "h264_nvenc":
        {misbehave}
    print(json.dumps({{"name": name, "usable": True}}), flush=True)
"""


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        ("os.abort()", "its driver crashed (signal 6, SIGABRT)"),
        ("time.sleep(1000)", "its driver did not answer within 4 s"),
        ("os._exit(7)", "its trial ended without an answer (exit status 7)"),
        ("sys.stdout.close(); os.close(1); os.close(2); time.sleep(1000)", "did not answer"),
    ],
)
@linux
async def test_whatever_becomes_of_a_child_the_others_are_tried_in_a_fresh_one(
    misbehave: str, reason: str
) -> None:
    children: list[list[str]] = []

    def command(left: Sequence[str]) -> list[str]:
        children.append(list(left))
        return [sys.executable, "-c", STAND_IN.format(misbehave=misbehave), *left]

    probed = await probe_encoders(["libx264", "h264_nvenc", "ffv1"], 4.0, command=command)
    assert [result.usable for result in probed.encoders] == [True, False, True]
    assert reason in probed.encoders[1].reason
    assert sorted(children) == [["h264_nvenc"], ["libx264", "ffv1"]]


@linux
async def test_a_probe_that_is_cancelled_leaves_no_child_behind(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(999)"
    probe = asyncio.create_task(
        probe_encoders(["libx264"], 60.0, command=lambda left: [sys.executable, "-c", script])
    )
    while not (mark.exists() and mark.read_text()):
        await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_no_token_reaches_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "s3cret")
    script = (
        "import json, os; print(json.dumps({'name': 'libx264', 'usable': True,"
        " 'detail': str('s3cret' in str(os.environ))}))"
    )
    probed = await probe_encoders(
        ["libx264"], LIMIT, command=lambda left: [sys.executable, "-c", script]
    )
    assert probed.encoders[0].detail == "False"


# --- A machine with an NVIDIA GPU, as far as a stand-in for its driver can show it --------------


@linux
async def test_a_data_centre_gpu_is_named_with_what_it_has_and_has_not(
    nvidia: Nvidia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.133.20, 00000000:41:00.0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    packages = tmp_path / "packages"
    (packages / "torch-2.13.0.dist-info").mkdir(parents=True)
    (packages / "torch-2.13.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.13.0\n")
    (packages / "torch").mkdir()
    (packages / "torch/__init__.py").write_text("raise ImportError('libcudart.so.13 is missing')")
    (packages / "torch/version.py").write_text("cuda = '13.0'")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)  # the real one, which another test has used
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PYTHONPATH", str(packages))
    nvidia.set("none")
    report = await encoders(tmp_path).report()
    result = report.find("h264_nvenc")
    assert result is not None
    assert result.reason == "no NVENC on this GPU (H200): data-centre GPUs have none"
    assert "unsupported device (2)" in result.detail
    assert "decoding library (libnvcuvid.so.1)" in report.nvdec.reason
    assert (report.torch.version, report.torch.cuda, report.torch.usable) == (
        "2.13.0",
        "13.0",
        False,
    )
    assert "libcudart.so.13 is missing" in report.torch.reason


@linux
async def test_an_encoder_that_failed_at_work_is_tried_again_before_it_is_chosen(
    nvidia: Nvidia, tmp_path: Path, probes: list[list[str]]
) -> None:
    shared = encoders(tmp_path)
    assert (await shared.choose(Encoding())).name == "h264_nvenc"
    nvidia.set("gone")
    assert (await shared.choose(Encoding())).name == "h264_nvenc", "nobody knows yet"
    shared.suspect("h264_nvenc")
    now = await shared.choose(Encoding())
    assert now.name == "libx264"
    assert "h264_nvenc: the NVIDIA driver found no usable GPU" in now.reason
    assert probes[1:] == [["h264_nvenc", "hevc_nvenc", "av1_nvenc"]], "only its own family"
    nvidia.clear("gone")
    shared.suspect("h264_nvenc")
    assert (await shared.choose(Encoding())).name == "h264_nvenc", "it is not banned for ever"


@linux
async def test_who_asks_by_name_for_an_encoder_that_is_busy_is_let_in_to_wait(
    nvidia: Nvidia, tmp_path: Path
) -> None:
    nvidia.set("limit", 0)
    shared = encoders(tmp_path)
    asked = await shared.choose(Encoding(encoder="h264_nvenc"))
    assert asked.name == "h264_nvenc"
    assert "the NVENC session limit is reached" in asked.reason
    assert (await shared.choose(Encoding())).name == "libx264", "auto need not wait"


@pytest.mark.parametrize(
    ("driver", "cuda", "reason"),
    [
        (None, "13.0", "no NVIDIA driver: it upscales on the processor"),
        ("570.1", None, "this build has no CUDA: it upscales on the processor"),
        ("570.1", "13.0", ""),
    ],
)
def test_torch_is_judged_without_being_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    driver: str | None,
    cuda: str | None,
    reason: str,
) -> None:
    (tmp_path / "torch-2.13.0.dist-info").mkdir()
    (tmp_path / "torch-2.13.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.13.0\n")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise RuntimeError('it was loaded')")
    (tmp_path / "torch/version.py").write_text(f"cuda = {cuda!r}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    found = installed_torch(driver)
    assert (found.version, found.cuda, found.reason) == ("2.13.0", cuda, reason)


# --- The report and its cache -------------------------------------------------------------------


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names that were really tried, one list per probe; the probes stay real."""
    seen: list[list[str]] = []

    async def counted(names: Sequence[str], limit: float, *, most: float) -> Any:
        if tried := [name for name in names if name in ENCODERS]:
            seen.append(tried)
        return await probe_encoders(names, limit, most=most)

    monkeypatch.setattr(report_module, "probe_encoders", counted)
    return seen


def encoders(tmp_path: Path, **settings: Any) -> Encoders:
    return Encoders(Settings(data_dir=str(tmp_path), **settings))


CPU = {"encoder_priority": ["software"]}


async def test_the_next_server_reads_what_the_last_one_found(
    tmp_path: Path, probes: list[list[str]]
) -> None:
    first = await encoders(tmp_path, **CPU).report()
    second = await encoders(tmp_path, **CPU).report()
    assert first == second
    assert probes == [SOFTWARE]


async def test_callers_that_come_together_share_one_probe(
    tmp_path: Path, probes: list[list[str]]
) -> None:
    shared = encoders(tmp_path, **CPU)
    reports = await asyncio.gather(*(shared.report(refresh=True) for _ in range(5)))
    assert len(probes) == 1
    assert all(report is reports[0] for report in reports)


async def test_a_caller_that_goes_away_does_not_take_the_probe_with_it(
    tmp_path: Path, probes: list[list[str]]
) -> None:
    shared = encoders(tmp_path, **CPU)
    leaving = asyncio.create_task(shared.report())
    staying = asyncio.create_task(shared.report())
    await asyncio.sleep(0)
    leaving.cancel()
    result = (await staying).find("libx264")
    assert result is not None and result.usable
    assert leaving.cancelled()


@pytest.mark.parametrize("change", ["version", "driver path", "gpu", "on demand", "corrupt"])
async def test_the_encoders_are_tried_again_when_the_answer_may_have_changed(
    tmp_path: Path, probes: list[list[str]], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await encoders(tmp_path, **CPU).report()
    cache = tmp_path / "hardware.json"
    stored = json.loads(cache.read_text())
    if change == "version":
        stored["report"]["versions"]["libavcodec"] = "61.0.0"
        cache.write_text(json.dumps(stored))
    elif change == "driver path":
        monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/newer/driver")
    elif change == "gpu":
        gpu = {"name": "Tesla T4", "vendor": "NVIDIA", "driver": "570.1", "bus": "0"}
        stored["report"]["gpus"] = [gpu]
        cache.write_text(json.dumps(stored))
    elif change == "corrupt":
        cache.write_text('{"format": 1, "report": {"versions"')
    again = await encoders(tmp_path, **CPU).report(refresh=change == "on demand")
    assert len(probes) == 2
    assert again.covers(SOFTWARE)
    await encoders(tmp_path, **CPU).report()
    assert len(probes) == 2, "the new answer was not kept"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"format": 1}', '{"format": 1, "report": []}', '{"format": 99}']
)
async def test_a_cache_that_makes_no_sense_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "hardware.json").write_text(text)
    result = (await encoders(tmp_path, **CPU).report()).find("libx264")
    assert result is not None and result.usable


async def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    result = (await encoders(tmp_path / "data", **CPU).report()).find("libx264")
    assert result is not None and result.usable


async def test_an_answer_that_can_pass_by_itself_is_not_kept_for_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(names: Sequence[str], limit: float, *, most: float) -> Any:
        found = await probe_encoders([n for n in names if n != "h264_nvenc"], limit, most=most)
        hang = EncoderResult(name="h264_nvenc", usable=False, reason="hangs", lasting=False)
        return type(found)(versions=found.versions, encoders=(hang, *found.encoders))

    monkeypatch.setattr(report_module, "probe_encoders", hanging)
    shared = encoders(tmp_path, encoder_priority=["nvenc"])
    first = await shared.report()
    assert not (tmp_path / "hardware.json").exists()
    assert await shared.report() is first
    monkeypatch.setattr(choice, "ASK_AGAIN_SECONDS", -1.0)
    assert await shared.report() is not first


async def test_what_the_settings_rule_out_is_not_even_loaded(
    tmp_path: Path, probes: list[list[str]]
) -> None:
    forced = await encoders(tmp_path, force_cpu=True).report()
    assert probes == [SOFTWARE]
    result = forced.find("h264_nvenc")
    assert result is not None
    assert result.reason == "not tried: the setting force_cpu is on"
    narrowed = await encoders(tmp_path, encoder_priority=["amf"]).report()
    assert probes[1:] == [["h264_amf", "hevc_amf", "av1_amf", *SOFTWARE]]
    result = narrowed.find("h264_qsv")
    assert result is not None
    assert result.reason == "not tried: the setting encoder_priority leaves out qsv"


async def test_a_job_on_this_machine_gets_an_encoder_that_works(tmp_path: Path) -> None:
    shared = encoders(tmp_path)
    chosen = await shared.choose(Encoding())
    result = (await shared.report()).find(chosen.name)
    assert result is not None and result.usable
    fallback = await shared.choose(Encoding(), frozenset({chosen.name}) - {"libx264"})
    assert fallback.name != chosen.name or chosen.name == "libx264"
    assert (await shared.choose(Encoding(quality="lossless"))).name == "ffv1"


async def test_closing_stops_a_probe_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = encoders(tmp_path, **CPU)
    waiting = asyncio.create_task(shared.report())
    await asyncio.sleep(0)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# --- The machine --------------------------------------------------------------------------------


async def test_gpus_are_those_that_the_kernel_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert await machine.find_gpus(tmp_path) == ()
    nvidia = tmp_path / "proc/driver/nvidia"
    (nvidia / "gpus/0000:41:00.0").mkdir(parents=True)
    (nvidia / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build\n"
        "GCC version:  gcc version 12.2.0\n"
    )
    (nvidia / "gpus/0000:41:00.0/information").write_text(
        "Model: \t\t NVIDIA H200\nIRQ:   \t\t 60\nGPU UUID: \t GPU-1\n"
    )
    intel = tmp_path / "sys/class/drm/renderD128/device"
    intel.mkdir(parents=True)
    (intel / "vendor").write_text("0x8086\n")
    (intel / "device").write_text("0x56a0\n")
    (intel / "uevent").write_text("DRIVER=i915\nPCI_SLOT_NAME=0000:03:00.0\n")
    found = [(gpu.name, gpu.vendor, gpu.driver) for gpu in await machine.find_gpus(tmp_path)]
    assert found == [
        ("Intel GPU 0x56a0", "Intel", "i915"),
        ("NVIDIA H200", "NVIDIA", "570.133.20"),
    ]
    assert machine.nvidia_driver(tmp_path) == "570.133.20"


@pytest.mark.parametrize(
    ("does", "names"),
    [
        ("echo 'NVIDIA GeForce RTX 4080, 576.02, 00000000:01:00.0'", ["NVIDIA GeForce RTX 4080"]),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", []),
    ],
)
@linux
async def test_without_proc_nvidia_smi_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, names: list[str]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert [gpu.name for gpu in await machine.find_gpus(tmp_path)] == names
