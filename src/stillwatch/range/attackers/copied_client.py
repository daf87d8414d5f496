"""A pool that imitates users of an honest program: its user agent, system text, tools, model and settings.

Knows: that many honest accounts send one program's defaults, and that these incriminate nobody. Does: the
same as a published pool in a day's sixteen waking hours, with bare questions after everything that the
program sends. `client` names the program; by default the one whose settings are the most common for the
wanted model, with room for an answer. An empty `client` copies none: the same pool undisguised. Cannot:
supply the program's own files and tool results, its sessions of many turns, its users' ages, or updates
released after its accounts were bought.
Source: pools that copied client strings and defaults, in worlds by other authors, 2026 (docs/benchmarks.md).
"""

from dataclasses import dataclass, replace

from stillwatch.range.attackers import COMMONEST, Evasion
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import RepeatingAttacker

NAME = "copied_client"
MEANS = Evasion(accounts=60, per_account_day=25.6, hours="human", words="bare", client=COMMONEST)


@dataclass(frozen=True)
class ClientSettings:
    """The copied program, the number of accounts, and their wording."""

    client: str = COMMONEST
    accounts: int = MEANS.accounts
    words: str = MEANS.words

    def __post_init__(self) -> None:
        self.means()

    def means(self) -> Evasion:
        """The accounts' means."""
        return replace(MEANS, client=self.client, accounts=self.accounts, words=self.words)


Settings = ClientSettings


def begin(crews: Crews, settings: ClientSettings) -> RepeatingAttacker:
    """Begin a campaign. Raises: InputError if the log has no such program."""
    return RepeatingAttacker(crews, settings.means())
