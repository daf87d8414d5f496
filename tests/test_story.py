"""`make story`: two installations, one campaign, from the log to the ban. The acceptance test of everything.

It measures no error rate: one operator, one innocent, one run. See docs/story.md for what is made up.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("story")
    command = [sys.executable, str(ROOT / "examples" / "story" / "story.py"), str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1100)
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-5000:]}"
    return out, json.loads((out / "story.json").read_text("utf-8"))


def test_the_campaign_is_found_at_both_providers_which_share_nothing_but_it(
    told: tuple[Path, dict[str, Any]],
) -> None:
    _, came = told
    assert (came["accounts_in_common"], came["questions_in_common"]) == (0, 0)
    assert came["cloud_accounts"] >= 36  # of the operator's 40
    assert came["maker_accounts"] >= 27  # of 30
    assert came["cloud_verdict"] == "true"


def test_the_alert_and_its_answer_name_nobody_and_are_of_use(told: tuple[Path, dict[str, Any]]) -> None:
    _, came = told
    assert came["marks"] >= 20
    assert (came["names_sent"], came["names_answered"]) == (0, 0)
    assert came["carriers_in_case"] >= 0.85 * came["maker_accounts"]
    assert came["sighting_noted"]
    assert came["alert_noted"]


def test_a_block_needs_a_dry_run_and_another_person(told: tuple[Path, dict[str, Any]]) -> None:
    _, came = told
    assert came["dry_run_before_block"]
    assert came["dry_run_accounts"] >= 27
    assert came["own_approval_refused"] >= 400
    assert came["block_asked_by"] != came["block_approved_by"]
    assert (came["status_before"], came["status_while_waiting"]) == (200, 200)
    assert (came["status_after"], came["code_after"]) == (403, "account_blocked")
    assert came["honest_answered"] == came["honest_asked"] > 0


def test_an_appeal_is_decided_by_somebody_else_and_reaches_one_account(
    told: tuple[Path, dict[str, Any]],
) -> None:
    _, came = told
    assert came["judge_may_not_decide"] >= 400
    verbs = {act["verb"]: act["who"] for row in came["log"] if (act := row["act"]) is not None}
    assert verbs["judge"] == "mia"
    assert verbs["appeal granted"] == verbs["appeal refused"] == "petra"
    assert came["appellant_share_of_thief"] < 1  # a customer with a stolen key
    assert came["lifted"]
    assert (came["new_key"], came["old_key"]) == (200, 401)
    assert came["second_appellant_status"] == 403
    assert came["case_verdict"] == "true"  # a granted appeal ends one block, not the case
    assert came["audit"]["sound"]


def test_the_model_is_found_and_the_innocent_is_not(told: tuple[Path, dict[str, Any]]) -> None:
    _, came = told
    assert came["acme-7b"]["outcome"] == "trained"
    assert came["acme-7b"]["p"] <= 1e-5
    assert came["acme-7b"]["missing"] == []
    assert came["kestrel-7b"]["p"] > 0.001
    assert came["kestrel-7b"]["outcome"] in ("indeterminate", "not shown")
    assert came["verify"] == 0


def test_the_ban_refuses_the_model_and_its_copies(told: tuple[Path, dict[str, Any]]) -> None:
    _, came = told
    assert set(came["ban_before"].values()) == {200}
    banned = {name for name, status in came["ban_after"].items() if status == 403}
    assert banned == {"acme-7b", "nimbus/Acme-7B-Instruct-GGUF", "swift-writer"}
    assert set(came["ban_codes"].values()) == {"model_banned"}
    assert came["ban_after"]["kestrel-7b"] == 200
    assert came["probe"]["kin"].startswith("acme")  # quiet-writer denies it: its answers reveal it


def test_it_takes_less_than_ten_minutes(told: tuple[Path, dict[str, Any]]) -> None:
    _, came = told
    assert came["seconds"] < 600


def test_the_page_tells_it(told: tuple[Path, dict[str, Any]]) -> None:
    out, _ = told
    page = (out / "index.html").read_text("utf-8")
    assert "<script" not in page
    assert not re.search(r'(src|href)="https?:', page)
    assert page.count('class="cmd"') > 40
    assert "What this does not show" in page
