"""A signal is one file: in the project, or in a separately installed package."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from other_package import unpack
from stillwatch.actors import spread
from stillwatch.cases.bundle import BundleError, documents
from stillwatch.cases.claims import signal_sources
from stillwatch.detectors import lone_harvest
from stillwatch.errors import InputError
from stillwatch.scan import failover, holds, new_settings
from stillwatch.scan.assemble import detectors
from stillwatch.scan.parts import GROUP_TESTS, PARTS, RAISING, TEST_NAME, kinds_of
from stillwatch.signals import blamed_on_its_package

DETECTOR = '''
"""Requests with tools.

Null: an account's share is drawn from the population's.
Blind to: harvests of text alone.
Fooled by: agents.
Source: none.
"""
from stillwatch.detectors import unusual_share
from stillwatch.signals import Signal

NAME = "many_tools"
ATLAS = ("AML.T0053", "LLM Plugin Compromise", "tools were called")
SIGNAL = Signal(title="calling tools", capability="tool calls", atlas=ATLAS, order=5)


def state(subject, population):
    return unusual_share(subject, population, "tool_share", 0.1, "{actual} of {n}: {p95}")


def recompute(evidence):
    return evidence.share([one["w"] > 3 for one in evidence.harvest])
'''


def install(place: Path, source: str = DETECTOR, group: str = "stillwatch.detectors") -> Path:
    """A package with one signal, as pip would unpack it."""
    return unpack(place, group, "many_tools = acme_signals", source)


def beside(place: Path, code: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(place), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )


@pytest.mark.slow
def test_a_detector_of_an_installed_package_is_stated_titled_and_computed_again(tmp_path: Path) -> None:
    done = beside(
        install(tmp_path),
        """
        import pyarrow as pa
        from stillwatch.cases import claims
        from stillwatch.cases.bundle import documents
        from stillwatch.detectors import Population
        from stillwatch.scan.assemble import detectors

        mine = next(one for one in detectors() if one.NAME == "many_tools")
        population = Population(pa.table({"exchanges": [50] * 200, "tool_share": [0.0] * 200}))
        print(mine.state({"exchanges": 900, "tool_share": 0.6}, population).text)
        print(claims._signals({"many_tools", "logprob_harvest"})[0].capability)
        print(claims._atlas({"many_tools"})[-1]["id"], claims.documented_limits("many_tools")["Fooled by"])
        print(documents.place_of(mine), "many_tools" in documents.release()["spoke"])
        checker = {"__package__": "stillwatch.cases.bundle"}
        exec(documents.checker()["recompute.py"], checker)
        evidence = object.__new__(checker["OpenedBundle"])
        evidence.harvest = [{"w": 2}, {"w": 5}]
        print(checker["RECOMPUTE"]["many_tools"](evidence))
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "60% of 900: 0%",
        "tool calls",
        "AML.T0053 agents",
        "code/acme_signals.py True",
        "{'actual': 0.5, 'n': 2}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_the_kind", "cannot be loaded: ModuleNotFoundError"),
        ("NAME = 'many_tools'", "has no state"),
        (DETECTOR.replace("many_tools", "no_dialogue"), "several signals are named no_dialogue"),
        (DETECTOR.replace('"many_tools"', '["x"]'), "its NAME is ['x']; right would be str"),
        (DETECTOR.replace("def state", "state = 7\ndef state_"), "its state is 7; right would be a function"),
        (DETECTOR + "\nSIGNAL = 7", "the SIGNAL of many_tools is no"),
    ],
)
def test_what_is_no_signal_is_refused_with_its_place(tmp_path: Path, source: str, said: str) -> None:
    done = beside(install(tmp_path, source), "from stillwatch.scan.assemble import detectors; detectors()")
    assert done.returncode == 1
    assert "InputError" in done.stderr
    assert said in done.stderr
    assert "stillwatch.detectors" in done.stderr


@pytest.mark.slow
def test_a_reader_of_an_installed_package_recognises_its_format(tmp_path: Path) -> None:
    reader = """
        from stillwatch.exchanges.formats import Format, Stateless
        FORMAT = Format("Acme", 5, lambda obj: "acme" in obj, lambda: Stateless(lambda obj: []))
        """
    install(tmp_path, textwrap.dedent(reader), "stillwatch.formats")
    code = "from stillwatch.exchanges.registry import recognise; print(recognise({'acme': 1}).name)"
    done = beside(tmp_path, code)
    assert (done.returncode, done.stdout) == (0, "Acme\n"), done.stderr


def test_what_travels_uses_no_name_of_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a bundle would contain a checker that fails with a NameError for its reader."""
    (mine,) = (one for one in detectors() if one.NAME == "logprob_harvest")
    monkeypatch.setattr(mine, "recompute", beside)
    with pytest.raises(BundleError, match="logprob_harvest: beside uses os"):
        documents.checker()


def test_every_number_of_a_signal_is_computed_again_or_it_says_why_not() -> None:
    silent = [
        name
        for name, module in signal_sources().items()
        if not hasattr(module, "recompute") and not getattr(module, "SIGNAL", None)
    ]
    assert set(silent) <= {"echo", "pivot", "lone_harvest", "holds", "new_settings", "failover"}


CLUE = """
NAME = "same_agent"
CONTROL = "client"
CLASS = "client program"


def weigh(actor, world):
    raise KeyError("oh")
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", ["import nothing_of_the_kind", CLUE.replace("CLASS", "KIND")])
def test_a_broken_clue_ends_a_command_with_its_place_and_no_traceback(tmp_path: Path, source: str) -> None:
    run = "import sys; from stillwatch.cli.main import run; sys.argv[1:] = ['case', 'list']; sys.exit(run())"
    done = beside(install(tmp_path, source, "stillwatch.clues"), run)
    assert done.returncode == 2, done.stderr
    assert "entry point many_tools = acme_signals of stillwatch.clues: " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_strangers_signal_raises_is_said_with_its_name() -> None:
    theirs = SimpleNamespace(__name__="acme", __file__="acme.py", NAME="same_agent")
    for wrong in (KeyError("oh"), SystemExit(0), AttributeError("ties")):
        with (
            pytest.raises(InputError, match="same_agent of the package acme failed"),
            blamed_on_its_package(theirs),
        ):
            raise wrong
    ours = SimpleNamespace(__name__="stillwatch.detectors.x", __file__="x.py", NAME="x")
    with pytest.raises(KeyError), blamed_on_its_package(ours):  # an error of the program is shown as one
        raise KeyError


def test_parts_are_named_as_their_modules_are() -> None:
    """`scan.parts` imports none of them, so that a reader of findings loads no detection."""
    assert {TEST_NAME, new_settings.NAME, failover.NAME, holds.NAME} == GROUP_TESTS
    assert GROUP_TESTS | {lone_harvest.NAME} == RAISING
    assert kinds_of(PARTS) <= frozenset(spread.KINDS)
