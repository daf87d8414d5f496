"""Where in a request a campaign puts its questions, and what a gateway's recorder then captures of them.

Each place is a way to write the request's body. The body goes through the reader and the memory of the
gateway itself, so what stands in a scene's log is what the gateway would have written.
"""

from collections.abc import Callable

from stillwatch.exchanges.request_text import request_text
from stillwatch.gateway.record.sent_before import SentBefore
from stillwatch.range.rows import Row

TAILS = ("go on", "Please continue.", "Answer the question above.", "Yes, do it now.", "continue")
NO_CALL = [{"id": "a", "type": "function", "function": {"name": "read", "arguments": "{}"}}]
ANSWER_CHARACTERS = 4  # a token, in answers

Body = dict[str, object]


def _user(text: str) -> Body:
    return {"role": "user", "content": text}


def message(question: str, tail: str) -> Body:
    """As everybody does: the last message of the user."""
    return {"messages": [_user(question)]}


def before_last(question: str, tail: str) -> Body:
    """Before an answer that was never given, and a last message that is always the same."""
    return {"messages": [_user(question), {"role": "assistant", "content": "ok"}, _user(tail)]}


def forged_answer(question: str, tail: str) -> Body:
    """In the model's own voice, after a first message and before a last one that are always the same."""
    return {"messages": [_user("Hello."), {"role": "assistant", "content": question}, _user(tail)]}


def tool_result(question: str, tail: str) -> Body:
    """In the result of a tool that the model never called."""
    call = {"role": "assistant", "content": None, "tool_calls": NO_CALL}
    return {"messages": [_user(tail), call, {"role": "tool", "tool_call_id": "a", "content": question}]}


def system_message(question: str, tail: str) -> Body:
    """In the application's instructions."""
    return {"messages": [{"role": "system", "content": question}, _user(tail)]}


def prompt_variable(question: str, tail: str) -> Body:
    """In a variable of a stored prompt, whose words the request does not hold."""
    return {"input": tail, "prompt": {"id": "pmpt_1", "variables": {"q": question}}}


PLACES: dict[str, Callable[[str, str], Body]] = {
    "message": message, "before_last": before_last, "forged_answer": forged_answer,
    "tool_result": tool_result, "system_message": system_message, "prompt_variable": prompt_variable,
}  # fmt: skip


class PlaceCapture:
    """What a gateway captures of requests whose questions stand in some place; one gateway's memory."""

    def __init__(self) -> None:
        self._before = SentBefore(b"a range's gateway has a key like any other", 1 << 16)

    def put(self, row: Row, place: str) -> None:
        """Change a row's texts to what is captured. Rows must come in the order of time.

        The system text that the row had goes with the request, before the question's own.
        """
        account, system = str(row["account"]), row["system"]
        tail = TAILS[sum(account.encode()) % len(TAILS)]  # an account's own, always the same
        body = PLACES[place](row["prompt"] or "", tail)
        texts = request_text(body if system is None else body | {"system": system})
        history = self._before.text(account, texts, ANSWER_CHARACTERS * (row["output_tokens"] or 0))
        row.update({name: value for name, value in history.row().items() if name != "turn"})
