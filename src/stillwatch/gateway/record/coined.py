"""Two replies to one request as a ledger's record: the texts and their costs.

A reply that cannot be read as an answer makes no pair: the record states why, and the toss does not count.
"""

from dataclasses import dataclass

import msgspec

from stillwatch.coin import Answer, Pair, Unpaired
from stillwatch.exchanges.apis import MODEL, SYSTEM, TOOL, USER, Voice
from stillwatch.exchanges.request_text import BESIDE, request_text
from stillwatch.gateway.path.reply import Ratios, Stream, facts_of_json
from stillwatch.gateway.record.reply_text import words_of


@dataclass(frozen=True)
class CoinedReply:
    """The upstream's reply to one of the two requests. `why`: the reason if it failed."""

    body: bytes
    status: int
    stream: bool
    why: str | None = None


@dataclass(frozen=True)
class Drawn:
    """One canary: the coin toss, the request and both replies."""

    ledger: str
    number: int
    at_us: int
    account: str
    campaign: str | None
    model: str
    operation: str
    request: bytes
    served: int
    replies: tuple[CoinedReply, CoinedReply]


NAMES = ("first", "second")
OFFERS = ("tools", "functions", "response_format", "text")  # not messages
ROLES: dict[Voice, str] = {SYSTEM: "system", USER: "user", MODEL: "assistant", TOOL: "tool"}


def record(drawn: Drawn) -> Pair | Unpaired:
    """Return the ledger's record of a canary."""
    answers = []
    for name, reply in zip(NAMES, drawn.replies, strict=True):
        why = reply.why or (f"status {reply.status}" if reply.status != 200 else None)
        if why is None:
            try:
                answers.append(_answer(drawn, reply))
                continue
            except ValueError as error:
                why = str(error)
        return Unpaired(drawn.ledger, drawn.number, drawn.at_us, f"{name} answer: {why}")
    try:
        messages = messages_of(drawn.request)
    except ValueError as error:
        return Unpaired(drawn.ledger, drawn.number, drawn.at_us, f"request: {error}")
    first, second = answers
    return Pair(
        drawn.ledger, drawn.number, drawn.at_us, drawn.account, drawn.model or None, messages,
        (first, second), drawn.served, drawn.campaign, drawn.operation,
    )  # fmt: skip


def tokens_of(drawn: Drawn) -> int:
    """Return the output tokens of both replies, as far as they report them."""
    return sum(_facts(drawn, reply)[0] or 0 for reply in drawn.replies if reply.body)


def _facts(drawn: Drawn, reply: CoinedReply) -> tuple[int | None, str | None]:
    if not reply.stream:
        facts = facts_of_json(reply.body)
    else:
        stream = Stream(drawn.operation)
        stream.feed(reply.body)
        facts = stream.facts(Ratios(), drawn.model, True)
    return facts.output_tokens, facts.finish_reason


def _answer(drawn: Drawn, reply: CoinedReply) -> Answer:
    """Raises: ValueError if the reply has no text."""
    text = words_of(reply.body, reply.stream)
    return Answer(text, *_facts(drawn, reply))


def messages_of(body: bytes) -> tuple[dict[str, str], ...]:
    """Return a request's messages as role and text. Raises: ValueError if there are none."""
    try:
        request = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as why:
        raise ValueError("its body cannot be read") from why
    groups: list[tuple[tuple[Voice, int], list[str]]] = []
    prompt_part = {key: value for key, value in request.items() if key not in OFFERS}
    for voice, text, turn in request_text(prompt_part).pieces:
        if text and turn != BESIDE:
            if not groups or groups[-1][0] != (voice, turn):
                groups.append(((voice, turn), []))
            groups[-1][1].append(text)
    if not groups:
        raise ValueError("has no text")
    groups.sort(key=lambda entry: entry[0] != (SYSTEM, -1))  # texts outside the messages come first
    return tuple(
        {"role": ROLES[voice], "content": "\n".join(texts).encode("utf-8", "replace").decode()}
        for (voice, _), texts in groups
    )
