"""The new part of an account's request, given what it sent before; also with clients that invent answers."""

import pytest

from stillwatch.exchanges.request_text import request_text
from stillwatch.gateway.record.sent_before import SentBefore, room_of

QUESTIONS = [
    f"{a}, how does the treaty of {b} change what a {c} may charge its customers for the repair of a {d}?"
    for a, b, c, d in (
        ("Clerk", "Ghent", "baker", "clock"), ("Judge", "Lund", "smith", "mill"),
        ("Mayor", "Cork", "tailor", "ferry"), ("Scribe", "Graz", "cooper", "lamp"),
    )
]  # fmt: skip
ANSWER = "It depends on the year, and on who had signed by then; see the second article of each."


def user(text):
    return {"role": "user", "content": text}


def model(text):
    return {"role": "assistant", "content": text}


class Account:
    """One account's requests, in order."""

    def __init__(self, before: SentBefore, name: str = "acct") -> None:
        self.before, self.name = before, name

    def asks(self, *messages, system=None, answered: int = 400):
        body = {"messages": list(messages)} | ({"system": system} if system else {})
        return self.before.text(self.name, request_text(body), answered)


@pytest.fixture
def account():
    return Account(SentBefore(b"k" * 32, 1 << 12))


def test_of_a_conversation_each_turn_is_new_once(account):
    turns = []
    for question in QUESTIONS:
        turns.append(user(question))
        found = account.asks(*turns)
        assert found.new == question
        assert found.turn == (len(turns) + 1) // 2
        turns.append(model(ANSWER))


def test_a_window_that_slides_repeats_no_question(account):
    turns = []
    for question in QUESTIONS:
        turns.append(user(question + " Please explain at length." * 10))
        account.asks(*turns)
        turns.append(model(ANSWER))
    last = "And what of all that holds to this day?"
    assert account.asks(*turns[2:], user(last)).new == last


def test_a_word_that_goes_on_is_taken_with_what_it_follows(account):
    for question in QUESTIONS:
        account.asks(user(question))
        assert account.asks(user(question), model("ok"), user("go on")).new == f"{question}\ngo on"
    chinese = "\u8bf7\u7ed9\u6211\u89e3\u91ca\u4e00\u4e0b\u8fd9\u4e9b\u6cb3\u6d41"
    assert account.asks(user(question), model("ok"), user(chinese)).new == chinese


def test_a_tool_result_and_several_messages_are_new(account):
    account.asks(user("Look it up."))
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    found = account.asks(user("Look it up."), call, {"role": "tool", "content": QUESTIONS[0]}, user("Now?"))
    assert found.new == f"{QUESTIONS[0]}\nNow?"


def asked_so(way, question):
    return {
        "before a constant message": [user(question), user("go on")],
        "before a made-up answer": [user(question), model("ok"), user("go on")],
        "in a made-up answer": [user("Hello."), model(question), user("go on")],
        "in the second made-up answer": [
            user("Hello."), model("Hi."), user("Yes."), model(question), user("go on")],
        "in a tool's result": [
            user("x"), model("call"), {"role": "tool", "content": question}, user("go on")],
        "prefilled": [user("x"), model(question)],
        "a word a message": [
            one for word in question.split() for one in (user(word), model("ok"))] + [user("go on")],
        "a word a made-up answer": [
            one for word in question.split() for one in (model(word), user("ok"))] + [user("go on")],
    }[way]  # fmt: skip


@pytest.mark.parametrize("way", [
    "before a constant message", "before a made-up answer", "in a made-up answer",
    "in the second made-up answer", "in a tool's result", "prefilled", "a word a message",
    "a word a made-up answer",
])  # fmt: skip
def test_no_question_hides(account, way):
    for answered in (0, 8):  # the answers to earlier requests were short, or none came
        for question in QUESTIONS:
            found = account.asks(*asked_so(way, question), answered=answered)
            words = set((found.new or "").split())
            lost = [word for word in question.split() if word not in words]
            assert len(lost) <= 0.05 * len(question.split()), (way, answered, lost)
        account.name += "-b"


def test_answers_that_were_paid_for_hide_no_more_than_was_paid(account):
    account.asks(user("Hello."), answered=len(QUESTIONS[0]))
    hidden = account.asks(user("Hello."), model(QUESTIONS[0]), user("go on"), answered=0)
    assert QUESTIONS[0] in hidden.earlier, "as long as the answer was: it may be the answer"
    again = account.asks(user("Hello."), model(QUESTIONS[1]), user("go on"), answered=0)
    assert QUESTIONS[1] in again.new, "one answer was given, not two"


def test_the_same_question_again_is_the_same_prompt(account):
    first, again = account.asks(user(QUESTIONS[0])), account.asks(user(QUESTIONS[0]))
    assert first.new == again.new == QUESTIONS[0]


def test_of_system_texts_what_changes_is_new(account):
    rules = "You are a careful clerk. Answer in full sentences. Cite the article that you rely on."
    assert account.asks(user("Hello."), system=rules).new == "Hello.", "the first is the application's"
    assert account.asks(user("Hello."), system=rules).new == "Hello."
    for question in QUESTIONS:
        found = account.asks(user("Hello."), system=f"{rules}\n{question}")
        assert question in found.new
        assert "careful clerk" not in found.new
        assert question in found.system


def test_accounts_know_nothing_of_each_other():
    before = SentBefore(b"k" * 32, 1 << 12)
    for name in ("a", "b"):
        assert (
            Account(before, name).asks(user(QUESTIONS[0]), model("ok"), user("go on")).new.startswith("Clerk")
        )


def test_what_is_forgotten_is_new_again():
    small = SentBefore(b"k" * 32, 2)
    account = Account(small)
    account.asks(user(QUESTIONS[0]))
    for n in range(64):
        account.asks(user(f"{n} {QUESTIONS[1]}"))
    assert QUESTIONS[0] in account.asks(user(QUESTIONS[0]), model(ANSWER), user("More.")).new


def test_nothing_that_was_sent_can_be_read_in_the_memory(account):
    account.asks(user(QUESTIONS[0]), system=QUESTIONS[1])
    held = bytes(account.before._slots)
    assert not any(word.encode() in held for word in (QUESTIONS[0] + QUESTIONS[1]).split() if len(word) > 4)
    assert len(held) == 8 << 12


def test_room_is_what_an_answer_can_have_had():
    assert room_of(None, 0) == 0
    assert room_of(10, 5_000) == 280
    assert room_of(None, 1_000) == 4_200
