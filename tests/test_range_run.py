"""`stillwatch range run` and related commands: reproducible, also after a kill; bad input is refused."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.range import run as runs
from stillwatch.range.cells import CELLS, Cell
from stillwatch.range.outcome import SceneOutcome
from stillwatch.range.scenes import read_scene
from stillwatch.range.table import lines

SCENE = """
name = "small"
seeds = [1, 2]
[population]
base = "sample"
keep_accounts = 0.3
[[campaign]]
name = "pool"
shape = "shared_template_pool"
accounts = 12
exchanges = 300
start = 7.5
days = 2.0
pipelines = ["orca_flan"]
[defence]
names = ["none", "volume"]
"""
SECONDS = """
from stillwatch.range.defences import Accusation
from stillwatch.range.defences.hours import Hourly
NAME = "seconds"
def open_watch(accounts, clean_until_us, seed, dial):
    return Hourly(lambda hour: [Accusation("c", hour.until_us // 1_000_000, {hour.names[0]: hour.until_us})])
"""
MISTAKEN = SCENE.replace('"volume"', '"stilwatch"').replace("days = 2.0", 'days = 2.0\nattacker = "luod"')
TOO_MUCH = SCENE.replace("small", "greedy").replace("exchanges = 300", "exchanges = 90000")


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["range", *map(str, words)], terminal_width=200)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "small.toml"
    path.write_text(SCENE)
    return path


@pytest.fixture(scope="module")
def done(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("run") / "out"
    return out, call("run", scene, "--out", out)


def content(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "range.json").read_text()))


@pytest.mark.slow
def test_a_run_gives_a_table_a_page_a_document_and_a_manifest(done: tuple[Path, Result]) -> None:
    out, said = done
    assert said.exit_code == 0, said.output
    told = content(out)
    assert [(x["scene"], x["defence"], x["seeds"]) for x in told["table"]] == [
        ("small", "none", 2),
        ("small", "volume", 2),
    ]
    none = told["table"][0]
    assert none["out"]["mean"] == none["before_alarm"]["mean"] > 250
    assert none["caught"]["mean"] == 0
    assert none["student"] == none["student_undefended"]
    assert len(told["outcomes"]) == 4
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["id"] == told["id"]
    assert manifest["scenes"][0]["seeds"] == [1, 2]
    assert set(told["composed"]) == {"small.1", "small.2"}
    page = (out / "index.html").read_text()
    assert "<script" not in page
    assert told["id"] in page
    assert not (out / "logs").exists()  # the composed logs were deleted


@pytest.mark.slow
def test_seeds_are_a_number_or_a_list(scene: Path, tmp_path: Path) -> None:
    result = call("run", scene, "--seeds", "2,7", "--defences", "none", "--out", tmp_path / "a", "--json")
    assert {o["seed"] for o in json.loads(result.stdout)["outcomes"]} == {2, 7}
    result = call("run", scene, "--seeds", "7,", "--defences", "none", "--out", tmp_path / "b", "--json")
    assert {o["seed"] for o in json.loads(result.stdout)["outcomes"]} == {7}
    for wrong in ("two", "1,1", "-1,2", "0", ","):
        refused = call("run", scene, "--seeds", wrong, "--defences", "none", "--out", tmp_path / "c")
        assert refused.exit_code == 2, wrong
        assert "--seeds is" in refused.output


def test_a_scene_says_all_that_is_wrong_with_it_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(MISTAKEN + "[contest]\ngoal = 0\ngaol = 1\n[live]\narmz = 2\n")
    with pytest.raises(InputError) as refused:
        runs.scene_request(read_scene(tmp_path / "s.toml"))
    said = str(refused.value).removeprefix(f"{tmp_path}/").split(f"\n{tmp_path}/")
    assert [line.split(": ")[0] for line in said] == [f"s.toml:{n}" for n in (14, 17, 19, 20, 22)]
    words = ("luod", "stilwatch", "goal", "gaol", "armz")
    assert all(word in line for word, line in zip(words, said, strict=True))
    (tmp_path / "s.toml").write_text(MISTAKEN)
    assert runs.scene_request(read_scene(tmp_path / "s.toml"), None, ("none",), ("loud",)).defences == (
        "none",
    )


@pytest.mark.slow
def test_the_table_is_made_of_the_outcomes_and_of_nothing_else(done: tuple[Path, Result]) -> None:
    told = content(done[0])
    again = [asdict(x) for x in lines([msgspec.convert(o, SceneOutcome) for o in told["outcomes"]])]
    assert json.loads(json.dumps(again)) == told["table"]


def test_called_again_a_run_makes_nothing_anew(done: tuple[Path, Result], scene: Path) -> None:
    out, _ = done
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / CELLS).iterdir()}
    document = (out / "range.json").read_bytes()
    said = call("run", scene, "--out", out, "--json")
    assert said.exit_code == 0
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / CELLS).iterdir()} == before
    assert (out / "range.json").read_bytes() == document
    assert json.loads(said.stdout) == content(out)


@pytest.mark.slow
def test_a_missing_cell_alone_is_made_again_and_comes_out_the_same(
    done: tuple[Path, Result], scene: Path
) -> None:
    out, _ = done
    cell = out / CELLS / Cell("small", 2, "volume").file
    was, document = json.loads(cell.read_text())["outcome"], (out / "range.json").read_bytes()
    others = {p: p.stat().st_mtime_ns for p in (out / CELLS).iterdir() if p != cell}
    cell.unlink()
    assert call("run", scene, "--out", out, "--jobs", 2).exit_code == 0
    assert json.loads(cell.read_text())["outcome"] == was
    assert {p: p.stat().st_mtime_ns for p in others} == others
    assert (out / "range.json").read_bytes() == document


@pytest.mark.slow
def test_repro_gives_the_same_numbers_and_names_the_first_that_is_not(
    done: tuple[Path, Result], tmp_path: Path
) -> None:
    out, _ = done
    said = call("repro", out)
    assert said.exit_code == 0, said.output
    assert "values came again" in said.output
    told = content(out)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("manifest.json", "scenes"):
        (other / name).symlink_to(out / name)
    told["outcomes"][1]["campaigns"][0]["out"] += 1
    (other / "range.json").write_text(json.dumps(told))
    said = call("repro", other, "--json")
    assert said.exit_code == 1
    found = json.loads(said.stdout)
    assert found["same"] is False
    assert [d["place"] for d in found["differences"]] == ["outcomes[1].campaigns[0].out"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("run", "no-such-scene"), "no-such-scene"),
        (("run", "pool-of-60", "--defences", "prayer"), "prayer"),
        (("run", "pool-of-60", "--attackers", "nobody"), "nobody"),
        (("run", "pool-of-60", "--mode", "dead"), "log or live"),
        (("run", "pool-of-60", "--seeds", "0"), "1 to 100"),
        (("run", "pool-of-60", "--mode", "live", "--students"), "--students"),
        (("repro", "no-such-run"), "no-such-run"),
        (("repro", ""), "no run"),
        (("compose", "no-such-scene"), "no-such-scene"),
        (("compose", "pool-of-60", "--out", "/proc/nowhere"), "cannot be written"),
        (("run", "pool-of-60", "--out", "/proc/nowhere"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: tuple[str, ...], why: str) -> None:
    said = call(*words)
    assert said.exit_code == 2
    assert why in said.stderr
    assert "Traceback" not in said.output


def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, scene: Path, done: tuple[Path, Result]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    said = call("run", scene, "--out", tmp_path)
    assert said.exit_code == 2
    assert "not empty" in said.stderr
    said = call("run", scene, "--out", done[0], "--seeds", 1)
    assert said.exit_code == 2
    assert "holds run" in said.stderr


def test_a_changed_manifest_is_no_manifest(done: tuple[Path, Result], tmp_path: Path) -> None:
    told = json.loads((done[0] / "manifest.json").read_text())
    told["curve"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    said = call("repro", tmp_path)
    assert said.exit_code == 2
    assert "somebody changed it" in said.stderr
    for broken in ("", "[]", "{}", '{"shape": 1}'):
        (tmp_path / "manifest.json").write_text(broken)
        assert call("repro", tmp_path).exit_code == 2


def test_two_runs_do_not_share_a_folder(scene: Path, tmp_path: Path) -> None:
    with runs._lock_folder(tmp_path):
        said = call("run", scene, "--out", tmp_path)
    assert said.exit_code == 2
    assert "another run is at work" in said.stderr


@pytest.mark.slow
def test_what_cannot_be_played_is_told_and_the_rest_is_played(tmp_path: Path, scene: Path) -> None:
    greedy = tmp_path / "greedy.toml"
    greedy.write_text(TOO_MUCH)
    said = call("run", greedy, "--seeds", 1, "--out", tmp_path / "alone")
    assert said.exit_code == 2
    assert "nothing could be played" in said.stderr
    said = call("run", greedy, scene, "--seeds", 1, "--defences", "none", "--out", tmp_path / "both")
    assert said.exit_code == 3
    told = content(tmp_path / "both")
    assert [r["scene"] for r in told["refusals"]] == ["greedy"]
    assert [x["scene"] for x in told["table"]] == ["small"]
    assert "greedy" in (tmp_path / "both" / "index.html").read_text()


def test_two_scenes_of_one_name_are_refused(tmp_path: Path, scene: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SCENE)
    said = call("run", scene, other, "--out", tmp_path / "out")
    assert said.exit_code == 2
    assert "two scenes are called small" in said.stderr


@pytest.mark.slow
def test_a_cell_that_somebody_broke_is_told_by_name(tmp_path: Path, scene: Path) -> None:
    out = tmp_path / "out"
    assert call("run", scene, "--seeds", 1, "--defences", "none", "--out", out).exit_code == 0
    (out / CELLS / Cell("small", 1, "none").file).write_text("{")
    said = call("run", scene, "--seeds", 1, "--defences", "none", "--out", out)
    assert said.exit_code == 2
    assert "delete it" in said.stderr


@pytest.mark.slow
def test_compose_writes_a_scene_that_score_reads(tmp_path: Path, scene: Path) -> None:
    said = call("compose", scene, "--seed", 2, "--out", tmp_path, "--json")
    assert said.exit_code == 0
    folder = Path(json.loads(said.stdout)["folder"])
    first = (folder / "exchanges.parquet").read_bytes()
    empty = tmp_path / "findings.json"
    empty.write_text('{"campaigns": []}')
    assert call("score", empty, folder).exit_code == 0
    assert call("compose", scene, "--seed", 2, "--out", tmp_path).exit_code == 0
    assert (folder / "exchanges.parquet").read_bytes() == first


def test_list_names_everything() -> None:
    told = json.loads(call("list", "--json").stdout)
    assert "pool-of-60" in told["scenes"]
    assert "wrapped_pool" in told["shapes"]
    assert {"none", "stillwatch"} <= set(told["defences"])
    assert "naive" in told["attackers"]
    said = call("list").output
    assert all(name in said for some in told.values() for name in some)


@pytest.mark.slow
def test_an_id_is_found_by_its_beginning(
    tmp_path: Path, done: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = content(done[0])
    (tmp_path / "stillwatch-range").mkdir()
    (tmp_path / "stillwatch-range" / told["id"]).symlink_to(done[0])
    monkeypatch.chdir(tmp_path)
    said = call("repro", told["id"][:6])
    assert said.exit_code == 0, said.output


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_killed_in_the_middle_a_run_goes_on_with_what_it_has(
    scene: Path, tmp_path: Path, done: tuple[Path, Result], started: list[subprocess.Popen[bytes]]
) -> None:
    out = tmp_path / "out"
    words = ["from stillwatch.cli.main import run; run()", "range", "run", str(scene), "--out", str(out)]
    command = [sys.executable, "-c", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started.append(process)
    until = time.monotonic() + 120
    while not list((out / CELLS).glob("*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stood = {p: p.stat().st_mtime_ns for p in (out / CELLS).glob("*.json")}
    assert 0 < len(stood) < 4
    subprocess.run(command, check=True, capture_output=True)
    assert {p: p.stat().st_mtime_ns for p in stood} == stood
    told, whole = content(out), content(done[0])
    assert {k: v for k, v in told.items() if k != "id"} == {k: v for k, v in whole.items() if k != "id"}


@pytest.mark.slow
def test_attackers_that_react_are_measured_against_what_they_pay_undefended(
    tmp_path: Path, scene: Path
) -> None:
    out = tmp_path / "out"
    said = call("run", scene, "--seeds", 1, "--defences", "volume", "--attackers", "naive", "--out", out)
    assert said.exit_code == 0, said.output
    told = content(out)
    assert [(x["attacker"], x["defence"]) for x in told["contests"]] == [
        ("loud", "none"),
        ("naive", "none"),
        ("naive", "volume"),
    ]
    alone = told["contests"][1]
    assert alone["times_itself"]["usd"]["mean"] == pytest.approx(1)
    assert told["contests"][2]["times_loud"]["accounts"]["mean"] > 1
    assert "Attackers that react" in (out / "index.html").read_text()


@pytest.mark.slow
def test_a_defence_of_ones_own_that_breaks_is_told_and_one_that_works_stands_beside(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        SCENE.replace('["none", "volume"]', '["none", "./mine.py", "./broken.py", "./seconds.py"]')
    )
    works = "from stillwatch.range.defences.none import open_watch\nNAME = 'mine'\n"
    breaks = "NAME = 'broken'\n\n\ndef open_watch(*told):\n    raise ValueError('oh')\n"
    (tmp_path / "mine.py").write_text(works)
    (tmp_path / "broken.py").write_text(breaks)
    (tmp_path / "seconds.py").write_text(SECONDS)
    said = call("run", tmp_path / "mine.toml", "--seeds", 1, "--out", tmp_path / "out")
    assert said.exit_code == 3, said.output
    told = content(tmp_path / "out")
    assert len(told["table"]) == 2
    assert told["table"][1]["defence"].endswith("mine.py")
    assert told["refusals"][0]["reason"] == "line 5: ValueError: oh"
    assert "case 'c' is said at 1" in told["refusals"][1]["reason"]  # it would have come before everything
    assert "Traceback" not in said.output
