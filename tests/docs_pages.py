"""The pages of the documentation that come from the code: settings, REST, errors.

``python tests/docs_pages.py`` writes them; ``tests/unit/test_docs.py`` compares.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jupyter_export import errors
from jupyter_export.hardware import reasons
from jupyter_export.server.openapi import document
from jupyter_export.settings import Settings, environment_name

PACKAGE = Path(inspect.getfile(errors)).parent
DOCS = PACKAGE / "docs"

# Settings


def settings_page() -> str:
    """Every trait, with its variable, its default and what it does."""
    rows = ["| setting | default | what it does |", "| --- | --- | --- |"]
    for name, trait in sorted(Settings.class_own_traits().items()):
        default = trait.default()
        shown = ", ".join(default) if isinstance(default, list) else repr(default)
        rows.append(f"| `{name}` | `{shown.strip(chr(39)) or chr(34) * 2}` | {trait.help} |")
    example = "max_concurrent_exports"
    return (
        "# Settings\n\n"
        f"Each is a trait, `c.ExportApp.{example} = 5` in `jupyter_server_config.py`, and an\n"
        f"environment variable, `{environment_name(example)}=5`. The configuration wins. A value that\n"
        "makes no sense stops the start with one sentence that names it. The limits can be changed\n"
        "while the server runs, too: `PATCH limits` in [REST](rest.md).\n\n"
        + "\n".join(rows)
        + "\n"
    )


# REST

_PROSE = """# REST

Under `{base_url}jupyter-export/`, with the authentication of the rest of the server: a token in
`Authorization: token …`, or the browser's cookie with its `_xsrf`. `GET openapi.json` describes all of
this for machines, `GET schema/spec.json` the [spec](spec.md), and `GET schema/feed.json` the messages of
the [feed](../server/feed.md).

Errors are problem details (RFC 9457, `application/problem+json`): `type`, `title`, `detail`, `advice`
(what to do), and `field` for the place in the request at fault. All texts are in
[Troubleshooting](troubleshooting.md). `POST jobs` takes an `Idempotency-Key` header: the same key gives
the same job again instead of a second one.

```bash
curl -H "Authorization: token $TOKEN" -H 'Content-Type: application/json' \\
     -d '{"spec": {"kind": "clip", "sources": [{"path": "match.mp4", "end": 9}], "output": "goal.mp4"}}' \\
     http://localhost:8888/jupyter-export/jobs
```
"""


def rest_page() -> str:
    """Every route, its parameters, bodies and answers, and the fields of each schema."""
    api = document("/jupyter-export")
    lines = [_PROSE]
    for path, methods in sorted(api["paths"].items()):
        for method, operation in methods.items():
            if method in ("get", "post", "put", "patch", "delete"):
                lines += _operation(method, path, operation, api)
    lines.append("\n## Schemas\n")
    for name, schema in sorted(api["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _operation(
    method: str, path: str, operation: dict[str, Any], api: dict[str, Any]
) -> Iterator[str]:
    yield f"\n## {method.upper()} {path}\n"
    text = [operation.get("summary", "").rstrip("."), operation.get("description", "")]
    yield ". ".join(t.strip() for t in text if t.strip()).rstrip(".") + "."
    rows = []
    for parameter in operation.get("parameters", ()):
        parameter = _resolved(parameter, api)
        rows.append(
            f"| `{parameter['name']}` | {parameter['in']} | {_kind(parameter.get('schema', {}))} "
            f"| {_cell(parameter.get('description', ''))} |"
        )
    if rows:
        yield "\n| parameter | in | type | |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
    for content_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"\nTakes `{content_type}`: {_kind(body.get('schema', {}))}."
    good, bad = [], []
    for status, answer in sorted(operation.get("responses", {}).items()):
        contents = _resolved(answer, api).get("content", {})
        kinds = [
            _kind(body["schema"]) if body.get("schema", {}).get("$ref") else f"`{name}`"
            for name, body in contents.items()
        ]
        if "[Problem](#problem)" in kinds:
            bad.append(status)
        else:
            good.append(status + (f" with {' or '.join(dict.fromkeys(kinds))}" if kinds else ""))
    yield f"\nAnswers {'; '.join(good)}; errors: {', '.join(bad)}."


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n"
    if schema.get("description"):
        yield schema["description"].strip() + "\n"
    if "enum" in schema:
        yield "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."
    if properties := schema.get("properties"):
        yield "| member | type | |\n| --- | --- | --- |"
        for member, value in properties.items():
            told = _cell(value.get("description", ""))
            if "default" in value and value["default"] not in (None, [], {}):
                told = f"{told} Default: `{json.dumps(value['default'])}`.".strip()
            yield f"| `{member}` | {_kind(value)} | {told} |"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_kind(option) for option in schema[word]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return "(" + ", ".join(_kind(item) for item in schema["prefixItems"]) + ")"
        return f"list of {_kind(schema.get('items', {}))}"
    if len(schema.get("allOf", ())) == 1:
        return _kind(schema["allOf"][0])
    return str(schema.get("format") or schema.get("type") or "any")


def _resolved(value: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        target: Any = api
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# Troubleshooting

#: What each kind of error is about, beyond its title.
_ABOUT = {
    "SpecError": "The request is wrong. `field` says where, such as `sources[0].path`. Nothing was queued.",
    "PathError": "Paths are relative to the server's root folder, and stay in it.",
    "SourceMissing": "The file is not where the spec says, seen from the server, not from the kernel.",
    "SourceUnreadable": "FFmpeg's libraries cannot use the file, or it is one that exports do not open, such "
    "as a playlist, a device or a picture. `ffprobe FILE` tells what others see in it.",
    "OutputError": "The folder of the output must exist, and the server must be allowed to write into it.",
    "DiskFull": "The new file is written beside the old one, which stays until the new one is whole; so there "
    "must be room for both. Finished segments are kept: a retry goes on from them.",
    "CacheLost": "Something deletes finished segments while the export needs them.",
    "EncoderUnavailable": "`jupyter export doctor` tells for each encoder why it can or cannot be used here.",
    "EncoderBusy": "This passes by itself: the job waits in the queue and goes on; it is no failure.",
    "EncoderFailed": "A hardware encoder that fails gives way to software for that job; software that fails is "
    "told with its own text. The job's log has the details.",
    "EncoderError": "The encoder could not be opened with these settings.",
    "ModelMissing": "`jupyter export models list` shows what is there.",
    "ModelUnusable": "Weights are read as tensors only and compared with published hashes; nothing else is "
    "ever taken from such a file.",
    "UpscaleUnavailable": "Upscaling needs torch: `pip install 'jupyter-export[upscale]'`.",
    "GpuFailed": "The export goes on on the processor, and a note on the job says so; later exports use the "
    "GPU again if it works.",
    "OutOfMemory": "Tiles were made smaller already, and the job has been tried alone.",
    "DownloadFailed": "What was downloaded is kept; the same command goes on from there.",
    "QueueBusy": "Nothing is wrong with the request: later it may go through.",
    "OutputInUse": "Two exports cannot write one file. The problem details name the job in the way.",
    "DuplicateJob": "A project has one live job of a kind; `allow_duplicate` submits beside it.",
    "IllegalMove": "The job's state has changed since it was shown.",
    "WorkerLost": "A process that rendered has died, mostly of too little memory or a file that crashes a "
    "codec. The job is tried again from its last finished segment; after three such losses it fails.",
    "ServerUnreachable": "The kernel or the shell cannot find or reach the Jupyter server.",
    "InternalError": "A bug of ours. Please report it with the job's log (`GET jobs/<id>/log`).",
}


_VALUES = "What a single value can be refused with; `field` says which one it is:"

#: The texts are pydantic's.
WRONG_VALUES = {
    "Field required.": "Give the field; see the [spec](spec.md).",
    "Input should be a valid number.": "Write it as a number, without quotes or units.",
    "Input should be a valid number, unable to parse string as a number.": "Write it as a number.",
    "Input should be a finite number.": "No NaN, and nothing infinite.",
    "Input should be a valid integer.": "Write a whole number.",
    "Input should be a valid integer, unable to parse string as an integer.": "Write a whole number.",
    "Input should be a valid integer, got a number with a fractional part.": "Write a whole number.",
    "Input should be a valid string.": "Write it as a text, in quotes.",
    "Input should be a valid boolean.": "Write true or false.",
    "Input should be a valid boolean, unable to interpret input.": "Write true or false.",
    "Input should be a valid tuple.": "Write a list, in square brackets.",
    "Input should be a valid list.": "Write a list, in square brackets.",
    "Input should be a valid dictionary or instance of ….": "Write an object, in curly brackets.",
    "Input should be … or ….": "Use one of the values that it names.",
    "Input should be greater than ….": "Use a larger value.",
    "Input should be greater than or equal to ….": "Use a larger value.",
    "Input should be less than ….": "Use a smaller value.",
    "Input should be less than or equal to ….": "Use a smaller value.",
    "Input tag … found using … does not match any of the expected tags: ….": "Use one of the types that it names.",
    "Unable to extract tag using discriminator ….": "Say the type: the field that it names.",
    "String should have at least … character….": "Write something there.",
    "String should have at most … characters.": "Write it shorter.",
    "String should match pattern ….": "Use the characters that it names.",
    "Tuple should have at least … item… after validation, not ….": "Give more of them.",
    "Tuple should have at most … items after validation, not ….": "Give fewer of them.",
    "List should have at most … items after validation, not ….": "Give fewer of them.",
    "There is no such field; check the spelling against the JSON Schema.": "See the [spec](spec.md).",
}

_REASONS = "The reasons why an encoder cannot be used:"


@cache
def troubleshooting_page() -> str:
    """Every text of every error, by its type, from the code itself."""
    found = defaultdict(dict)
    for name, text, advice in error_texts():
        found[name].setdefault(text, advice)
    lines = [
        "# Troubleshooting",
        "",
        "Every error says what went wrong and what to do, in the same words in the panel, in REST, in a",
        "notebook and on the command line. Search this page for a few words of yours; `…` stands for names",
        "and numbers. A job's log (in the panel: unfold the row; `GET jobs/<id>/log`) has what the libraries",
        "said; `jupyter export doctor` tells which encoders and GPUs can be used and why not; `GET health`",
        "tells whether the server can work at all.",
        "",
    ]
    for name in (n for n in _tree(errors.ExportError) if n in found):
        kind: type[errors.ExportError] = getattr(errors, name)
        lines += [f"## {kind.title} (`{kind.type()}`)", ""]
        if about := _ABOUT.get(name):
            lines += [about, ""]
        lines += ["| it says | what to do |", "| --- | --- |"]
        lines += [f"| {_cell(t)} | {_cell(a)} |" for t, a in sorted(found[name].items())]
        lines.append("")
        if name == "SpecError":
            lines += [_VALUES, "", "| it says | what to do |", "| --- | --- |"]
            lines += [f"| {text} | {advice} |" for text, advice in WRONG_VALUES.items()]
            lines.append("")
        if name == "EncoderUnavailable":
            lines += [_REASONS, "", *(f"- {reason}" for reason in encoder_reasons()), ""]
    lines += ["## Waiting took too long (`TimeoutError`, in Python)", ""]
    lines += [f"- {text}" for text in sorted(found["TimeoutError"])]
    lines += ["", "## Said by the form, the panel and the editor alone", ""]
    lines += [f"- {text}" for text in page_texts()]
    return "\n".join(lines).rstrip() + "\n"


def _tree(root: type[errors.ExportError]) -> Iterator[str]:
    yield root.__name__
    for child in root.__subclasses__():
        yield from _tree(child)


#: Errors made of other errors, whose texts are found where those are made; and pydantic's.
PASSED_ON = {
    "app.py: QueueBusy",
    "notebook/connection.py: SpecError",
    "queue/refusals.py: OutOfMemory",
    "server/base.py: SpecError",
    "spec/export.py: SpecError",
    "tables/paths.py: SpecError",
    "upscale/weights.py: ModelUnusable",
}


def error_texts() -> Iterator[tuple[str, str, str]]:
    """(class, detail, advice) of each error that the code raises; ``…`` for what varies.

    Without a class: a place whose text is not there to be read; `PASSED_ON` has all of them.
    """
    names = {*_tree(errors.ExportError), "TimeoutError"}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ast.parse(path.read_text())
        for function in ast.walk(module):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            texts = _Texts(module, function)
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and node.args:
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    inside_spec = name == "ValueError" and "spec" in path.parts
                    if name in names or inside_spec:
                        details, *advices = [texts.of(argument) for argument in node.args[:2]]
                        told = [text for text in details if len(text.replace("…", "").split()) > 1]
                        if not told:
                            yield "", f"{path.relative_to(PACKAGE).as_posix()}: {name}", ""
                        for text in told:
                            if inside_spec:  # what pydantic tells of it, without the field
                                text = re.sub(r"^[\w.\[\]…]+: ", "", text)
                                text = f"{text[:1].upper()}{text[1:]}."
                            advice = "; ".join(a for a in advices[0] if a) if advices else ""
                            yield "SpecError" if inside_spec else name, text, advice


class _Texts:
    """What expressions inside a function can be as text."""

    def __init__(self, module: ast.Module, function: ast.FunctionDef | ast.AsyncFunctionDef):
        self._module = module
        self._function = function
        self._open: set[tuple[str, str]] = set()
        """What is looked up just now, and where: a name may be made from itself."""

    def of(self, node: ast.expr) -> list[str]:
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                texts = [""]
                for part in parts:
                    more = self.of(part)
                    texts = [text + end for text in texts for end in more]
                return texts
            case ast.FormattedValue(value=ast.Name() as value, conversion=-1, format_spec=None):
                return self.of(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return [a + b for a in self.of(left) for b in self.of(right)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return [text for value in values for text in self.of(value)]
            case ast.IfExp(body=one, orelse=other):
                return self.of(one) + self.of(other)
            case ast.Call(func=ast.Attribute(value=inner, attr="capitalize" | "rstrip")):
                return self.of(inner)
            case ast.Call(func=ast.Name(id=name)):
                return self._looked_up(name, self._returned) or ["…"]
            case ast.Name(id=name):
                return self._looked_up(name, self._named) or ["…"]
        return ["…"]

    def _looked_up(self, name: str, find: Callable[[str], list[str]]) -> list[str]:
        key = (self._function.name, name)
        if key in self._open:
            return []
        self._open.add(key)
        texts = find(name)
        self._open.remove(key)
        return list(dict.fromkeys(texts))

    def _named(self, name: str) -> list[str]:
        """A variable: what is assigned to it here, what it is called with, or a constant."""
        texts = []
        for node in ast.walk(self._function):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    texts += self._assigned(target, node.value, name)
            elif isinstance(node, ast.NamedExpr) and node.target.id == name:
                texts += filter(None, self.of(node.value))
        parameters = [a.arg for a in self._function.args.args if a.arg != "self"]
        if name in parameters:
            place = parameters.index(name)
            for node in ast.walk(self._module):
                if isinstance(node, ast.Call) and len(node.args) > place:
                    called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    if called == self._function.name:
                        texts += self.of(node.args[place])
        for node in self._module.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    texts += self._assigned(target, node.value, name)
        return texts

    def _returned(self, name: str) -> list[str]:
        for function in self._module.body:
            if isinstance(function, ast.FunctionDef) and function.name == name:
                inside = _Texts(self._module, function)
                inside._open = self._open
                return [
                    text
                    for node in ast.walk(function)
                    if isinstance(node, ast.Return) and node.value is not None
                    for text in inside.of(node.value)
                    if text
                ]
        return []

    def _assigned(self, target: ast.expr, value: ast.expr, name: str) -> list[str]:
        match target, value:
            case ast.Name(id=found), _ if found == name:
                return self.of(value)
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                pairs = zip(targets, values, strict=False)
                return [text for pair in pairs for text in self._assigned(*pair, name)]
        return []


def encoder_reasons() -> list[str]:
    """Why an encoder cannot be used, as `doctor` and errors tell it."""
    rules = [reason for rules in reasons._RULES.values() for _, reason in rules]
    others = [
        value
        for name, value in vars(reasons).items()
        if isinstance(value, str) and name.lstrip("_").isupper()
    ]
    return sorted({re.sub(r"{\w+}", "…", text) for text in (*rules, *others)}, key=str.lower)


def page_texts() -> list[str]:
    """What the form, the panel and the editor say by themselves when something is wrong."""
    found = set()
    for path in sorted((PACKAGE.parent / "js" / "src").rglob("*.ts*")):
        text = path.read_text()
        for pattern in (
            r"new FieldError\(\s*'\w+',\s*trans\.__\(\s*'([^']+)'",
            r"const badTime[^;]*?trans\.__\('([^']+)'",
            r"'(The server does not answer\.)'",
            r"'((?:This browser cannot|The file changed while)[^']+)'",
        ):
            found.update(re.findall(pattern, text))
    return sorted(re.sub(r"%\d", "…", text) for text in found)


PAGES = {
    "settings.md": settings_page,
    "rest.md": rest_page,
    "troubleshooting.md": troubleshooting_page,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
