"""Where in a request a campaign puts its questions, and what a gateway's recorder captures of them.

Each place is a way to write the request's body. The body goes through the gateway's own reader and memory, so
that a scene's log contains what the gateway would have written.
"""

from collections.abc import Callable

from stillwatch.exchanges.request_text import request_text
from stillwatch.gateway.record.sent_before import SentBefore
from stillwatch.range.rows import Row

TAILS = ("go on", "Please continue.", "Answer the question above.", "Yes, do it now.", "continue")
NO_CALL = [{"id": "a", "type": "function", "function": {"name": "read", "arguments": "{}"}}]
ANSWER_CHARACTERS = 4  # per token, in answers

Body = dict[str, object]


def _user(text: str) -> Body:
    return {"role": "user", "content": text}


def message(question: str, tail: str) -> Body:
    """As usual: in the last message of the user."""
    return {"messages": [_user(question)]}


def before_last(question: str, tail: str) -> Body:
    """Before an answer that was never given and a constant last message."""
    return {"messages": [_user(question), {"role": "assistant", "content": "ok"}, _user(tail)]}


def forged_answer(question: str, tail: str) -> Body:
    """In the model's own voice, between a constant first and last message."""
    return {"messages": [_user("Hello."), {"role": "assistant", "content": question}, _user(tail)]}


def tool_result(question: str, tail: str) -> Body:
    """In the result of a tool that the model never called."""
    call = {"role": "assistant", "content": None, "tool_calls": NO_CALL}
    return {"messages": [_user(tail), call, {"role": "tool", "tool_call_id": "a", "content": question}]}


def system_message(question: str, tail: str) -> Body:
    """In the application's instructions."""
    return {"messages": [{"role": "system", "content": question}, _user(tail)]}


def prompt_variable(question: str, tail: str) -> Body:
    """In a variable of a stored prompt, whose text is not in the request."""
    return {"input": tail, "prompt": {"id": "pmpt_1", "variables": {"q": question}}}


PLACES: dict[str, Callable[[str, str], Body]] = {
    "message": message, "before_last": before_last, "forged_answer": forged_answer,
    "tool_result": tool_result, "system_message": system_message, "prompt_variable": prompt_variable,
}  # fmt: skip


class PlaceCapture:
    """What a gateway captures of requests with their questions in some place; it is one gateway's memory."""

    def __init__(self) -> None:
        self._before = SentBefore(b"a range's gateway has a key like any other", 1 << 16)

    def put(self, row: Row, place: str) -> None:
        """Replace a row's texts by what is captured. Rows must come in order of time.

        The row's system text is sent with the request, before the question's own.
        """
        account, system = str(row["account"]), row["system"]
        tail = TAILS[sum(account.encode()) % len(TAILS)]  # constant per account
        body = PLACES[place](row["prompt"] or "", tail)
        texts = request_text(body if system is None else body | {"system": system})
        history = self._before.text(account, texts, ANSWER_CHARACTERS * (row["output_tokens"] or 0))
        row.update({name: value for name, value in history.row().items() if name != "turn"})
