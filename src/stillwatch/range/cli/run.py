"""`stillwatch range run`, `repro`, `compose`, `list`.

`range` mounts these verbs.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stillwatch.cli.main import print_json
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.range import manifest as made
from stillwatch.range import written
from stillwatch.range.attackers import registry as attackers
from stillwatch.range.campaigns.shapes import shapes
from stillwatch.range.cells import LIVE, SCENES
from stillwatch.range.cli.text import PIPED, print_run
from stillwatch.range.compose import compose_scene
from stillwatch.range.defences import registry as defences
from stillwatch.range.page.page import write_page
from stillwatch.range.run import RangeRun, SceneRequest, facts_of, run, scene_request
from stillwatch.range.scenes import Scene, read_scene, shipped_scenes
from stillwatch.range.table import Shares, lines
from stillwatch.report.findings import write_atomically
from stillwatch.report.terminal import progress, safe

DIFFERS, PARTLY = 1, 3  # exit codes
OUT = Path("stillwatch-range")
MODES = ("log", LIVE)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def attach(app: typer.Typer) -> None:
    """Add these verbs to `stillwatch range`."""
    verb(app, "run")(run_command)
    verb(app, "repro")(repro_command)
    verb(app, "compose")(compose_command)
    verb(app, "list")(list_command)


def run_command(
    scenes: Annotated[
        list[str], typer.Argument(metavar="SCENE...", help="A scene's file, or a name of `list`.")
    ],
    mode: Annotated[str, typer.Option(help="log: composed logs; live: a real teacher and gateway.")] = "log",
    seeds: Annotated[
        str, typer.Option(metavar="N|A,B", help="How many seeds, or which; by default those of the scene.")
    ] = "",
    defences: Annotated[str, typer.Option(metavar="A,B", help="all, ablations, or names.")] = "",
    attackers: Annotated[str, typer.Option(metavar="A,B", help="Attackers that react to what is done.")] = "",
    students: Annotated[
        bool, typer.Option("--students", help="Train real students at each harvest (extra `train`).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="By default stillwatch-range/ID.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the composed logs.")] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Logs at the same time.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="Tell no progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play scenes against defences, seed by seed: one table with intervals, a page, a manifest.

    $ stillwatch range run pool-of-60
    $ stillwatch range run pool-of-60 calm my-scene.toml --seeds 5 --jobs 2
    $ stillwatch range run pool-of-60 --defences none,prefix,stillwatch --json
    $ stillwatch range run pool-of-60 --defences stillwatch --attackers naive,adaptive
    $ stillwatch range run live-clock --mode live

    Exit codes: 0 done; 2 could not; 3 done, but some cells could not be played.
    """
    if mode not in MODES:
        raise InputError(f"--mode is {mode!r}; it can be {' or '.join(MODES)}")
    if students and mode == LIVE:
        raise InputError("--students goes with --mode log; a live play trains its own")
    wanted = tuple(
        scene_request(read_scene(name), _seeds(seeds), _names(defences), _names(attackers))
        for name in dict.fromkeys(scenes)
    )
    folder = out or OUT / facts_of(wanted, mode).id
    result, shares = _play(wanted, folder, mode, keep, jobs, students, quiet or as_json)
    document = _write_results(result, shares)
    if as_json:
        print(written.text_of(document), end="")
    else:
        screen = Console()
        print_run(result, shares, screen if screen.is_terminal else Console(width=PIPED))
    if result.refusals:
        raise typer.Exit(PARTLY)


def _seeds(text: str) -> int | tuple[int, ...] | None:
    """Read `3` as a number of seeds, and `1,2` (or `7,`) as these seeds."""
    if not text.strip():
        return None
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"--seeds is {text!r}; give a number, or seeds as in 1,2") from None
    return numbers if "," in text else numbers[0]


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _play(
    wanted: tuple[SceneRequest, ...],
    folder: Path,
    mode: str,
    keep: bool,
    jobs: int,
    students: bool,
    quiet: bool,
) -> tuple[RangeRun, Shares | None]:
    with _watching(quiet) as tell:
        result = run(wanted, folder, tell, mode=mode, keep=keep, jobs=jobs)
        if not students:
            return result, None
        from stillwatch.range.students import train_students  # the extra `train`

        return result, train_students(result, tell)


@contextmanager
def _watching(quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar on a terminal, a line for each cell elsewhere, nothing when quiet."""
    console = Console(stderr=True)
    if quiet or console.is_terminal:
        with progress(console, quiet) as tell:

            def show_stage(stage: str, done: int, total: int | None) -> None:
                if total:
                    tell("playing", done, total)
                elif not quiet:
                    console.print(safe(stage, console, 200))  # above the bar

            yield show_stage
        return

    def line(stage: str, done: int, total: int | None) -> None:
        print(f"{done}/{total} {stage}" if total else stage, file=sys.stderr, flush=True)

    yield line


def _write_results(result: RangeRun, shares: Shares | None) -> dict[str, Any]:
    document = written.document(result, shares)
    write_atomically(result.folder / written.FILE, written.text_of(document))
    write_page(
        result, lines(result.outcomes, shares), written.contests_of(result), shares is not None, result.folder
    )
    return document


def repro_command(
    which: Annotated[str, typer.Argument(metavar="ID|DIR", help="A run's id, or its folder.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to play it again; by default a folder that goes.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Logs at the same time.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="Tell no progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play a run again from its manifest and compare every number.

    $ stillwatch range repro 4f1c09ab22d0
    $ stillwatch range repro stillwatch-range/4f1c09ab22d0 --json

    Exit codes: 0 every number is the same; 1 one differs; 2 could not.
    """
    folder = _find_run(which)
    then = made.read_manifest(folder)
    before = _document(folder / written.FILE)
    wanted = tuple(
        SceneRequest(_scene(folder, source), source.seeds, source.defences, source.attackers)
        for source in then.scenes
    )
    now = facts_of(wanted, then.mode)
    changes = made.list_changes(then, now)
    with tempfile.TemporaryDirectory(prefix="stillwatch-repro-") as somewhere:
        replayed, _ = _play(wanted, out or Path(somewhere), then.mode, False, jobs, False, quiet or as_json)
        after = json.loads(written.text_of(written.document(replayed)))
    trained = before.get("students") == "trained"
    skip = ("id", "students", *(("table",) if trained else ()))  # trained students are not trained again
    differences = written.differences(
        *({k: v for k, v in d.items() if k not in skip} for d in (before, after))
    )
    compared = sum(1 for _ in written.numbers({k: v for k, v in before.items() if k not in skip}))
    document = {
        "run": then.id,
        "same": not differences,
        "compared": compared,
        "differences": [{"place": p, "then": a, "now": b} for p, a, b in differences],
        "changed": changes,
    }
    if as_json:
        print_json(document)
    else:
        for sentence in changes:
            print(f"{sentence[0].upper()}{sentence[1:]}.")
        if differences:
            place, a, b = differences[0]
            print(
                f"{len(differences):,} of {compared:,} values differ. The first: {place} was {a} and is {b}."
            )
        else:
            print(f"Run {then.id}: all {compared:,} values came again.")
        if trained:
            print("Students were not trained again; what they learnt from came again.")
    if differences:
        raise typer.Exit(DIFFERS)


def _find_run(which: str) -> Path:
    """Find a run's folder by path, by id, or by the beginning of an id."""
    if (Path(which) / made.FILE).is_file():
        return Path(which)
    begun = sorted(p.parent for p in OUT.glob(f"*/{made.FILE}") if p.parent.name.startswith(which))
    if which and "/" not in which and len(begun) == 1:
        return begun[0]
    if len(begun) > 1 and which:
        raise InputError(f"{which!r} begins {len(begun)} runs: {', '.join(p.name for p in begun)}")
    raise InputError(f"{which!r} is no run: neither a folder with {made.FILE} nor an id in {OUT}/")


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent}: this run is not finished; call `stillwatch range run` again"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no JSON object")
    return document


def _scene(folder: Path, source: made.SceneSource) -> Scene:
    """Read a scene from its original place, if it is unchanged, else the copy in the run's folder.

    A user's own shape is Python code: it is only read from its original place, never from a run's folder.
    """
    if source.path is not None and Path(source.path).is_file():
        scene = read_scene(source.path)
        if scene.digest == source.sha256:
            return scene
    copy = folder / SCENES / f"{source.name}.toml"
    if not copy.is_file():
        raise InputError(f"scene {source.name} is neither at {source.path} nor in {folder}")
    return read_scene(copy)


def compose_command(
    scene: Annotated[str, typer.Argument(metavar="SCENE", help="A scene's file, or a name of `list`.")],
    seed: Annotated[int | None, typer.Option(min=0, help="By default the scene's first.")] = None,
    out: Annotated[Path, typer.Option(help="The log goes into a folder of this one.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Compose a scene's log with its truth. The same seed gives the same bytes.

    $ stillwatch range compose pool-of-60 --out scenes
    $ stillwatch range compose my-scene.toml --seed 7 --out scenes
    """
    read = read_scene(scene)
    used = read.seeds[0] if seed is None else seed
    with refuse_os_errors(InputError, f"{out} cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
    with progress(Console(stderr=True), as_json) as tell:
        folder = compose_scene(read, used, out, tell)
    if as_json:
        print(json.dumps({"scene": read.name, "seed": used, "digest": read.digest, "folder": str(folder)}))
    else:
        print(f"{folder}: {read.name}, seed {used}")


def list_command(as_json: AsJson = False) -> None:
    """List the scenes that ship, the shapes of campaigns, the defences and the attackers.

    $ stillwatch range list
    $ stillwatch range list --json
    """
    document = {
        "scenes": {name: _comment(path) for name, path in shipped_scenes().items()},
        "shapes": {name: _first(shape.about) for name, shape in sorted(shapes().items())},
        "defences": {name: _doc(name) for name in defences.names()},
        "ablations": dict.fromkeys(defences.ablations(), ""),
        "attackers": {name: _first(attackers.about(name)) for name in attackers.names()},
    }
    if as_json:
        print_json(document)
        return
    for title, some in document.items():
        print(f"{title}:")
        wide = max(map(len, some), default=0)
        for name, about in some.items():
            print(f"  {name.ljust(wide)}  {about}".rstrip())
        print()


def _first(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ")


def _comment(path: Path) -> str:
    """Return the first sentence of a scene file's leading comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return comment.split(". ")[0].rstrip(".") + "." if comment else ""


def _doc(name: str) -> str:
    module, _, variant = name.partition("/")
    if variant:
        return f"A variant of {module}: see docs/range-defences.md."
    found = sys.modules.get(f"stillwatch.range.defences.{module}")
    return _first(found.__doc__) if found is not None else ""
