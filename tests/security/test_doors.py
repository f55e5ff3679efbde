"""Every door into FFmpeg and Pillow is known: who adds another one has to think of attackers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import jupyter_export

PACKAGE = Path(jupyter_export.__file__).parent

#: Where files are opened: users' own by `media/open.py` alone; the others write our segments.
OPENING = {
    *("media/open.py", "media/encode.py", "media/audio.py", "media/assemble.py"),
    *("media/animate.py", "footage/store.py"),
}
#: The files that users get are made by `created`, which follows no link.
PUBLISHED = {"media/assemble.py", "media/animate.py"}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Module, dotted name and arguments of every call in the package."""
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield module, ast.unparse(node.func), node


def test_files_are_opened_by_ffmpeg_in_known_places_only() -> None:
    opening = {module for module, name, _ in calls() if name in ("av.open", "open_container")}
    assert opening == OPENING
    reading = {m for m, name, call in calls() if name == "av.open" and not _writes(call)}
    assert reading == {"media/open.py"}
    making = {module for module, name, _ in calls() if name in ("created", "stack.enter_context")}
    assert making >= PUBLISHED


def _writes(call: ast.Call) -> bool:
    return len(call.args) > 1 and ast.unparse(call.args[1]) == "'w'"


def test_users_files_are_named_to_ffmpeg_by_the_safe_door_only() -> None:
    """A name in FFmpeg's own syntax (`file:…`) is made of our segments' paths, or by the door."""
    for module, name, call in calls():
        if name == "av.open" and module != "media/open.py":
            address = ast.unparse(call.args[0])
            assert address in {
                "f'file:{target}'",
                "f'file:{part}'",  # in a kernel, of a name that nobody can know before
                "stack.enter_context(created(part))",
                "address",  # of `created`
            }, f"{module}: {address}"


def test_no_filter_gets_its_arguments_as_a_text() -> None:
    """Keyword arguments are taken as they are; a text is parsed, and what is in it, too."""
    for module, name, call in calls():
        if name.endswith("graph.add"):
            assert len(call.args) == 1, f"{module}:{call.lineno}: {ast.unparse(call)}"
    names = {name.rpartition(".")[2] for _, name, _ in calls()}
    assert "parse" in names, "the walk finds nothing"
    assert not names & {"parse_ptr", "graph_parse"}


def test_pictures_are_read_in_named_formats_only() -> None:
    for module, name, call in calls():
        if name == "Image.open":
            given = {keyword.arg for keyword in call.keywords}
            assert "formats" in given, f"{module}:{call.lineno}"


def test_no_program_is_started_but_children_of_ours() -> None:
    starting = {
        module
        for module, name, _ in calls()
        if name.startswith(("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn"))
        or name.endswith(("create_subprocess_exec", "create_subprocess_shell"))
    }
    assert starting == {
        "hardware/child.py",
        "notebook/standalone.py",  # `jupyter export serve`, by the kernel of who may run anything
        "media/native/hatch_build.py",  # while the package is built; nothing imports it later
    }
