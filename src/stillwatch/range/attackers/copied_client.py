"""A pool that passes for users of an honest program: its user agent, system text, tools, model and settings.

Knows: that many honest accounts send one program's defaults, and that nobody may be accused of those. Does:
what a published pool does in a day's sixteen waking hours, with bare questions behind whatever the program
sends. `client` names the program; else the one whose settings most accounts have for the wanted model, with
room for an answer. An empty `client` copies none: the same pool undisguised. Cannot: bring the program's own
files and tool results, its sessions of many turns, its users' ages, or updates that come out after its
accounts were bought.
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
    """Whose program is copied, by how many accounts, with which words."""

    client: str = COMMONEST
    accounts: int = MEANS.accounts
    words: str = MEANS.words

    def __post_init__(self) -> None:
        self.means()

    def means(self) -> Evasion:
        """What the accounts do."""
        return replace(MEANS, client=self.client, accounts=self.accounts, words=self.words)


Settings = ClientSettings


def begin(crews: Crews, settings: ClientSettings) -> RepeatingAttacker:
    """Begin a campaign. Raises: InputError if the log has no such program."""
    return RepeatingAttacker(crews, settings.means())
