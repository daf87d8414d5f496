"""Writes the documents of a bundle: instructions, a draft certificate, the detectors' code, clock, versions.

None of them is computed from events. The texts are in readme.txt and certificate.txt.
"""

import ast
import builtins
import ctypes
import dis
import hashlib
import importlib
import inspect
import pkgutil
import platform
import re
import struct
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata, resources
from types import CodeType
from typing import Any

import stillwatch
from stillwatch.cases import Json
from stillwatch.cases.alert import CALIBRATION, VICTIMS
from stillwatch.cases.bundle import BundleError, recompute
from stillwatch.cases.bundle.claimed import REASONS, recomputed_by
from stillwatch.cases.bundle.contradictions import MARKER, plain
from stillwatch.cases.bundle.sentences import NUMBER_HERE, VALUE_HERE
from stillwatch.cases.bundle.verify import COMPUTING
from stillwatch.cases.claims import (
    ATLAS_ALWAYS,
    LINKS_SHOWN,
    NEVER_CLAIMED,
    documented_limits,
    hashed_modules,
    signal_sources,
)
from stillwatch.features.definitions import FEATURES
from stillwatch.report import folded
from stillwatch.scan.assemble import clues
from stillwatch.scan.explanations import SHORT
from stillwatch.scan.measured import MEASURED
from stillwatch.scan.parts import MANNERS, RAISING, TEST_NAME
from stillwatch.signals import signal_of

CHECKER = (
    "verify.py",
    *(f"{name}.py" for name in COMPUTING),
    "contradictions.py",
    "timestamp.py",
    "answers.py",
)
PACKAGES = ("stillwatch", "numpy", "pyarrow", "duckdb", "sqlalchemy", "cryptography")
TEST_PARTS = (  # the alarm's own test, and the modules that decide which accounts it names
    "stillwatch.scan.settings",
    "stillwatch.scan.watch",
    "stillwatch.scan.alarms",
    "stillwatch.scan.group_members",
    "stillwatch.scan.doubtful_groups",
    "stillwatch.scan.findings",
    "stillwatch.scan.campaigns",
    "stillwatch.scan.assemble",
    "stillwatch.scan.harvest",
    "stillwatch.stats.groups",
)
TEXT_PARTS = {  # modules with the text of sentences that no signal makes
    "benign": ("stillwatch.scan.alternatives", "stillwatch.scan.explanations"),
    "limits": (
        "stillwatch.scan.limits", "stillwatch.scan.live", "stillwatch.scan.seen_window",
        "stillwatch.scan.pipeline", "stillwatch.cases.claims",
    ),
    "milestone": ("stillwatch.scan.harvest", "stillwatch.scan.milestones"),
}  # fmt: skip
UNSYNCHRONISED = 0x40  # STA_UNSYNC of ntp_adjtime(2)


def modules_of(name: str) -> list[Any]:
    """Return the modules of a detector or clue; for the alarm's test, all that decide whom it names."""
    if name == TEST_NAME:
        return [importlib.import_module(part) for part in TEST_PARTS]
    return [signal_sources()[name]] if name in signal_sources() else []


def place_of(module: Any) -> str:
    """Return the name of a module's source file in a bundle."""
    return f"code/{module.__name__.removeprefix('stillwatch.').replace('.', '/')}.py"


def sources(modules_named: Iterable[str]) -> dict[str, bytes]:
    """Return the sources of the alarm's test and of the finding's detectors and clues, by file name."""
    modules = [module for name in sorted(set(modules_named)) for module in modules_of(name)]
    return {place_of(module): inspect.getsource(module).encode("utf-8") for module in modules}


@cache
def release() -> Json:
    """Return what a checker of this release knows: its code, definitions and texts."""
    names = sorted({*signal_sources(), TEST_NAME})
    code = sources(names)
    return {
        "version": stillwatch.__version__,
        "spoke": {name: [place_of(module) for module in modules_of(name)] for name in names},
        "hashed": {name: [place_of(module) for module in hashed_modules(name)] for name in names},
        "code": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(code.items())},
        "definitions": hashlib.sha256(_definitions().encode("utf-8", "backslashreplace")).hexdigest(),
        "readme": resources.files("stillwatch.cases.bundle").joinpath("readme.txt").read_text("utf-8"),
        "measured_on": " ".join(MEASURED),
        "checker": CHECKER,
        **_meanings(names),
        "manners": sorted({*MANNERS, *(signal_of(one).title for one in signal_sources().values())} - {""}),
    }


def _meanings(names: Iterable[str]) -> Json:
    """Return what alerts of this release add to their findings, and the pieces of text in its code."""
    sources_found = signal_sources()
    signals = [(name, signal_of(module)) for name, module in sources_found.items()]
    made_by = {name: _text_modules(sources_found.get(name)) for name in names}
    pieces = {key: _pieces(found) for key, found in made_by.values()}
    pieces |= {key: _pieces(map(importlib.import_module, parts)) for key, parts in TEXT_PARTS.items()}
    return {
        "clues": {item.NAME: (str(item.CONTROL), str(item.CLASS)) for item in clues()},
        "limits": {name: documented_limits(name) for name in names},
        "raising": sorted(RAISING),
        "signals": [
            {"name": name, "capability": item.capability, "atlas": item.atlas}
            for name, item in sorted(signals, key=lambda found: found[1].order)
        ],
        "atlas": ATLAS_ALWAYS,
        "atlas_of_victims": VICTIMS,
        "calibration": CALIBRATION,
        "short": SHORT,
        "links_shown": LINKS_SHOWN,
        "never_claimed": NEVER_CLAIMED,
        "made_by": {name: key for name, (key, _) in made_by.items()},
        "pieces": pieces,
        "why_not": sorted({*REASONS, *(signal.not_recomputed for _, signal in signals)} - {""}),
    }


def _text_modules(module: Any) -> tuple[str, list[Any]]:
    """Return the modules that contain the text of a signal's sentences, and a name for them."""
    if module is None or module.__name__.startswith("stillwatch.scan."):
        return "scan", [importlib.import_module(name) for name in _modules_in("stillwatch.scan")]
    package = module.__name__.rpartition(".")[0]
    shared = (
        [name for name in _modules_in(package) if name.rpartition(".")[2].startswith("_")] if package else []
    )
    names = ["stillwatch.actors", *([package] if package else []), *shared]
    return module.__name__, [module, *map(importlib.import_module, names)]


def _modules_in(package: str) -> list[str]:
    found = importlib.import_module(package)
    return [
        package,
        *(f"{package}.{item.name}" for item in pkgutil.iter_modules(getattr(found, "__path__", ()))),
    ]


def _pieces(modules_given: Iterable[Any]) -> list[str]:
    """Return the texts in the code of modules, without docstrings; a mark stands for each inserted value."""
    texts = set[str]()
    for module in modules_given:
        tree, known = ast.parse(inspect.getsource(module)), set[ast.AST]()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):  # a docstring
                known.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                known |= {part for part in node.values if isinstance(part, ast.Constant)}
                formats = [part for part in node.values if isinstance(part, ast.FormattedValue)]
                known |= {one for part in formats if part.format_spec for one in ast.walk(part.format_spec)}
                texts.add("".join(map(_piece, node.values)))
        plain = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in known
        ]
        texts |= {re.sub(r"\{\w*\}", VALUE_HERE, text) for text in plain if isinstance(text, str)}
    return sorted(texts)


def _piece(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    return NUMBER_HERE if isinstance(part, ast.FormattedValue) and part.format_spec else VALUE_HERE


def queries(why: Iterable[Mapping[str, Any]]) -> bytes:
    """Write the definitions of the numbers, and the commands that reproduce the finding."""
    lines = [MARKER, *(f"--   {claim['detector']}: {plain(claim['query'])}" for claim in why)]
    return (_definitions() + "\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _definitions() -> str:
    lines = ["-- What a number about an account or an actor is (stillwatch/features/definitions.py).", ""]
    for feature in FEATURES:
        sums = "; ".join(f"{name} = SUM({value})" for name, value in feature.sums)
        lines += [f"-- {feature.name} ({feature.unit}): {feature.doc}"]
        lines += [f"--   with {sums}"] if sums else []
        lines += [f"SELECT account, {feature.sql} AS {feature.name} FROM states;", ""]
    return "\n".join(lines) + "\n"


def environment(now_us: int) -> Json:
    """Describe the versions that ran, and what this machine knows about its clock."""
    return {
        "python": sys.version.split()[0],
        "platform": f"{platform.system()} {platform.machine()}",  # the kernel's version is left out
        "packages": {name: _version(name) for name in PACKAGES},
        "exported_us": now_us,
        "clock": clock(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def clock() -> Json:
    """Ask the kernel whether the clock is synchronised, and its largest error."""
    unknown = {"synchronised": None, "estimated_error_us": None, "largest_error_us": None}
    if sys.platform != "linux" or struct.calcsize("l") != 8:
        return unknown
    buffer = ctypes.create_string_buffer(256)  # struct timex; modes = 0: read only
    if ctypes.CDLL(None, use_errno=True).ntp_adjtime(buffer) < 0:
        return unknown
    largest, estimated, status = struct.unpack_from("<24xqqi", buffer.raw)
    return {
        "synchronised": not status & UNSYNCHRONISED,
        "estimated_error_us": estimated,
        "largest_error_us": largest,
    }


def certificate(facts: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]], gaps: Iterable[Any]) -> bytes:
    """Return the draft certificate. facts: case, title, exported_at, exported_by, version, clock."""
    files = [f"   {item['sha256']}  {item['bytes']:>12,} bytes  {item['name']}" for item in inputs]
    holes = [f"   {item['start']} to {item['end']}: {item['text']}" for item in gaps]
    words = {
        "inputs": "\n".join(map(plain, files)) or "   [NONE IS ON RECORD: SAY WHICH FILES WERE SCANNED]",
        "gaps": "\n".join(map(plain, holes)) or "   none [SAY WHETHER YOU KNOW OF ANY]",
    }
    return _filled("certificate.txt", facts, words)


def readme(facts: Mapping[str, Any]) -> bytes:
    """Return the instructions for reading and checking the bundle. facts: case, title, version."""
    return _filled("readme.txt", facts, {})


def _filled(name: str, facts: Mapping[str, Any], words: Mapping[str, str]) -> bytes:
    """Insert names into a text, each on one line, since a name may come from an untrusted source."""
    text = resources.files("stillwatch.cases.bundle").joinpath(name).read_text("utf-8")
    safe = {key: plain(str(value)) for key, value in facts.items()}
    return text.format(**safe, **words).encode("utf-8", "backslashreplace")


def checker() -> dict[str, bytes]:
    """Return the files of the checker in a bundle; one of them contains what this release knows."""
    package = resources.files("stillwatch.cases.bundle")
    files = {name: package.joinpath(name).read_bytes() for name in CHECKER}
    for name, place, hash_known in (
        (
            "contradictions.py",
            "RELEASE: dict[str, Any] | None = None\n",
            f"RELEASE: dict[str, Any] | None = {release()!r}\n",
        ),
        ("recompute.py", "TIES: dict[str, Ties] = {}\n", "TIES: dict[str, Ties] = {}\n" + _signals_source()),
        ("alert_fields.py", "shared_traits: Any = None\n", _folding_source()),
    ):
        head, line, rest = files[name].partition(place.encode())
        if not line:
            raise BundleError(f"{name} has no place for what its release knows")
        files[name] = head + hash_known.encode() + rest
    return files


def _folding_source() -> str:
    """Return the report's source code that folds links into rows."""
    functions = inspect.getsource(folded.node_of_each), inspect.getsource(folded.shared_traits)
    constants = (
        f"import statistics  # used here alone\n\nSHARED = {folded.SHARED}\nOTHER = {folded.OTHER!r}\n"
    )
    return constants + "\n\n".join(["", *functions]) + "\n"


def _signals_source() -> str:
    """Return the source code with which each signal recomputes its numbers, from the signal's own file."""
    lines = []
    numbers, ties = recomputed_by()
    for table, functions in (("RECOMPUTE", numbers), ("TIES", ties)):
        for name, function in functions.items():
            if unknown := _names_used(function.__code__) - vars(recompute).keys() - vars(builtins).keys():
                raise BundleError(
                    f"signal {name}: {function.__name__} uses {', '.join(sorted(unknown))}, which no bundle "
                    "has: see docs/detectors.md, Add a detector"
                )
            lines += ["\n", inspect.getsource(function), f"\n\n{table}[{name!r}] = {function.__name__}\n"]
    return "".join(lines)


def _names_used(code: CodeType) -> set[str]:
    """Return the global names that a function uses."""
    used = {str(step.argval) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return used.union(*map(_names_used, inner))
