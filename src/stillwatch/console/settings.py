"""The owner's settings of the console: `console.toml`. It opens nothing and decides nothing."""

from dataclasses import dataclass
from pathlib import Path

from stillwatch.console import ConsoleError, UserRole
from stillwatch.errors import InputError
from stillwatch.toml.declared import build
from stillwatch.toml.document import parse, read_text

FILE = "console.toml"  # in the folder of the cases
LARGEST = 1 << 18  # bytes


@dataclass(frozen=True)
class ConsoleSettings:
    """How this console behaves.

    Raises: ConsoleError for a value that cannot work.
    """

    big_accounts: int = 10  # a step on more accounts needs a second person
    second_factor: tuple[str, ...] = ()  # roles that need one; who logs in at a provider has the provider's

    def __post_init__(self) -> None:
        roles = [role.name.lower() for role in UserRole]
        for role in self.second_factor:
            if role not in roles:
                raise ConsoleError(f"second_factor names {role!a}; give some of {', '.join(roles)}")
        if self.big_accounts < 1:
            raise ConsoleError(f"big_accounts is {self.big_accounts}; give 1 or more")


def load_settings(folder: Path) -> ConsoleSettings:
    """Read `console.toml` of a folder; where there is none, what it would say by default.

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
