"""The owner's settings of the console: `console.toml`."""

from dataclasses import dataclass
from pathlib import Path

from stillwatch.console import ConsoleError, UserRole
from stillwatch.console.password_rules import LEAST_WORD
from stillwatch.errors import InputError
from stillwatch.toml.declared import build
from stillwatch.toml.document import parse, read_text

FILE = "console.toml"  # in the folder of the cases
LARGEST = 1 << 18  # bytes
MOST_HOURS = 24 * 365


@dataclass(frozen=True)
class EscalationStage:
    """The recipients once a case has been overdue for some time. Raises: ConsoleError."""

    after_hours: int
    people: tuple[str, ...] = ()  # users of the console; "owner" is the case's owner
    targets: tuple[str, ...] = ()  # names of receivers in alerts.toml that people read

    def __post_init__(self) -> None:
        if not 0 <= self.after_hours <= MOST_HOURS:
            raise ConsoleError(f"after_hours is {self.after_hours}; give 0 to {MOST_HOURS:,}")
        if not self.people and not self.targets:
            raise ConsoleError("names neither people nor targets: nobody would be told")


@dataclass(frozen=True)
class ConsoleSettings:
    """Settings of this console.

    Raises: ConsoleError for an invalid value.
    """

    big_accounts: int = 10  # an action on more accounts needs a second person
    second_factor: tuple[str, ...] = ()  # roles that need one; at an identity provider its own applies
    password_words: tuple[str, ...] = ()  # the organisation's: they add nothing to a password
    escalation: tuple[EscalationStage, ...] = ()  # each with its own `after_hours`

    def __post_init__(self) -> None:
        roles = [role.name.lower() for role in UserRole]
        for role in self.second_factor:
            if role not in roles:
                raise ConsoleError(f"second_factor names {role!a}; give some of {', '.join(roles)}")
        for word in self.password_words:
            if len(word.strip()) < LEAST_WORD:
                raise ConsoleError(
                    f"password_words: {word!a} is too short; give {LEAST_WORD} letters or more"
                )
        hours = [stage.after_hours for stage in self.escalation]
        if len(set(hours)) < len(hours):
            raise ConsoleError("escalation: two stages have the same after_hours; make them one")
        if self.big_accounts < 1:
            raise ConsoleError(f"big_accounts is {self.big_accounts}; give 1 or more")


def load_settings(folder: Path) -> ConsoleSettings:
    """Read `console.toml` of a folder; if there is none, return the defaults.

    Raises: InputError with the line of every mistake.
    """
    path = folder / FILE
    if not path.exists():
        return ConsoleSettings()
    table = parse(read_text(path, LARGEST, "the settings of a console are a few lines"), str(path))
    settings = build(ConsoleSettings, table)
    if settings is None:
        raise InputError("\n".join(table.notes.sentences()))
    return settings
