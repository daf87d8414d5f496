"""`stillwatch hooks`: the files exist, and the doctor reports what cannot work."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hooks_world import BAN, hooks
from stillwatch.cli.main import app
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.hooks.doctor import FILES
from stillwatch.gateway.settings import GatewaySettings

RUN = CliRunner()
CALLBACK = "litellm_settings:\n  callbacks: stillwatch_litellm.stillwatch\n"
HTTP = (
    "guardrails:\n  - guardrail_name: s\n    litellm_params:\n      guardrail: generic_guardrail_api\n"
    "litellm_settings:\n  callbacks: [generic_api]\n"
)
SAFE = "  global_disable_no_log_param: true\n"


def run(*words: str) -> tuple[int, str]:
    done = RUN.invoke(app, ["hooks", *words])
    return done.exit_code, done.output


def test_every_file_is_there_and_named() -> None:
    code, said = run("files", "--json")
    found = json.loads(said)
    assert code == 0
    assert {Path(one["path"]) for one in found} == {path for path in FILES.iterdir() if path.is_file()}
    assert run("files", "envoy.yaml") == (0, f"{FILES / 'envoy.yaml'}\n")
    assert run("files")[0] == 0
    assert run("files", "squid.conf")[0] == 2


def test_the_shipped_files_hold_no_key_and_the_callback_needs_nothing_of_ours() -> None:
    for path in FILES.iterdir():
        if path.is_file():
            text = path.read_text()
            assert "sk-sw-..." in text or path.suffix == ".py"
            assert "import stillwatch" not in text
            assert "from stillwatch" not in text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = open_folder(tmp_path / "f")
    GatewaySettings(upstream="http://127.0.0.1:9").save(found.settings)
    ControlState(found.state, found.secret()).close()
    return found.path


def doctor(folder: Path, *words: str) -> tuple[int, dict[str, list[str]]]:
    code, said = run("doctor", "--folder", str(folder), "--json", *words)
    found: dict[str, list[str]] = {}
    for one in json.loads(said):
        found.setdefault(one["what"], []).append(f"{one['verdict']}: {one['text']}")
    return code, found


def test_a_folder_without_hooks_is_told_what_is_missing(folder: Path) -> None:
    code, found = doctor(folder)
    assert code == 2
    assert "--hooks-port" in found["port"][0]
    assert "key issue hook:" in found["keys"][0]
    assert found["process"][0].startswith("error")
    assert run("doctor", "--folder", str(folder.parent))[0] == 2


@pytest.mark.parametrize(
    ("config", "copied", "says"),
    [
        (CALLBACK, True, ["ok: the callback asks and tells"]),
        (CALLBACK, False, ["error: "]),
        (HTTP + SAFE, False, ["ok: generic_api tells"]),
        (HTTP, False, ["warning: \"no-log\""]),
        (HTTP + SAFE.replace("  ", "  # "), False, ["warning: \"no-log\""]),
        (CALLBACK + HTTP + SAFE, True, ["ok: the callback", "warning: the callback and generic_api"]),
        ("litellm_settings:\n  callbacks: [generic_api]\n" + SAFE, False, ["warning: logs come"]),
        (HTTP + SAFE + "  turn_off_message_logging: true\n", False, ["warning: turn_off_message_logging"]),
        ("model_list: []\n", False, ["error: names neither"]),
    ],
)  # fmt: skip
def test_what_is_said_of_litellm(folder: Path, tmp_path: Path, config: str, copied: bool, says: Any) -> None:
    (tmp_path / "config.yaml").write_text(config)
    if copied:
        shutil.copy(FILES / "stillwatch_litellm.py", tmp_path)
    _, found = doctor(folder, "--litellm", str(tmp_path / "config.yaml"))
    assert len(found["litellm"]) == len(says)
    for said, begins in zip(found["litellm"], says, strict=True):
        assert said.startswith(begins)


def test_an_older_copy_of_the_callback_is_noticed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CALLBACK)
    (tmp_path / "stillwatch_litellm.py").write_text("# older\n")
    assert doctor(folder, "--litellm", str(tmp_path / "config.yaml"))[1]["litellm"][0].startswith("warning")
    assert run("doctor", "--folder", str(folder), "--litellm", str(tmp_path / "none.yaml"))[0] == 2


@pytest.mark.slow
def test_a_process_that_runs_is_in_order() -> None:
    with hooks(BAN, recorder=False) as h:
        code, found = doctor(h.folder.path)
        assert (code, found["keys"]) == (0, ["ok: hook:test"])
        assert found["process"][0].startswith("ok: 0 decisions")
