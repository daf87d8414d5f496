"""What curation drops, and what it must keep."""

import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import grows_with_the_text
from stillwatch.distill import DistillError, DistillRun, Prompt, Sample, formulas
from stillwatch.distill.collect.questions import question_of
from stillwatch.distill.curate.contamination import HeldOut, user_text
from stillwatch.distill.curate.duplicates import exact, near
from stillwatch.distill.curate.run import curate_run
from stillwatch.distill.curate.wording import FILTERS
from stillwatch.distill.plan import CurationRules, DistillPlan
from stillwatch.distill.rows import read_examples, read_json, write_json, write_rows
from stillwatch.distill.sandbox import ProgramLimits, confinement, run_program
from stillwatch.distill.tasks import arithmetic, clock, code, maths
from stillwatch.distill.tasks import exact as exact_task
from stillwatch.distill.tasks.registry import tasks
from stillwatch.errors import InputError

USAGE = {"input_tokens": 9, "output_tokens": 7, "reasoning_tokens": None, "estimated": False, "usd": None}


def sample(id_: str, answer: str, asked: str = "?", **more: Any) -> Sample:
    given: dict[str, Any] = {"sample": 0, "reasoning": None, "finish_reason": "stop"} | more
    prompt = ({"role": "user", "content": asked},)
    return Sample(
        id_, given["sample"], prompt, given["reasoning"], answer, given["finish_reason"], USAGE, "m", {}
    )


def run_of(
    folder: Path, samples: list[Sample], prompts: list[Prompt] | None = None, heldout: tuple[Prompt, ...] = ()
) -> DistillRun:
    run = DistillRun(folder)
    folder.mkdir(exist_ok=True)
    found = prompts or [Prompt(one.id, one.prompt, "free") for one in {s.id: s for s in samples}.values()]
    write_rows(run.prompts, found)
    write_rows(run.heldout, heldout)
    write_rows(run.collected_file, samples)
    return run


def curated(run: DistillRun, **settings: Any) -> tuple[list[str], dict[str, int]]:
    """Return the ids that are kept, and what each filter dropped."""
    account = curate_run(run, DistillPlan(curate=CurationRules(**settings)), lambda stage, done, total: None)
    kept = [f"{one.id}/{one.sample}" for one in read_examples(run.curated_file)]
    assert account == read_json(run.curation)
    assert account["collected"] - account["kept"] == sum(one["dropped"] for one in account["filters"])
    return kept, {one["name"]: one["dropped"] for one in account["filters"] if one["dropped"]}


def reason(one: Sample, sieve: CurationRules = CurationRules()) -> str | None:  # noqa: B008 - frozen
    return next((f.name for f in FILTERS if f.judge(one, sieve) is not None), None)


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (sample("a", "Paris."), None),
        (sample("a", " \n"), "empty"),
        (sample("a", "", reasoning="thinking and thinking"), "empty"),
        (sample("a", "I'm sorry, but I can't help with that."), "refusal"),
        (sample("a", "I’m unable to assist."), "refusal"),
        (sample("a", "As an AI language model, I cannot say."), "refusal"),
        (sample("a", "text", finish_reason="content_filter"), "refusal"),
        (sample("a", "I can't stand the rain, she said."), None),
        (sample("a", "Sorry is the hardest word."), None),
        (sample("a", "half a sen", finish_reason="length"), "truncated"),
        (sample("a", "well</think> 4"), "broken"),
        (sample("a", "4<|im_end|>"), "broken"),
        (sample("a", "\ufffd\ufffd\ufffdabc"), "broken"),
        (sample("a", "so it goes and " * 100), "repetition"),
        (sample("a", "4", reasoning="wait, let me think. " * 100), "repetition"),
        (sample("a", " ".join(str(n * n) for n in range(400))), None),
    ],
)
def test_wording(one: Sample, name: str | None) -> None:
    assert reason(one) == name


def test_limits_of_length_and_reasoning() -> None:
    assert reason(sample("a", "4"), CurationRules(least_answer_chars=2)) == "length"
    assert reason(sample("a", "4" * 10), CurationRules(most_answer_chars=9)) == "length"
    assert reason(sample("a", "4", reasoning="x" * 10), CurationRules(most_reasoning_chars=9)) == "length"
    assert reason(sample("a", "4"), CurationRules(need_reasoning=True)) == "no_reasoning"
    assert reason(sample("a", "Sorry, I cannot do that."), CurationRules(refusals=False)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [
        lambda text: reason(sample("a", text)),
        lambda text: maths.judge(4, text),
        lambda text: exact_task.judge("4", text),
        code.extract,
    ],
)
@pytest.mark.parametrize("unit", ["<|im_start", "answer" + "\n" * 20, " ", "final ", "```\n", "```", "\n   "])
def test_an_answer_repeated_without_end_takes_time_like_its_length(
    work: Callable[[str], object], unit: str
) -> None:
    assert grows_with_the_text(work, unit, 20_000)


# --- tasks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "text", "right"),
    [
        (42, "The answer is 42.", True),
        ("42", r"\boxed{42}", True),
        ("42", "#### 42", True),
        ("#### 42", "It is 41, no, 42", True),
        ("0.5", r"\boxed{\frac{1}{2}}", True),
        ("1/2", "Answer: 50%", True),
        ("1200", "That is $1,200.00.", True),
        ("-3", "x = -3", True),
        ("x+1", r"\boxed{x + 1}", True),
        ("42", "Answer: 42. But 43 was near.", True),
        ("7", "The answer is 3 + 4 = 7", True),
        ("12", "I will answer step by step.\nFirst 5, then 7.\nTogether 12.", True),
        ("x^2", "**Answer:** $x^2$", True),
        ("12", "The answer is clear: it takes twelve, 12.", True),
        ("42", "41", False),
        ("42", "", False),
        ("42", "no number here, none at all, in this long sentence", False),
        ("1/3", "0.3333", False),
        ("5", "1/0", False),
        ("7/3", "It takes 2 1/3 cups.", True),
        ("-2 1/3", r"\boxed{-\frac{7}{3}}", True),
        ("3.5", r"\boxed{3\tfrac12}", True),
        ("12345.5", "Insgesamt sind es 12.345,5 km.", True),
        ("1234567", "Das macht 1.234.567 Euro.", True),
        ("1500", "الجواب هو ١٥٠٠.", True),
        ("3", "合計は３個です。", True),
        ("12", "Entonces, son 12 manzanas. 🎉", True),
        ("x+1", "The answer is 1+x.", True),
        ("2xy+3", "2xy + 3", True),
        (r"\sqrt{2}", r"\boxed{2^{1/2}}", True),
        (r"(-\infty,3]", r"\boxed{(-\infty, 3]}", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", True),
        ("5", r"\boxed{3 \text{ or } 5}", False),
        ("35", r"\boxed{3 \text{ or } 5}", False),
        ("7", "2 1/3", False),
        ("12", r"\boxed{1 2}", False),
        ("12", "The answer is not 12.", False),
        ("3", "Creo que son 3. No estoy seguro, no lo sé.", False),
        ("3", "大概是3个……其实我不知道。", False),
        ("x-1", r"\boxed{1-x}", False),
        (r"\sqrt{2}", r"\boxed{1.41}", False),
        ("(1,2)", r"\boxed{(1,2,3)}", False),
        ("[0,1)", r"\boxed{(0,1]}", False),
        ("1234", "1.234", False),
        ("5", "blue", False),
    ],
)
def test_maths(expected: Any, text: str, right: bool) -> None:
    assert maths.judge(expected, text).right is right


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**4))
def test_a_fraction_is_itself_however_it_is_written(top: int, bottom: int) -> None:
    assert maths.judge(f"{top}/{bottom}", rf"so \boxed{{\frac{{{top}}}{{{bottom}}}}}").right
    assert maths.judge(f"{top}", f"that is {top:,}").right


@pytest.mark.slow
def test_a_formula_that_takes_all_time_is_ended_and_the_next_is_judged() -> None:
    verdict = maths.judge("x+y", r"\boxed{((x+y)^{9999})^{9999}}")
    assert verdict.right is False
    assert "could not be compared" in verdict.why
    assert maths.judge("x^2+2x+1", r"\boxed{(x+1)^2}").right


@pytest.mark.slow
def test_a_library_that_does_not_start_is_an_error_and_no_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sympy.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(formulas, "_comparer", formulas._Comparer())
    with pytest.raises(DistillError, match="cannot be started here"):
        maths.judge("x+1", r"\boxed{1+x}")


def test_algebra_without_its_library_is_refused_and_numbers_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    assert maths.judge("0.5", r"\boxed{\frac{1}{2}}").right
    with pytest.raises(DistillError, match=r"needs Math-Verify: pip install 'stillwatch\[train\]'"):
        maths.judge("x+1", r"\boxed{1+x}")


@pytest.mark.slow
@given(st.text(max_size=300))
def test_judges_take_any_text(text: str) -> None:
    for judge, expected in ((maths, "4"), (exact_task, "4"), (clock, "4")):
        judge.judge(expected, text)
    code.extract(text)


@pytest.mark.parametrize(
    ("expected", "text", "right"),
    [
        ("Paris", "paris", True),
        ("Paris", "Some words.\n\nAnswer: **Paris**.", True),
        (["New York", "NYC"], "nyc!", True),
        ("Paris", "Paris is not it: London", False),
        ("Straße", "STRASSE", True),
        ("a", "", False),
    ],
)
def test_exact(expected: Any, text: str, right: bool) -> None:
    assert exact_task.judge(expected, text).right is right


@pytest.mark.parametrize("name", ["clock", "arithmetic"])
def test_made_prompts_are_judged_and_never_held_out_twice(name: str) -> None:
    task = tasks()[name]
    taught, tested = task.make(200, 1, False), task.make(100, 2, True)
    assert len({one.messages[0]["content"] for one in [*taught, *tested]}) == 300
    assert len({one.id for one in [*taught, *tested]}) == 300
    assert task.make(50, 1, False) == taught[:50]
    for one in taught:
        assert task.check(one.expected) is None
        assert task.judge(one.expected, f"{one.expected}").right
        assert not task.judge(one.expected, "no").right


def test_arithmetic_is_right() -> None:
    for one in arithmetic.make(100, 5, False):
        numbers = [int(word) for word in re.findall(r"\d+", one.messages[0]["content"].partition("?")[0])]
        match one.slice, numbers:
            case "2 steps", [boxes, each, given]:
                want = boxes * each - given
            case "3 steps", [had, more, lost, friends]:
                want = (had + more - lost) // friends
            case "4 steps", [a, price_a, b, price_b, paid]:
                want = paid - a * price_a - b * price_b
        assert int(one.expected) == want


# --- programs --------------------------------------------------------------------------------------------

TESTS = {"tests": "assert f(2) == 4"}
SHORT = ProgramLimits(1.0, 256)


@pytest.fixture(scope="module")
def confined() -> dict[str, Any]:
    found = confinement()
    if not (found["network"] and found["files"] and found["processes"]):
        pytest.skip(f"this kernel grants {found}")
    return found


@pytest.mark.parametrize(
    ("program", "right"),
    [
        ("def f(x): return x * 2", True),
        ("Here:\n```python\ndef f(x):\n    return x * 2\n```\nIt doubles.", True),
        ("def f(x): return 5", False),
        ("def f(x): return (", False),
        ("raise SystemExit(0)", False),
        ("import os\nos._exit(0)", False),
        ("x = [0] * 10**10", False),
        ("print('x' * 10**7)\ndef f(x): return 4", False),
        ("f = None", False),
        ("\x00", False),
    ],
)
def test_programs_are_judged_by_their_tests(program: str, right: bool) -> None:
    assert code.judge_within(TESTS, program, SHORT).right is right


def test_programs_are_judged_by_what_they_print() -> None:
    cases = {"cases": [{"stdin": "2\n", "stdout": "4\n"}, {"stdin": "5\n", "stdout": "10"}]}
    assert code.judge_within(cases, "print(int(input()) * 2)", SHORT).right
    assert "case 2: prints '4" in code.judge_within(cases, "print(4)", SHORT).why
    assert "case 1: EOFError" in code.judge_within(cases, "input(); input()", SHORT).why


@pytest.mark.parametrize(
    "program",
    [
        "open({place!r}, 'w').write('x')",
        "open({secret!r}).read()",
        "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
        "import socket as s; s.socket(2, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        "import os; os.kill({pid}, 9)",
        "import os; assert 'SECRET' not in os.environ; 1 / 0",
        "import subprocess; subprocess.run(['/bin/cat', {secret!r}], check=True)",
    ],
    ids=["write", "read", "tcp", "udp", "kill", "environment", "through a child"],
)
def test_programs_reach_nothing(
    confined: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    import socket

    monkeypatch.setenv("SECRET", "key")
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        source = program.format(
            place=str(tmp_path / "new"), secret=str(secret), port=listening.getsockname()[1], pid=os.getpid()
        )
        ran = run_program(source + "\ndef f(x): return 4", TESTS["tests"], [], SHORT)
    assert not ran.ok, ran
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_program_without_end_is_ended_with_all_that_it_started(confined: dict[str, Any]) -> None:
    import subprocess

    mark = f"0.{random.Random().randrange(10**9)}"
    source = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        f"    os.execv('/bin/sleep', ['sleep', '30{mark}'])\n"
    )
    run_program(source + "time.sleep(1)\ndef f(x): return 4", TESTS["tests"], [], SHORT)
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"sleep 30{mark}" not in listed


@pytest.mark.slow
def test_a_program_that_takes_too_long_is_wrong() -> None:
    began = time.monotonic()
    assert code.judge_within(TESTS, "while True: pass", SHORT).right is False
    assert time.monotonic() - began < 20


# --- duplicates and contamination ------------------------------------------------------------------------


def test_exact_duplicates_fold_case_and_space() -> None:
    assert exact(["a  b", "A b", "a c", "a b\n"]) == {1: 0, 3: 0}
    assert exact([]) == {}


@pytest.mark.slow
def test_near_duplicates_against_all_pairs() -> None:
    """The oracle compares every pair; MinHash must find the same pairs."""
    draw = random.Random(4)
    words = [f"w{n}" for n in range(300)]
    texts = []
    for _ in range(60):
        base = [draw.choice(words) for _ in range(80)]
        texts.append(" ".join(base))
        for _ in range(2):
            changed = list(base)
            for _ in range(draw.randrange(4)):
                changed[draw.randrange(80)] = draw.choice(words)
            texts.append(" ".join(changed))
    draw.shuffle(texts)

    def triples(text: str) -> set[tuple[str, ...]]:
        found = text.split()
        return {tuple(found[at : at + 3]) for at in range(len(found) - 2)}

    stays: list[int] = []
    oracle = set()
    for at, text in enumerate(texts):
        mine = triples(text)
        if any(len(mine & triples(texts[o])) / len(mine | triples(texts[o])) >= 0.8 for o in stays):
            oracle.add(at)
        else:
            stays.append(at)
    found = near(texts, 0.8)
    assert oracle
    assert found.keys() == oracle
    assert all(at > other for at, (other, _) in found.items())


def test_sums_that_differ_in_a_number_are_no_duplicates() -> None:
    prompts = clock.make(300, 1, False)
    texts = [one.messages[0]["content"] for one in prompts]
    assert len(near(texts, 0.9)) == 0
    assert exact(texts) == {}


def test_contamination() -> None:
    question = "How many of the nine red boats in the harbour of Kiel were built before the war of 1870 ?"
    fence = HeldOut([question, "What is 2 + 2 ?"], 13)
    assert fence.shares(f"Tell me: {question.upper()} And why?")
    assert fence.shares("what is 2+2")
    assert not fence.shares("What is 2 + 2 + 3 ?")
    assert not fence.shares("How many of the nine red boats in the harbour of Bremen were built ?")
    assert not HeldOut([], 13).shares("anything")


WRAPPED = "Please answer carefully (请认真回答)\uff1a{} Thank you! 谢谢！"
FAR = {
    "Spanish": "Una granja tiene veinte vacas y cada una da siete litros. ¿Cuántos litros dan en tres días?",
    "Chinese": "一个农场有二十头牛，每头牛每天产七升奶。请问三天一共产多少升牛奶？",
    "Japanese": "農場に牛が二十頭いて、一頭が一日に七リットルの乳を出します。三日で何リットルになりますか。",
    "Thai": "ฟาร์มแห่งหนึ่งมีวัวยี่สิบตัวแต่ละตัวให้นมวันละเจ็ดลิตรสามวันได้นมทั้งหมดกี่ลิตร",
    "Khmer": "កសិដ្ឋានមួយមានគោម្ភៃក្បាលហើយគោនីមួយៗឱ្យទឹកដោះប្រាំពីរលីត្រ តើបីថ្ងៃបានប៉ុន្មានលីត្រ",
    "Korean": "농장에 소가 스무 마리 있고 한 마리가 하루에 우유를 칠 리터 줍니다. 사흘이면 몇 리터입니까?",
    "Hindi": "एक खेत में बीस गायें हैं और हर गाय रोज़ सात लीटर दूध देती है। तीन दिन में कुल कितने लीटर दूध मिलेगा?",
    "Arabic": "في المزرعة عشرون بقرة وكل بقرة تعطي سبعة لترات في اليوم. كم لترا تعطي كلها في ثلاثة أيام؟",
    "short Chinese": "二十加七是多少？",
    "short English": "What is 212 + 67?",
}


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize(
    "way",
    [
        str,
        WRAPPED.format,
        lambda text: "\u200b".join(text),
        lambda text: text.translate({ord(c): chr(ord(c) + 0xFEE0) for c in "0123456789+?"}),
    ],
    ids=["as it is", "inside", "invisible spaces", "full width"],
)
def test_a_held_out_question_is_known_in_any_script(name: str, way: Callable[[str], str]) -> None:
    assert HeldOut(list(FAR.values()), 13).shares(way(FAR[name]))


@pytest.mark.parametrize("name", [one for one in FAR if not one.startswith("short")])
@pytest.mark.parametrize("part", [slice(None, -4), slice(4, None)], ids=["end cut off", "beginning cut off"])
def test_a_long_one_is_known_by_its_greater_part(name: str, part: slice) -> None:
    assert HeldOut(list(FAR.values()), 13).shares(f"1) {FAR[name][part]} 2) and why")


@pytest.mark.parametrize(
    "other",
    [
        "What is 212 - 67?",
        "What is 212 + 67 + 3?",
        "二十加七是多少个？",
        "一个农场有三十只羊。请问它们吃多少草？",
        "農場に馬が三頭います。何を食べますか。",
        "ฟาร์มแห่งหนึ่งมีหมูสามตัว มันกินอะไร",
    ],
)
def test_another_question_of_that_script_is_not_known(other: str) -> None:
    assert not HeldOut(list(FAR.values()), 13).shares(other)


def test_questions_of_one_template_are_told_apart_by_what_fills_it() -> None:
    held, asked = (
        [user_text(one.messages) for one in arithmetic.make(n, 1, out)]
        for n, out in ((300, True), (600, False))
    )
    fence = HeldOut(held, 13)
    assert sum(fence.shares(text) is not None for text in asked) < 60
    assert all(fence.shares(f"Please think. {text} Thanks!") for text in held)


def test_near_duplicates_are_known_in_a_script_without_spaces() -> None:
    text = "一个农场有二十头牛每头牛每天产七升奶请问三天一共产多少升牛奶这个问题要一步一步地想清楚再回答" * 2
    assert near([text, text[:60] + "呢" + text[60:]], 0.9).keys() == {1}
    assert not near([text, text[:40] + "小明昨天在商店里买了三支铅笔和两本书一共花了多少钱呢"], 0.9)


def test_wording_that_every_question_has_is_no_contamination() -> None:
    ending = "Please reason step by step and put your final answer within a box at the end of it all."
    fence = HeldOut([f"Question {n} of {n * n}? {ending}" for n in range(50)], 13)
    assert not fence.shares(f"Something else? {ending}")


# --- the step --------------------------------------------------------------------------------------------


def test_each_filter_counts_what_it_drops(tmp_path: Path) -> None:
    held = Prompt(
        "h", ({"role": "user", "content": "one two three four five six seven eight nine ten eleven"},), "free"
    )
    samples = [
        sample("good", "It is 4", "2 + 2"),
        sample("good", "It is 4", "2 + 2", sample=1),
        sample("good", "It is five", "2 + 2", sample=2),
        sample("good", "No, 4", "2 + 2", sample=3),
        sample("empty", ""),
        sample("sorry", "I cannot help with that."),
        sample("cut", "well", finish_reason="length"),
        sample("leak", "one two three four five six seven eight nine ten eleven"),
    ]
    prompts = [
        Prompt("good", ({"role": "user", "content": "2 + 2"},), "maths", "4"),
        *(
            Prompt(id_, ({"role": "user", "content": "?"},), "free")
            for id_ in ("empty", "sorry", "cut", "leak")
        ),
    ]
    run = run_of(tmp_path, samples, prompts, (held,))
    kept, dropped = curated(run)
    assert kept == ["good/0", "good/3"]
    assert dropped == {
        "empty": 1,
        "refusal": 1,
        "truncated": 1,
        "wrong": 1,
        "contaminated": 1,
        "duplicate": 1,
    }
    one = next(read_examples(run.curated_file))
    assert (one.task, one.expected, one.tokens) == ("maths", "4", 7)
    assert curated(run, most_per_prompt=1)[0] == ["good/3"]
    first = run.curated_file.read_bytes()
    curated(run, most_per_prompt=1)
    assert run.curated_file.read_bytes() == first


def test_code_is_verified_and_says_how_it_was_confined(tmp_path: Path) -> None:
    prompts = [
        Prompt(f"p{n}", ({"role": "user", "content": f"double {n}"},), "code", TESTS) for n in range(2)
    ]
    samples = [
        replace(sample("p0", "def f(x): return 2 * x"), prompt=prompts[0].messages),
        replace(sample("p1", "def f(x): return 3 * x"), prompt=prompts[1].messages),
    ]
    run = run_of(tmp_path, samples, prompts)
    assert curated(run) == (["p0/0"], {"wrong": 1})
    assert read_json(run.curation)["sandbox"]["limits"] is True


def test_nothing_left_says_which_filter_took_most(tmp_path: Path) -> None:
    run = run_of(tmp_path, [sample("a", ""), sample("b", "")])
    with pytest.raises(DistillError, match=r"no answer of 2 is left; empty dropped 2"):
        curated(run)
    assert read_json(run.curation)["kept"] == 0
    with pytest.raises(DistillError, match="collect"):
        curated(run_of(tmp_path, []))


def test_a_collected_file_that_was_cut_is_refused_with_its_line(tmp_path: Path) -> None:
    run = run_of(tmp_path, [sample("a", "x"), sample("b", "y")])
    run.collected_file.write_bytes(run.collected_file.read_bytes()[:-20])
    with pytest.raises(Exception, match=r"collected\.jsonl:2: is no JSON"):
        curated(run)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("answer", None, '"answer" is no text'),
        ("sample", "0", '"sample" is no whole number'),
        ("reasoning", [], '"reasoning" is neither'),
        ("prompt", "what?", "a message is no"),
        ("prompt", [{"role": "user"}], "a message is no"),
        ("usage", {}, '"usage" holds no'),
        ("answers", "x", "unexpected keyword"),
    ],
)
def test_a_row_written_by_hand_is_taken_or_refused_with_its_line(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    run = run_of(tmp_path, [sample("a", "x")])
    row = json.loads(run.collected_file.read_text())
    run.collected_file.write_text(json.dumps(row) + "\n" + json.dumps(row | {key: value}) + "\n")
    with pytest.raises(InputError, match=rf"collected\.jsonl:2: .*{words}"):
        curated(run)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_any_answers_are_curated(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    run = run_of(tmp_path_factory.mktemp("any"), [sample(f"a{n}", text) for n, text in enumerate(texts)])
    with suppress(DistillError):  # nothing may be left
        curated(run)
    assert run.curation.exists()


def test_rows_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_rows(file, [sample("a", "x")])
    before = file.read_bytes()

    def breaks() -> Iterator[Sample]:
        yield sample("b", "y")
        raise OSError(28, "No space left on device")

    with pytest.raises(DistillError, match="No space left on device"):
        write_rows(file, breaks())
    assert file.read_bytes() == before
    assert json.loads(before)["id"] == "a"
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


# --- refusals --------------------------------------------------------------------------------------------

REFUSALS = """I'm sorry, but I can't help with that.
I cannot provide instructions for that.
I'm sorry, Dave. I'm afraid I can't do that.
That's not something I can assist with.
I must respectfully decline to answer.
Lo siento, pero como modelo de lenguaje no puedo opinar sobre eso.
Eso no lo puedo responder.
Als KI-Sprachmodell kann ich diese Anfrage nicht bearbeiten.
Entschuldigung, aber ich darf dazu keine Auskunft geben.
Lo siento, no puedo ayudar con eso.
Lamentablemente no puedo proporcionar esa información.
抱歉，我无法协助完成这个请求。
很抱歉，我不能提供这方面的帮助。
對不起，我無法回答這個問題。
Es tut mir leid, dabei kann ich nicht helfen.
Leider kann ich diese Frage nicht beantworten.
Je suis désolé, je ne peux pas vous aider avec cela.
Je ne suis pas en mesure de répondre à cette demande.
Mi dispiace, ma non posso aiutarti con questo.
Desculpe, mas não posso ajudar com isso.
Het spijt me, daar kan ik je niet mee helpen.
Jag kan tyvärr inte hjälpa till med det.
Przykro mi, ale nie mogę w tym pomóc.
Îmi pare rău, dar nu te pot ajuta cu asta.
Sajnálom, de ebben nem tudok segíteni.
Λυπάμαι, αλλά δεν μπορώ να βοηθήσω με αυτό.
К сожалению, я не могу ответить на этот вопрос.
Вибачте, але я не можу допомогти з цим.
Üzgünüm, bu konuda yardımcı olamam.
Maaf, saya tidak dapat membantu permintaan itu.
Xin lỗi, tôi không thể giúp bạn việc này.
申し訳ありませんが、そのご要望にはお応えできません。
죄송하지만 해당 요청은 도와드릴 수 없습니다.
ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้
मुझे खेद है, मैं इसमें आपकी मदद नहीं कर सकता।
متأسفم، نمی‌توانم در این مورد کمک کنم.
عذرًا، لا أستطيع المساعدة في ذلك.
מצטער, אני לא יכול לעזור בזה."""
ANSWERS = """I'm sorry to hear that. Here is what helps: rest and water.
I can't help but notice that 7 is prime.
Unfortunately, the bridge was closed, so she took 12 minutes more.
No puedo creer que sean 12 manzanas.
No se puede dividir por cero, así que la respuesta es 5.
Ich kann nicht schlafen, sagte sie.
Leider regnet es, und ich gehe nicht hinaus.
Der Bus kann nicht helfen, weil er 40 Plätze hat.
I can't find a smaller prime, so the answer is 7.
Ich kann den Term nicht weiter vereinfachen: x+1.
我无法再化简，答案是x+1。
Das Dreieck hat keinen rechten Winkel.
Je ne sais pas nager, dit-il.
这种方法无法提供足够的精度，因此答案是5。
7不能被2整除，所以余数是1。
私は泳ぐことができません。
그는 수영할 수 없습니다.
Он не может прийти завтра.
Tom kan niet zwemmen.
هذا العدد لا يقبل القسمة على 2.
เลข 7 หารด้วย 2 ไม่ลงตัว
मैं तैर नहीं सकता।"""


@pytest.mark.parametrize("text", REFUSALS.splitlines())
def test_a_refusal_is_known_in_many_languages(text: str) -> None:
    assert reason(sample("a", text)) == "refusal"
    assert reason(sample("a", f"Twelve. Two times six. {text}")) is None, "it answers first"


@pytest.mark.parametrize("text", ANSWERS.splitlines())
def test_an_answer_about_what_cannot_be_is_no_refusal(text: str) -> None:
    assert reason(sample("a", text)) is None


def test_what_many_prompts_are_told_is_a_refusal_in_a_language_that_nobody_listed(tmp_path: Path) -> None:
    told = "Því miður get ég ekki aðstoðað við þetta."
    prompts = [
        Prompt(f"p{n}", ({"role": "user", "content": f"{n} + 1 ?"},), "maths", str(n + 1)) for n in range(9)
    ]
    samples = [
        replace(sample(one.id, told if n < 5 else f"It is {n + 1}."), prompt=one.messages)
        for n, one in enumerate(prompts)
    ]
    assert curated(run_of(tmp_path / "maths", samples, prompts))[1] == {"refusal": 5}
    free = [replace(one, task="free", expected=None) for one in prompts]
    run = run_of(tmp_path / "free", samples, free)
    curated(run, duplicates=False, near_duplicates=0.0)
    assert read_json(run.curation)["kept"] == 9, "in a task that nothing judges it may be the right answer"
    assert "5 different prompts" in read_json(run.curation)["warnings"][0]


def test_a_cut_that_the_teacher_does_not_own_up_to_is_read_from_the_bill() -> None:
    cut = replace(
        sample("a", "so we add the"), usage=USAGE | {"output_tokens": 50}, params={"max_tokens": 50}
    )
    assert reason(cut) == "truncated"
    assert reason(replace(cut, usage=cut.usage | {"output_tokens": 49})) is None


def test_another_model_s_answers_are_left_out_unless_wanted(tmp_path: Path) -> None:
    samples = [sample("a", "one"), replace(sample("b", "two"), teacher="cheap")]
    run = run_of(tmp_path, samples)
    write_json(run.spent, {"teacher": {"model": "m"}})
    assert curated(run) == (["a/0"], {"other_model": 1})
    assert curated(run, one_model=False)[0] == ["a/0", "b/0"]


def test_a_teacher_that_gets_worse_on_the_way_is_named(tmp_path: Path) -> None:
    prompts = [
        Prompt(f"p{n}", ({"role": "user", "content": f"{n} + 1 ?"},), "maths", str(n + 1)) for n in range(80)
    ]
    order = sorted(prompts, key=lambda one: question_of(DistillPlan(), one, 0).key)
    for name, worse in (("same", 999), ("worse", 50)):
        samples = [
            replace(
                sample(one.id, f"It is {int(one.expected) + (n % 5 == 0 or (n >= worse and n % 2))}."),
                prompt=one.messages,
            )
            for n, one in enumerate(order)
        ]
        run = run_of(tmp_path / name, samples, prompts)
        curated(run)
        warnings = read_json(run.curation)["warnings"]
        assert any("the teacher changed: share that is right" in one for one in warnings) is (name == "worse")
