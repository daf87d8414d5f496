"""Four distributions of one source tree: each works alone, and together they contain everything."""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from typer.testing import CliRunner

import stillwatch
from other_package import unpack
from stillwatch.cli.main import GROUP, app
from stillwatch.cli.verb import SEPARATE

ROOT = Path(__file__).parent.parent
PACKAGE = Path(stillwatch.__file__).parent
FOLDERS = {"distill": "distill", "provenance": "prove", "range": "range"}  # distribution -> its package
PROJECTS = {"": ROOT} | {f"-{name}": ROOT / "distributions" / name for name in FOLDERS}
SAMPLE = "stillwatch/range/data/sample/"
NEEDED_BY_TESTS = ("scipy", "scipy.libs")  # and by no distribution
INSTALLED = Path(metadata.distribution("numpy").locate_file(""))
EVERY_VERB = """
import json, typer
from stillwatch.cli.main import app
def verbs(command, path):
    for word in command.list_commands(None):
        below = command.get_command(None, word)
        yield [*path, word]
        if hasattr(below, "commands"):
            yield from verbs(below, [*path, word])
print(json.dumps(list(verbs(typer.main.get_command(app), []))))
"""
EXIT_AND_TEXT = """
import json, sys
from typer.testing import CliRunner
from stillwatch.cli.main import app
done = [CliRunner().invoke(app, path) for path in json.loads(sys.argv[1])]
print(json.dumps([(one.exit_code, one.output) for one in done]))
"""


def project(name: str) -> Any:
    """Return a distribution's pyproject.toml."""
    return tomllib.loads((PROJECTS[name] / "pyproject.toml").read_text())


def commands(name: str) -> dict[str, str]:
    """Return the verbs that a distribution declares."""
    found: dict[str, str] = project(name)["project"].get("entry-points", {}).get(GROUP, {})
    return found


# --- the projects' metadata ---


def test_all_are_of_one_version_and_licence() -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    extras = project("")["project"]["optional-dependencies"]
    for name, folder in PROJECTS.items():
        told = project(name)["project"]
        assert told["version"] == stillwatch.__version__
        assert (folder / "LICENSE").read_bytes() == licence
        ours = [one for one in told["dependencies"] if one.startswith("stillwatch")]
        assert all(one.endswith(f"=={stillwatch.__version__}") for one in ours)
        assert bool(ours) == bool(name)
    pins = {name: [f"stillwatch-{name}=={stillwatch.__version__}"] for name in FOLDERS}
    assert {name: extras[name] for name in FOLDERS} == pins
    assert sorted(extras["all"]) == sorted(pin for (pin,) in pins.values())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_each_module_with_verbs_is_an_entry_point(name: str, folder: str) -> None:
    package = f"stillwatch.{folder}.cli"
    modules = [
        import_module(f"{package}.{one.name}") for one in iter_modules(import_module(package).__path__)
    ]
    with_verbs = {one.__name__ for one in modules if hasattr(one, "app") or hasattr(one, "register")}
    assert set(commands(f"-{name}").values()) == with_verbs


def test_this_environment_has_the_verbs_of_all() -> None:
    have = {point.name: point.value for point in metadata.entry_points(group=GROUP)}
    wanted = {name: value for one in PROJECTS for name, value in commands(one).items()}
    assert wanted.items() <= have.items(), (
        "installed before the verbs were: rm .venv/.core .venv/.dev; make test"
    )


@pytest.mark.slow
def test_no_core_module_reaches_into_another_distribution() -> None:
    """Neither by an import, at the top or later, nor by a name that would be imported."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in FOLDERS.values():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{one.name}" for one in node.names]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value]
            if any(re.match(rf"stillwatch\.({'|'.join(FOLDERS.values())})\b", one) for one in names):
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")  # type: ignore[attr-defined]
    assert not wrong


# --- the built distributions ---


@dataclass(frozen=True)
class BuiltDistributions:
    """A wheel and an sdist of each distribution."""

    wheels: dict[str, Path]
    sdists: dict[str, Path]

    def files(self, name: str) -> dict[str, bytes]:
        """Return what a wheel installs, without its metadata."""
        return wheel_files(self.wheels[name])


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """Return what a wheel installs, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def build(folder: Path, out: Path, *targets: str) -> dict[str, Path]:
    """Build a project; return its files by suffix."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out), *targets]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {one.suffix: one for one in out.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltDistributions:
    found = {}
    for name, folder in PROJECTS.items():
        found[name] = build(folder, tmp_path_factory.mktemp("dist"))
    wheels = {name: files[".whl"] for name, files in found.items()}
    return BuiltDistributions(wheels, {name: files[".gz"] for name, files in found.items()})


@pytest.mark.slow
def test_no_file_is_in_two_wheels_and_none_is_missing(built: BuiltDistributions) -> None:
    packed = Counter(file for name in PROJECTS for file in built.files(name))
    assert not [file for file, times in packed.items() if times > 1]
    source = {
        f"stillwatch/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sample = {f"{SAMPLE}{path.name}" for path in (ROOT / "sample").iterdir() if path.is_file()}
    assert set(packed) == source | sample


@pytest.mark.slow
def test_a_wheel_holds_its_own_package_alone(built: BuiltDistributions) -> None:
    for name, folder in FOLDERS.items():
        assert all(file.startswith(f"stillwatch/{folder}/") for file in built.files(f"-{name}"))
        assert not any(file.startswith(f"stillwatch/{folder}/") for file in built.files(""))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROJECTS)
def test_an_sdist_builds_the_same_wheel(name: str, built: BuiltDistributions, tmp_path: Path) -> None:
    with tarfile.open(built.sdists[name]) as archive:
        assert all(one.isfile() for one in archive), "a link leads nowhere outside the repository"
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    again = build(folder, tmp_path / "dist", "-t", "wheel")[".whl"]
    source = {file: data for file, data in built.files(name).items() if not file.endswith(".so")}
    assert {file: data for file, data in wheel_files(again).items() if not file.endswith(".so")} == source
    assert again.name == built.wheels[name].name
    assert len(wheel_files(again)) == len(built.files(name))  # with the kernels


@dataclass(frozen=True)
class FreshEnvironment:
    """An environment with Stillwatch's dependencies, and with the parts of Stillwatch installed into it."""

    folder: Path

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run("python", *words)

    def stillwatch(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run("stillwatch", *words)

    def pip(self, *words: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin" / "python")]
        subprocess.run([*pip, *words], check=True, capture_output=True, timeout=300)

    def installed(self) -> set[str]:
        (place,) = self.folder.glob("lib/python3*/site-packages/stillwatch")
        files = (one for one in place.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
        return {one.relative_to(place.parent).as_posix() for one in files}

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.folder / "bin" / program, *words],
            cwd=self.folder,
            env=clean | {"COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def core(built: BuiltDistributions, tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """The core alone: the environment's dependencies are linked, without Stillwatch itself."""
    folder = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    linked = folder / "dependencies"
    linked.mkdir()
    for one in INSTALLED.iterdir():
        if "stillwatch" not in one.name and one.suffix != ".pth" and one.name not in NEEDED_BY_TESTS:
            (linked / one.name).symlink_to(one)
    (place,) = folder.glob("lib/python3*/site-packages")
    (place / "dependencies.pth").write_text(f"{linked}\n")
    found = FreshEnvironment(folder)
    found.pip("install", "--no-deps", "--no-index", str(built.wheels[""]))
    return found


def verbs_of(where: FreshEnvironment) -> set[tuple[str, ...]]:
    done = where.python("-c", EVERY_VERB)
    assert done.returncode == 0, done.stderr
    return {tuple(path) for path in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def every_verb() -> set[tuple[str, ...]]:
    told = subprocess.check_output([sys.executable, "-c", EVERY_VERB], text=True, timeout=300)
    return {tuple(path) for path in json.loads(told)}


@pytest.mark.slow
def test_the_core_alone_scans_serves_and_keeps_cases(core: FreshEnvironment) -> None:
    assert core.installed().isdisjoint(f"stillwatch/{folder}/__init__.py" for folder in FOLDERS.values())
    for words in ["--help"], ["serve", "--help"], ["case", "--help"], ["ban", "check", "deepseek-v3"]:
        done = core.stillwatch(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    sample = ROOT / "sample"
    words = ["scan", str(sample / "exchanges.parquet"), "--accounts", str(sample / "accounts.parquet")]
    assert core.stillwatch(*words).returncode == 0
    findings = json.loads((core.folder / "stillwatch-report" / "findings.json").read_text())
    account = findings["campaigns"][0]["accounts"][0]
    explained = core.stillwatch("explain", str(account if isinstance(account, str) else account["account"]))
    assert explained.returncode == 0, explained.stderr


@pytest.mark.slow
def test_the_core_says_what_to_install(core: FreshEnvironment, every_verb: set[tuple[str, ...]]) -> None:
    missing = sorted(every_verb - verbs_of(core))
    assert {" ".join(path) for path in missing} >= set(SEPARATE)
    done = core.python("-c", EXIT_AND_TEXT, json.dumps(missing))
    for path, (code, text) in zip(missing, json.loads(done.stdout), strict=True):
        part = next(part for verb, part in SEPARATE.items() if " ".join(path).startswith(verb))
        assert code == 2, path
        assert text.count("\n") == 1
        assert f"pip install 'stillwatch[{part}]'" in text
    done = core.stillwatch("range", "--help")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_each_of_the_others_comes_and_goes_by_itself(
    built: BuiltDistributions, core: FreshEnvironment, every_verb: set[tuple[str, ...]]
) -> None:
    before = core.installed()
    try:
        core.pip("install", "--no-deps", "--no-index", *(str(built.wheels[f"-{name}"]) for name in FOLDERS))
        assert verbs_of(core) == every_verb
        assert core.stillwatch("range", "list").returncode == 0
        core.pip("uninstall", "-y", "stillwatch-range")
        assert verbs_of(core) == {path for path in every_verb if path[0] != "range"}
        assert core.stillwatch("range").returncode == 2
    finally:
        core.pip("uninstall", "-y", *(f"stillwatch-{name}" for name in FOLDERS))
    assert core.installed() == before
    assert core.stillwatch("prove").returncode == 2


# --- verbs of third-party packages ---

ACME = """
import typer
app = typer.Typer(no_args_is_help=True, add_completion=False)
@app.callback()
def about() -> None: ...
@app.command("greet")
def greet() -> None:
    print("hello")
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """Install a package that declares one verb, and run a command line."""

    def type_words(entry: str, words: str) -> Any:
        unpack(tmp_path / "site", GROUP, entry, ACME if entry.endswith("acme_verbs") else None)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return CliRunner().invoke(app, words.split())

    return type_words


def test_an_installed_package_adds_a_verb(acme: Callable[[str, str], Any]) -> None:
    done = acme("acme = acme_verbs", "acme greet")
    assert (done.exit_code, done.output) == (0, "hello\n")


def test_a_package_cannot_take_the_place_of_a_verb(acme: Callable[[str, str], Any]) -> None:
    done = acme("key = acme_verbs", "key greet")
    assert done.exit_code == 2
    assert "hello" not in done.output


def test_a_broken_package_stops_no_other_verb(acme: Callable[[str, str], Any]) -> None:
    assert acme("acme = acme_gone", "key --help").exit_code == 0
    done = CliRunner().invoke(app, ["acme"])
    assert done.exit_code == 2
    assert re.fullmatch(
        r"stillwatch: entry point acme = acme_gone of .*cannot be loaded.*acme_gone'\n", done.output
    )
