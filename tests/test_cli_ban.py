"""`stillwatch ban`: its output, its exit codes, and whether other programs accept its exports."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.lineage.exports import litellm_config, rpz_zone

CHECKZONE = shutil.which("named-checkzone")


def run(*words: str, given: str = "") -> Result:
    return CliRunner().invoke(app, ["ban", *words], input=given, env={"COLUMNS": "200"})


def test_check_resolves_without_terms() -> None:
    done = run("check", "azure_ai/MAI-DS-R1", "team-fast")
    assert done.exit_code == 0
    assert re.search(r"azure_ai/MAI-DS-R1 +deepseek +finetune +Microsoft +azure_ai", done.output)
    assert re.search(r"team-fast +unknown", done.output)
    assert "deny" not in done.output


def test_check_tries_a_ban_and_fails_only_when_asked() -> None:
    words = ("check", "-", "--family", "deepseek", "--json")
    names = "DEEPSEEK_R1\n\ndeepseek-r1-distill-qwen-32b\ngpt-4o\n"
    done = run(*words, given=names)
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [row["verdict"]["says"] for row in rows] == ["deny", "warn", "allow"]
    assert rows[1]["teachers"] == ["deepseek"]
    assert run(*words, "--fail-on-banned", given=names).exit_code == 1
    assert run(*words, "--fail-on-banned", given="gpt-4o\n").exit_code == 0
    strict = json.loads(run(*words, "--distilled", "deny", given=names).stdout)
    assert [row["verdict"]["says"] for row in strict] == ["deny", "deny", "allow"]


def test_check_asks_the_owners_terms(tmp_path: Path) -> None:
    file = tmp_path / "terms.toml"
    file.write_text('version = 3\n[[ban]]\nfamily = "deepseek"\n[models]\nunknown = "deny"\n')
    rows = json.loads(
        run("check", "deepseek-chat", "gpt-4o", "team-fast", "--terms", str(file), "--json").stdout
    )
    assert [row["verdict"]["says"] for row in rows] == ["deny", "allow", "deny"]


def test_what_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    for words, said in (
        (("check", "x", "--family", "deepsick"), "no family 'deepsick'"),
        (("check", "x", "--family", "qwen", "--terms", "t.toml"), "exclude each other"),
        (("export", "--to", "rpz"), "nothing is banned yet"),
        (("export", "--to", "litellm", "--family", "qwen"), "names that your LiteLLM proxy serves"),
        (("check", "x", "--terms", str(tmp_path / "none.toml")), "none.toml"),
    ):
        done = run(*words)
        assert done.exit_code == 2, done.output
        assert said in done.stderr


def test_a_name_cannot_steer_the_terminal() -> None:
    done = run("check", "deepseek\x1b[2J\u202e")
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output


def test_families_and_explain() -> None:
    rows = {row["id"]: row for row in json.loads(run("families", "--json").stdout)}
    assert rows["deepseek"]["hosts"] == ["deepseek.com"]
    assert "mai-ds-r1" in rows["deepseek"]["derived"]
    assert "openthinker" in rows["deepseek"]["students"]
    assert "deepseek" in run("families").output
    told = run("explain", "perplexity/r1-1776").output
    assert "2025-02-18" in told
    assert json.loads(run("explain", "r1-1776", "--json").stdout)["family"] == "deepseek"


def test_the_zone_is_one_that_dns_servers_take(tmp_path: Path) -> None:
    done = run("export", "--to", "rpz", "--family", "deepseek", "--family", "qwen")
    assert done.exit_code == 0
    records = [line for line in done.stdout.splitlines() if line and not line.startswith((";", "$", "@"))]
    assert "deepseek.com IN CNAME ." in records
    assert "*.deepseek.com IN CNAME ." in records
    assert all(re.fullmatch(r"(\*\.)?[a-z0-9.-]+ IN CNAME \.", record) for record in records)
    assert len(records) == len(set(records))
    if CHECKZONE:
        zone = tmp_path / "rpz.zone"
        zone.write_text(done.stdout)
        subprocess.run([CHECKZONE, "rpz.stillwatch", str(zone)], check=True, timeout=30, capture_output=True)


@pytest.mark.parametrize(
    "host", ["", "a b", "-a.com", "a..b", "x" * 64 + ".com", "10.0.0.1", "a.com\nb.com IN A 1"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=r"no name for DNS|an address"):
        rpz_zone([host], 1)


def test_hosts_are_written_once_and_in_ascii() -> None:
    zone = rpz_zone(["Deepseek.com.", "*.deepseek.com", "bücher.de"], 7)
    assert zone.count("deepseek.com IN CNAME") == 2
    assert "xn--bcher-kva.de IN CNAME ." in zone
    assert " 7 3600 " in zone


def test_the_litellm_snippet_blocks_the_banned_names_only() -> None:
    done = run(
        "export", "--to", "litellm", "--family", "deepseek", "gpt-4o", "us.deepseek.r1-v1:0", "-", given="a\n"
    )
    assert done.exit_code == 0
    assert re.findall(r'model_name: "(.*)"', done.stdout) == ["us.deepseek.r1-v1:0"]
    assert "model_info: {blocked: true}" in done.stdout
    assert "is not blocked" in done.stdout


def test_a_name_cannot_break_out_of_the_snippet() -> None:
    text = litellm_config(['a"\n  - model_name: "*', "b\\", "é"])
    assert re.findall(r"^  - model_name: (.*)$", text, re.MULTILINE) == [
        r'"a\U00000022\U0000000a  - model_name: \U00000022*"',
        r'"b\U0000005c"',
        r'"\U000000e9"',
    ]
