"""Client programs of an honest log: settings that many accounts share, as an imitator sees them.

Libraries count as programs, since a log does not distinguish them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.range.identity import AccountIdentity

LEAST_USERS = 20  # honest accounts with the same settings; fewer are no widely used product
SETTINGS = ("model", "max_tokens", "temperature")
CALLS = ("user_agent", "top_p", "stream", "response_format", "conversations")  # of a `Donor`


@dataclass(frozen=True, slots=True)
class ClientProgram:
    """A program with one set of settings, and how each of its users calls."""

    name: str  # the user agent up to its version
    system: str | None
    tools: int
    settings: dict[str, Any]  # values of `SETTINGS`
    users: tuple[dict[str, Any], ...]  # values of `CALLS` in one request of each honest account

    def copied_by(self, who: AccountIdentity, voice: int) -> AccountIdentity:
        """Return the same account, calling as one of the program's users does."""
        user = self.users[voice % len(self.users)]
        return replace(who, donor=replace(who.donor, **self.settings, **user))


def client_programs(exchanges: pa.Table) -> Iterator[ClientProgram]:
    """Yield settings shared by at least `LEAST_USERS` accounts of a log, the most used first.

    exchanges: in the exchange record.
    """
    program = pc.list_element(pc.split_pattern(pc.fill_null(exchanges["user_agent"], ""), "/"), 0)
    table = exchanges.append_column("program", program)
    table = table.append_column("conversations", exchanges["conversation"].is_valid())
    alike = ("program", "system", "tools", *SETTINGS)
    first = [(column, "first") for column in CALLS]
    each = table.group_by([*alike, "account"], use_threads=False).aggregate(first)
    users: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in each.sort_by("account").to_pylist():
        users[tuple(row[key] for key in alike)].append({name: row[f"{name}_first"] for name in CALLS})
    for key in sorted(users, key=lambda key: (-len(users[key]), str(key))):
        name, system, tools, *settings = key
        if len(users[key]) >= LEAST_USERS and name:
            values = dict(zip(SETTINGS, settings, strict=True))
            yield ClientProgram(name, system, tools or 0, values, tuple(users[key]))
