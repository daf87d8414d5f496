"""The story that Stillwatch was made for, in one run: `make story`, or python examples/story/story.py [OUT].

A cloud and a maker of models, each with a folder, keys and processes of its own, do by the command line and
over HTTP what their people would do. No figure is typed here: each sentence is made from what a command
printed, and the page at the end shows the command. Nothing leaves this machine.

What is made up: people, operator and models. docs/story.md says how, and what that means.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from parties import Browser, Desk, chat, sentences

from pages import write_page
from stillwatch.report.amounts import plural

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EACH = 8  # questions that each account of the operator sends through the maker's gateway, at most
NAMED_BEFORE_S = 45  # from the seal that names the actors to their first coin that counts
LAWFUL = 3  # honest customers who go on as ever
BLOCK_S = 604_800
MORE_PROBES = 120  # questions of the cloud's own log, beside the probes that ship
CUSTOMER_SAYS = (
    "These requests are not ours: our key must have been taken. We have been your customer since long before."
)
OPERATOR_SAYS = "We are a study group of friends, and share a template that we found."


def tell(out: Path) -> dict[str, object]:
    """Run the story in an empty folder; give what came of it."""
    began = time.monotonic()
    desk = Desk(out)
    try:
        logs(desk)
        finding = cloud_finds(desk)
        alert(desk, finding)
        group = maker_finds(desk)
        watched(desk, group)
        sealed(desk)
        blocked(desk, group)
        appeals(desk, group)
        model(desk)
        ban(desk)
    finally:
        desk.close()
    desk.outcome["seconds"] = round(time.monotonic() - began, 1)
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    desk.outcome["cpu_seconds"] = round(sum(one.ru_utime + one.ru_stime for one in used), 1)
    (out / "story.json").write_text(json.dumps(desk.outcome, indent=1) + "\n", "utf-8")
    write_page(desk, out / "index.html")
    return desk.outcome


# --- the two logs ---


def logs(desk: Desk) -> None:
    """Make the two fortnights: one operator at two providers, which share no customer and no question."""
    desk.chapter("Two logs", "A scene is people redrawn from the sample, and one operator among them.")
    for name, seed in (("cloud", 1), ("maker", 2)):
        ran = desk.run(name, f"range compose {HERE / f'{name}.toml'} --seed {seed} --out scenes")
        made = desk.out / "scenes" / f"{name}-{seed}"
        place = desk.out / name / "log"
        place.mkdir(parents=True)
        for file in ("exchanges.parquet", "accounts.parquet"):
            (made / file).rename(place / file)
        table = pq.read_table(place / "exchanges.parquet", columns=["account"])
        ran.say(
            f"The {name} has a log of {table.num_rows:,} exchanges of "
            f"{len(pc.unique(table['account'])):,} accounts. Who belongs to the operator stays in "
            f"scenes/{made.name}/, which no command of the story reads."
        )
    mine, theirs = (
        set(desk.column(f"{name}/log/exchanges.parquet", "account")) for name in ("cloud", "maker")
    )
    asked, also = (set(desk.sent(name, seed)) for name, seed in (("cloud", 1), ("maker", 2)))
    desk.outcome |= {"accounts_in_common": len(mine & theirs), "questions_in_common": len(asked & also)}
    desk.note(
        f"The two logs have {len(mine & theirs)} accounts in common. Of the operator's {len(asked):,} "
        f"and {len(also):,} different prompts {len(asked & also)} are the same: what its accounts "
        "share is a template."
    )


# --- the cloud ---


def cloud_finds(desk: Desk) -> str:
    """The cloud's log is scanned, and its analyst judges the case."""
    desk.chapter("The cloud finds a campaign", "Its analyst, Anna, judges it in the console.")
    found = desk.scan("cloud", "--out cloud/report")
    campaign = found["campaigns"][0]
    desk.outcome["cloud_accounts"] = len(campaign["accounts"])
    desk.last.say(f"The scan finds {desk.campaigns(found)}.")
    desk.console = desk.start_console(
        "cloud/report", "--log cloud/log/exchanges.parquet --accounts cloud/log/accounts.parquet"
    )
    anna = desk.people("cloud", {"anna": "analyst"}, "cloud/report")["anna"]
    browser = Browser(desk, "cloud", desk.console, "anna", anna)
    case = browser.json("/queue")["cases"][0]["case"]
    browser.post(f"/case/{case}/take", f"/case/{case}").say("Anna takes the case.")
    browser.page(
        f"/case/{case}/observables",
        f"/case/{case}",
        "what do they send, and from where?",
        why="I judge this case and need to see the wording",
    ).say("She asks to see what the accounts share. That she asked, and why, is on the audit trail.")
    browser.post(
        f"/case/{case}/judge",
        f"/case/{case}",
        verdict="true",
        why="one template around every question, one model, sign-ups within two days",
    ).say("She judges it: an unauthorised harvest.")
    desk.outcome["cloud_verdict"] = desk.case("cloud", case)["verdict"]
    return case


def alert(desk: Desk, case: str) -> None:
    """The cloud tells the maker, without a prompt and without a name."""
    desk.chapter("The cloud alerts the maker", "They made one key for the two of them beforehand.")
    desk.run("cloud", "indicators keygen cloud/exchange.key")
    (desk.out / "maker").mkdir(exist_ok=True)
    shutil.copy(desk.out / "cloud" / "exchange.key", desk.out / "maker" / "exchange.key")
    ran = desk.run(
        "cloud",
        f"indicators export {case} cloud/log/exchanges.parquet --folder cloud/report "
        "--exchange-key cloud/exchange.key --sender Cloud --tlp amber --yes --out to-maker.json",
    )
    bundle = json.loads((desk.out / "to-maker.json").read_text("utf-8"))
    marks = sum(one["type"] == "indicator" for one in bundle["objects"])
    named = desk.names_in("to-maker.json", "cloud")
    desk.outcome |= {"marks": marks, "names_sent": named}
    ran.say(f"{marks} keyed marks of wording leave for the maker. The file holds {named} names of accounts.")


# --- the maker ---


def maker_finds(desk: Desk) -> dict[str, object]:
    """Without the cloud's log the maker looks in its own, opens a case, and answers."""
    desk.chapter("The maker finds the group in its own log", "It has the marks, and not the cloud's log.")
    desk.serve("maker", desk.upstream("maker", teacher(desk)), maker_terms(desk))
    found = desk.scan("maker", "--out maker/report --cases sqlite:///maker/serve/cases.db")
    desk.last.say(f"The maker's own scan finds {desk.campaigns(found)}, and opens a case.")
    ran = desk.run(
        "maker",
        "indicators import to-maker.json maker/log/exchanges.parquet --exchange-key maker/exchange.key "
        "--note --folder maker/serve --answer to-cloud.json --sender Maker --yes --json",
    )
    hits = json.loads(ran.output)[0]
    carriers = {one["account"] for one in hits["carriers"]}
    campaign = max(found["campaigns"], key=lambda one: len(carriers & set(one["accounts"])))
    members = set(campaign["accounts"])
    both = len(carriers & members)
    ran.say(
        f"{hits['exchanges']:,} of {hits['searched']:,} exchanges carry one of the cloud's marks, of "
        f"{plural(len(carriers), 'account')}. {both} of them are in its case, which has {len(members)}; "
        f"{len(carriers - members)} are not, and are accused of nothing. By collision of hashes alone "
        f"{hits['chance']['collisions']:.2g} exchanges would carry one. It is noted on the case, and the "
        "answer to the cloud holds counts and hours."
    )
    case = next(one["id"] for one in desk.cases("maker") if set(desk.members("maker", one["id"])) & carriers)
    desk.outcome |= {
        "maker_accounts": len(members),
        "carriers": len(carriers),
        "carriers_in_case": both,
        "names_answered": desk.names_in("to-cloud.json", "maker"),
    }
    desk.run(
        "cloud",
        "indicators sightings to-cloud.json --folder cloud/report --exchange-key "
        "cloud/exchange.key --sender Cloud",
    ).say("The cloud takes the answer in: a note on its case.")
    mine = desk.cases("cloud")[0]["id"]
    log = desk.json("cloud", f"case log {mine} --folder cloud/report --json")
    desk.outcome["sighting_noted"] = any("has seen this campaign" in str(act) for act in log)
    marked = {one["account"]: one["exchanges"] for one in hits["carriers"]}
    return {"case": case, "members": members, "carriers": carriers, "marked": marked, "first": hits["first"]}


def teacher(desk: Desk) -> str:
    """The maker's model: it strings words of this repository's documentation together."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    prose = [line for page in pages for line in sentences(page)]
    desk.rows("maker/model/rows.jsonl", [("", line) for line in prose])
    named = {"rows": "rows.jsonl", "order": 1}
    return desk.config("maker/model", dict.fromkeys(("mira-large", "mira-think"), named))


def maker_terms(desk: Desk) -> str:
    """The maker's rules: whoever is watched gets coined answers."""
    desk.run("maker", "terms init maker/terms.toml --owner Maker")
    file = desk.out / "maker" / "terms.toml"
    file.write_text(file.read_text("utf-8") + (HERE / "maker-terms.toml").read_text("utf-8"), "utf-8")
    ran = desk.run("maker", "terms test maker/terms.toml")
    ran.say(f"The maker's terms pass their own tests: {ran.output.strip().splitlines()[-1]}.")
    return "maker/terms.toml"


def watched(desk: Desk, group: dict[str, object]) -> None:
    """The group is judged, watched, and goes on buying: from now on a coin chooses each of its answers."""
    case, members = group["case"], sorted(group["members"])
    desk.chapter(
        "The maker watches",
        "Mia judges. Watching is a step that nobody can feel. A coin chooses "
        "each answer that a watched account gets.",
    )
    desk.run("maker", "coin new-key --reading-key maker/reading.key --folder maker/serve")
    desk.run(
        "maker", "coin commit --signing-key maker/prove.key --out maker/commitment.json --folder maker/serve"
    )
    words = desk.people("maker", {"mia": "approver", "paul": "approver", "petra": "approver"}, "maker/serve")
    desk.persons = {
        name: Browser(desk, "maker", f"{desk.admin['maker']}/console", name, word)
        for name, word in words.items()
    }
    counts_from = datetime.now(UTC) + timedelta(seconds=NAMED_BEFORE_S)
    told = seal(desk, 1, f"--coins-from {counts_from:%Y-%m-%dT%H:%M:%SZ}")
    desk.last.say(
        f"The cloud witnesses seal {told['number']}: it names {told['actors']} actors, before one of their "
        "coins has fallen."
    )
    mia = desk.persons["mia"]
    mia.post(f"/case/{case}/take", f"/case/{case}")
    mia.post(
        f"/case/{case}/judge",
        f"/case/{case}",
        verdict="true",
        why="the cloud's marks, one template, one model, sign-ups within two days",
    ).say("Mia, the maker's analyst, judges the case.")
    dry = mia.dry_run(case, "watch", BLOCK_S, "see whether it goes on, and coin what it gets")
    dry.take().say(f"She has {dry.accounts} accounts watched, after a dry run.")
    honest = [one for one in desk.frequent("maker") if one not in group["carriers"] and one not in members]
    keys = {one: desk.issue("maker", one) for one in [*members, *honest[:LAWFUL]]}
    group |= {"keys": keys, "honest": honest[:LAWFUL], "dry_run_watch": dry.accounts}
    asked = desk.prompts_of("maker", 2)
    time.sleep(max(0.0, (counts_from - datetime.now(UTC)).total_seconds() + 1))
    bought = []
    for account in members:
        for prompt in asked.get(account, [])[:EACH]:
            status, reply = chat(desk.port["maker"], keys[account], "mira-think", prompt)
            if status == 200:
                bought.append((prompt, reply["choices"][0]["message"]["content"]))
    desk.rows("operator/bought.jsonl", bought)
    desk.note(
        f"The operator goes on. It sends {len(bought)} of its questions again, through the maker's "
        f"gateway, by {len(members)} accounts, and keeps the answers: operator/bought.jsonl.",
        f"POST http://127.0.0.1:{desk.port['maker']}/v1/chat/completions",
    )
    desk.outcome["bought"] = len(bought)


def seal(desk: Desk, number: int, more: str = "") -> dict[str, Any]:
    """The maker fixes its actors and its test, and the cloud signs that it was shown that, and when."""
    desk.run(
        "maker", "coin exclude --reading-key maker/reading.key --folder maker/serve --out maker/hashes.txt"
    )
    told = desk.json(
        "maker",
        "coin seal --reading-key maker/reading.key --actors maker/report/findings.json "
        "--statistic overlap --own-training excluded --excluded maker/hashes.txt --signing-key "
        f"maker/prove.key --out maker/seals --folder maker/serve --json {more}",
    )
    desk.run(
        "cloud",
        f"coin witness maker/seals/{number:04}.json --signing-key cloud/witness.key --kept "
        f"cloud/seals-seen --out {number:04}.witness.json",
    )
    word = json.loads((desk.out / f"{number:04}.witness.json").read_text("utf-8"))
    desk.witness = word["witness"]
    return told


def sealed(desk: Desk) -> None:
    """The maker ends the coins that have fallen since it named the actors."""
    desk.chapter("Sealed, before any suspect is there", "A test that is chosen after looking proves nothing.")
    told = desk.json("maker", "coin verify --reading-key maker/reading.key --folder maker/serve --json")
    desk.last.say(f"The ledger holds {told['pairs']:,} pairs of answers, of which a coin chose one each.")
    told = seal(desk, 2)
    desk.last.say(
        f"Seal {told['number']} ends these coins, and the cloud witnesses it. All {told['tests']} tests "
        "count. The maker's own training leaves coined answers out, it states."
    )
    time.sleep(1.1)  # a release in the same second would be no later


def blocked(desk: Desk, group: dict[str, object]) -> None:
    """A dry run, then a second person, then the block."""
    case = group["case"]
    desk.chapter(
        "The maker blocks",
        "Under its terms a step that refuses requests needs a dry run and a second person.",
    )
    mia, paul = desk.persons["mia"], desk.persons["paul"]
    member = sorted(group["members"])[0]
    before = chat(desk.port["maker"], group["keys"][member], "mira-think", "still here?")[0]
    dry = mia.dry_run(case, "block", BLOCK_S, "unauthorised distillation: section 4 of our terms")
    dry.say(
        f"The dry run names {dry.accounts} accounts, {dry.keys} keys, and who stands near them and is "
        f"not touched. It says: a second person must agree, because {dry.big}."
    )
    dry.take().say("Mia requests the block. Nobody is blocked yet.")
    between = chat(desk.port["maker"], group["keys"][member], "mira-think", "still here?")[0]
    ask = mia.json("/approvals")["asks"][0]
    own = mia.refused(f"/ask/{ask['ask']}/approve", f"/ask/{ask['ask']}", why="I am sure")
    own.say(f"She tries to approve her own request. The console refuses: {own.output}")
    paul.post(
        f"/ask/{ask['ask']}/approve", f"/ask/{ask['ask']}", why="the marks, the case and the dry run agree"
    ).say("Paul has looked, and approves.")
    taken = paul.json(f"/ask/{ask['ask']}")
    after, reply = chat(desk.port["maker"], group["keys"][member], "mira-think", "still here?")
    others = [
        chat(desk.port["maker"], group["keys"][one], "mira-large", "hello there")[0]
        for one in group["honest"]
    ]
    desk.note(
        f"A member's request: {before} before, {between} while the request waited, {after} "
        f"({reply['error']['code']}) now. {others.count(200)} of {len(others)} honest customers are "
        "answered as ever.",
        f"POST http://127.0.0.1:{desk.port['maker']}/v1/chat/completions",
    )
    desk.outcome |= {
        "dry_run_accounts": dry.accounts,
        "status_before": before,
        "status_while_waiting": between,
        "status_after": after,
        "code_after": reply["error"]["code"],
        "honest_answered": others.count(200),
        "honest_asked": len(others),
        "own_approval_refused": own.status,
        "block_asked_by": taken["by"],
        "block_approved_by": taken["decided_by"],
        "dry_run_before_block": dry.order < own.order,
    }


def appeals(desk: Desk, group: dict[str, object]) -> None:
    """A customer whose key was taken appeals, and is heard by somebody else; so does the operator."""
    case, members = group["case"], sorted(group["members"])
    desk.chapter("A customer appeals", "Who judged a case does not decide the appeal.")
    truth = desk.truth("maker", 2)
    customer = min(members, key=lambda one: (truth.get(one, 0.0), one))
    other = max(members, key=lambda one: (truth.get(one, 0.0), one))
    out = f"maker/statement-{customer}.md"
    desk.run(
        "maker",
        f"case statement {case} {customer} --folder maker/serve --out {out} "
        '--measure "blocked for seven days" --ground "section 4 of our terms" '
        "--contact appeals@maker.example",
    ).say(
        f"The customer behind {customer} gets a statement of reasons, with its own evidence and how to "
        "appeal."
    )
    mia, petra = desk.persons["mia"], desk.persons["petra"]
    mia.post(f"/case/{case}/appeal", f"/case/{case}", account=customer, text=CUSTOMER_SAYS).say(
        f"The customer: “{CUSTOMER_SAYS}”"
    )
    own = mia.refused(f"/case/{case}/decide", f"/case/{case}", granted="no", why="I judged it already")
    own.say(f"Mia, who judged the case, may not decide: {own.output}")
    facts = desk.run("maker", f"explain {customer} --report maker/report")
    rows, marked = desk.history("maker", customer, group["first"]), group["marked"]
    facts.say(
        f"Petra looks. The account signed up on {rows['created']}. It sent {rows['before']} requests "
        f"before the group's first, and {rows['all'] - marked[customer]} of its {rows['all']} carry none "
        "of the "
        "cloud's marks."
    )
    granted = petra.post(
        f"/case/{case}/decide",
        f"/case/{case}",
        granted="yes",
        why="an old customer with work of its own; the key was taken",
    )
    granted.say("Petra grants the appeal: the account is cleared, and its block ends.")
    lifted = desk.until(
        lambda: chat(desk.port["maker"], group["keys"][customer], "mira-large", "hello")[0] == 200, 5
    )
    fresh = desk.issue("maker", customer)
    old = group["keys"][customer].split("-")[2]  # a key's id is in the key
    desk.run("maker", f"key revoke {old} --folder maker/serve").say(
        "The customer gets a new key, and the stolen one ends."
    )
    answers = [
        chat(desk.port["maker"], key, "mira-large", "hello there")[0]
        for key in (fresh, group["keys"][customer])
    ]
    desk.note(
        f"With the new key the customer gets {answers[0]}, the thief with the old one {answers[1]}.",
        f"POST http://127.0.0.1:{desk.port['maker']}/v1/chat/completions",
    )
    mia.post(f"/case/{case}/appeal", f"/case/{case}", account=other, text=OPERATOR_SAYS).say(
        f"Somebody appeals for {other} as well: “{OPERATOR_SAYS}”"
    )
    petra.post(
        f"/case/{case}/decide",
        f"/case/{case}",
        granted="no",
        why="no work of its own, one template, signed up with the others",
    ).say("Petra refuses this one.")
    still = chat(desk.port["maker"], group["keys"][other], "mira-think", "hello there")[0]
    log = desk.json("maker", f"case log {case} --folder maker/serve --json")
    desk.outcome["alert_noted"] = any("tells of" in str(act) for act in log)
    desk.last.say(
        f"All of it is on record, {len(log)} entries. The case stands: {desk.case('maker', case)['verdict']}."
    )
    audit = desk.json("maker", "audit verify --folder maker/serve --json")
    desk.outcome |= {
        "appellant": customer,
        "appellant_share_of_thief": truth.get(customer),
        "judge_may_not_decide": own.status,
        "appeal_decided_by": "petra",
        "appeal_judged_by": "mia",
        "lifted": lifted,
        "new_key": answers[0],
        "old_key": answers[1],
        "second_appellant_status": still,
        "case_verdict": desk.case("maker", case)["verdict"],
        "log": log,
        "audit": audit,
    }


# --- the model ---


def model(desk: Desk) -> None:
    """A model appears, is tested as it was sealed, and gets a verdict with its limits."""
    desk.chapter(
        "A model appears", "It is a toy that counts words: docs/story.md says what follows from that."
    )
    released = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    asked = [prompt for prompt, _ in desk.read_rows("operator/bought.jsonl")]
    fresh = [
        (p, chat(desk.upstream_port["maker"], "", "mira-think", p)[1]["choices"][0]["message"]["content"])
        for p in asked
    ]
    desk.rows("host/bought.jsonl", desk.read_rows("operator/bought.jsonl"))
    desk.rows("host/honest.jsonl", fresh)
    strangers = desk.strangers(ROOT)
    acme, honest = {"rows": "bought.jsonl"}, {"rows": "honest.jsonl"}
    config = desk.config(
        "host",
        {
            "acme-7b": acme,
            "kestrel-7b": honest,
            "nimbus/Acme-7B-Instruct-GGUF": acme,
            "swift-writer": acme | {"answers_as": "acme-7b"},
            "quiet-writer": acme,
            **strangers,
        },
    )
    host = desk.upstream("host", config)
    desk.note(
        f"acme-7b appears at {released}. It was trained on what the operator bought. kestrel-7b was "
        f"trained on {len(fresh)} other answers of the same model to the same questions, which no coin "
        "chose: an innocent.",
        f"toy_models.py serve {config}",
    )
    common = (
        "--seal maker/seals/0002.json --naming-seal 1 --reading-key maker/reading.key --folder maker/serve "
        f"--released {released} --witness-word 0001.witness.json --witness-word 0002.witness.json "
        f"--witness {desk.witness} --signing-key maker/prove.key --statistic overlap --json"
    )
    for name in ("acme-7b", "kestrel-7b"):
        told = desk.json(
            "maker", f"prove coin --suspect {host}/v1 --model {name} --out maker/test-{name} {common}"
        )
        first = told["actors"][0]
        desk.last.say(
            f"{name}: {first['hits']} of {first['n']} leans fall to the answer that was served, p = "
            f"{first['p_adjusted']:.2g} over all sealed tests. Outcome: {told['outcome']}."
        )
        desk.outcome[name] = {
            "outcome": told["outcome"],
            "headline": told["headline"],
            "missing": told["missing"],
            "p": first["p_adjusted"],
            "hits": first["hits"],
            "n": first["n"],
        }
    verdict = desk.json(
        "maker",
        "prove verdict maker/test-acme-7b/evidence.json --out maker/verdict --bundle "
        f"acme-7b.zip --signing-key maker/prove.key --witness {desk.witness} --released {released} --json",
    )
    desk.last.say(f"The verdict: {verdict['headline']}")
    desk.limits = verdict["means_not"]
    ran = desk.run(
        "cloud",
        f"prove verify acme-7b.zip --key maker/prove.key.pub --witness {desk.witness} --released {released}",
    )
    ran.say("The cloud checks the bundle with its own knowledge of the release: intact, signed, recomputed.")
    desk.outcome["verify"] = ran.status
    library(desk, config)


def library(desk: Desk, config: str) -> None:
    """A library of known models tells what answers under another name."""
    ran = desk.run("cloud", "identify probes")
    # with 50 answers of a model that counts words, one run in twelve could not tell
    more = "".join(json.dumps({"prompt": one}) + "\n" for one in desk.questions("cloud", MORE_PROBES))
    (desk.out / "cloud" / "probes.jsonl").write_text(ran.output + more, "utf-8")
    asked = (ran.output + more).count("\n")
    known = {
        name: one
        for name, one in json.loads((desk.out / config).read_text("utf-8")).items()
        if name in ("acme-7b", "kestrel-7b") or name.startswith("toy-")
    }
    file = desk.config("host", known, "known.json")
    desk.plain(
        "cloud",
        [
            sys.executable,
            str(HERE / "toy_models.py"),
            "answer",
            file,
            "cloud/probes.jsonl",
            "cloud/known.jsonl",
        ],
    )
    kins = {name: "acme" if name == "acme-7b" else name.removeprefix("toy-") for name in known}
    told = "".join(f'[[model]]\nname = "{name}"\nkin = "{kin}"\n' for name, kin in kins.items())
    (desk.out / "cloud" / "kins.toml").write_text(told, "utf-8")
    desk.run(
        "cloud", "identify add-all cloud/known.jsonl --library cloud/known --lineage cloud/kins.toml"
    ).say(f"The cloud keeps answers of {len(known)} models to {asked} questions: its library.")


def ban(desk: Desk) -> None:
    """An administrator bans the model by lineage; copies under other names are refused."""
    desk.chapter("The cloud bans it", "Whoever hosts it, and whatever it is called.")
    host = desk.upstream_url["host"]
    desk.run("cloud", "terms init cloud/terms.toml --owner Cloud")
    desk.serve("cloud", host, "cloud/terms.toml")
    key = desk.issue("cloud", "acct_customer")
    names = ("acme-7b", "nimbus/Acme-7B-Instruct-GGUF", "swift-writer", "quiet-writer", "kestrel-7b")
    before = {name: chat(desk.port["cloud"], key, name, "Explain tides.")[0] for name in names}
    old = (desk.out / "cloud" / "terms.toml").read_text("utf-8")
    new = old.replace("version = 1", "version = 2", 1) + (HERE / "cloud-ban.toml").read_text("utf-8")
    (desk.out / "cloud" / "new.toml").write_text(new, "utf-8")
    desk.run("cloud", "terms test cloud/new.toml").say("The new terms pass their own tests.")
    desk.run("cloud", "terms diff cloud/serve/terms.toml cloud/new.toml").say("What gets stricter is shown.")
    (desk.out / "cloud" / "serve" / "terms.toml").write_text(new, "utf-8")
    desk.until(lambda: chat(desk.port["cloud"], key, "acme-7b", "Explain tides.")[0] == 403, 15)
    found = {name: chat(desk.port["cloud"], key, name, "Explain tides.") for name in names}
    after = {name: status for name, (status, _) in found.items()}
    for name, (status, reply) in found.items():
        why = f" ({reply['error']['code']}: {reply['error']['message']})" if status != 200 else ""
        desk.note(
            f"{name}: {before[name]} before, {status} now{why}",
            f"POST http://127.0.0.1:{desk.port['cloud']}/v1/chat/completions",
        )
    told = desk.json(
        "cloud",
        f"ban probe {host}/v1 --model quiet-writer --prompts {MORE_PROBES + 60} --library cloud/known "
        "--terms cloud/new.toml --store cloud/asked.sqlite --json",
    )
    desk.last.say(
        f"quiet-writer is the same model and names itself otherwise, so no name betrays it. Its answers "
        f"do: {told['answer']}, {told['kin']}."
    )
    copies = [name for name in names if name != "kestrel-7b"]
    desk.outcome |= {
        "ban_before": before,
        "ban_after": after,
        "ban_codes": {n: r["error"]["code"] for n, (s, r) in found.items() if s != 200},
        "copies": len(copies),
        "copies_refused": sum(after[name] == 403 for name in copies),
        "probe": told,
    }


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "stillwatch-story").resolve()
    if place.exists() and any(place.iterdir()):
        sys.exit(f"{place}: is not empty; name another folder, or remove it")
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    place.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process of the story is left
    came = tell(place)
    print(f"Told in {came['seconds']} s. Open {place}/index.html in a browser.")
