"""`stillwatch serve` before it serves: its checks and refusals; a check changes nothing."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings, SettingsError
from stillwatch.gateway.setup_check import place_terms, upstream_key
from stillwatch.terms import TermsError
from stillwatch.terms.load import default_text

RULES = 'version = 2\n[[ban]]\nfamily = "deepseek"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


def check(folder: Folder, *words: str) -> tuple[int, dict[str, Any]]:
    asked = ["serve", "--folder", str(folder.path), "--upstream", "http://127.0.0.1:9", "--check", "--json"]
    done = CliRunner().invoke(app, [*asked, *words])
    return done.exit_code, {one["what"]: one for one in json.loads(done.stdout)}


def test_a_check_changes_nothing(folder: Folder, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    _, found = check(folder)
    assert found["terms"]["verdict"] == "ok"
    code, found = check(folder, "--terms", str(rules))
    assert (code, found["terms"]["verdict"]) == (0, "ok")
    rules.write_text("nonsense")
    code, found = check(folder, "--terms", str(rules))
    assert (code, found["terms"]["verdict"]) == (2, "error")
    assert not folder.terms.exists()
    assert not folder.settings.exists()


def test_the_detectors_memory_is_an_option_within_its_bounds(folder: Folder) -> None:
    assert check(folder, "--detector-memory-mb", "256")[0] == 0
    words = ["serve", "--folder", str(folder.path), "--upstream", "http://127.0.0.1:9", "--check"]
    done = CliRunner().invoke(app, [*words, "--detector-memory-mb", "255"])
    assert done.exit_code == 2
    assert "detector_memory_mb" in done.stderr
    assert "256" in done.stderr


def test_a_table_of_networks_is_looked_at_remembered_and_taken_away(folder: Folder, tmp_path: Path) -> None:
    table, bad = tmp_path / "ip2asn.tsv", tmp_path / "bad.tsv"
    table.write_text("80.0.0.0\t80.255.255.255\t3320\tDE\tDTAG\n")
    bad.write_text("no table\n")
    assert "networks" not in check(folder)[1]
    code, found = check(folder, "--networks", str(table))
    assert (code, found["networks"]["verdict"]) == (0, "ok")
    assert found["networks"]["text"].startswith("ip2asn.tsv of 20")
    code, found = check(folder, "--networks", str(table), "--networks", str(bad))
    assert (code, found["networks"]["verdict"]) == (0, "warning")  # serving does not wait for it
    assert "bad.tsv: holds no line of a range; right would be" in found["networks"]["text"]
    GatewaySettings("http://127.0.0.1:9", networks=(str(table), str(bad))).save(folder.settings)
    assert GatewaySettings.load(folder.settings).networks == (str(table), str(bad))
    assert "networks" in check(folder)[1]
    assert "networks" not in check(folder, "--networks", "none")[1]


def test_terms_that_may_not_follow_are_not_put_in_place(folder: Folder, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    place_terms(folder, rules)
    assert open_terms(folder, keeps_history=True).terms.version == 2
    for text, told in (
        (RULES.replace("version = 2", "version = 1"), "version 1 is lower than 2"),
        (RULES.replace("deepseek", "qwen"), "write version 3"),
    ):
        rules.write_text(text)
        with pytest.raises(TermsError, match=told):
            place_terms(folder, rules)
        assert folder.terms.read_text() == RULES
    rules.write_text(RULES.replace("version = 2", "version = 3"))
    place_terms(folder, rules)
    begun = open_terms(folder, keeps_history=False)
    assert (begun.terms.version, begun.error) == (3, None)  # at once: it is known to be whole


def test_an_upstreams_key_from_the_environment_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UPSTREAM_KEY_VARIABLE, " sk-1\n")
    assert upstream_key(None) == "sk-1"
    for bad in ("sk-1\r\nx-evil: 1", "a b", "kéy"):
        monkeypatch.setenv(UPSTREAM_KEY_VARIABLE, bad)
        with pytest.raises(SettingsError, match="holds no key") as why:
            upstream_key(None)
        assert bad not in str(why.value)
    monkeypatch.setenv(UPSTREAM_KEY_VARIABLE, "")
    assert upstream_key(None) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-0", "recorder", "hooks"])
def test_a_process_that_cannot_begin_says_so_in_one_line(folder: Folder, name: str) -> None:
    GatewaySettings("http://127.0.0.1:9", hooks_port=9).save(folder.settings)
    folder.secret_file.write_bytes(b"short")
    words = [sys.executable, "-m", "stillwatch.gateway.child", name, str(folder.path), str(os.getpid())]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"stillwatch serve: {name}: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_process_to_which_the_machine_gives_too_little_says_so_in_one_line(folder: Folder) -> None:
    GatewaySettings("http://127.0.0.1:9").save(folder.settings)
    folder.terms.write_text(default_text())
    words = [sys.executable, "-m", "stillwatch.gateway.child", "worker-0", str(folder.path), str(os.getpid())]
    little = (1 << 20, 1 << 20)
    ended = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, little),
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (2, "stillwatch serve: worker-0: File too large\n")
