"""Options that verbs on cases share: where the cases and their audit trail are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store, check_url
from stillwatch.cli.folder import FOLDER, AtFolder
from stillwatch.errors import InputError

CASES, KEY = "cases.db", "audit.key"

CasesUrl = Annotated[
    str | None,
    typer.Option(
        "--cases",
        help="Where the cases are, as a URL: sqlite:///PATH or postgresql://…; else cases.db in the folder.",
        envvar="STILLWATCH_CASES",
    ),
]
AuditKey = Annotated[
    Path | None,
    typer.Option(
        "--audit-key",
        help="The key that signs the audit trail; else audit.key in the folder, or beside the SQLite file.",
        envvar="STILLWATCH_AUDIT_KEY",
    ),
]
WitnessFile = Annotated[
    Path | None,
    typer.Option(
        "--audit-witness",
        help="File that gets every checkpoint of the audit trail; best on another machine.",
        envvar="STILLWATCH_AUDIT_WITNESS",
    ),
]


@dataclass(frozen=True)
class CasesAt:
    """The option of a verb that reads cases: where they are."""

    folder: AtFolder = FOLDER
    cases: CasesUrl = None

    def reading(self) -> AbstractContextManager[Store]:
        """Open the cases for reading. Raises: InputError, CaseError."""
        return seen_cases(self.folder, self.cases)


@dataclass(frozen=True)
class CasePlace(CasesAt):
    """The options of a verb that changes cases: where they are, and their audit trail."""

    audit_key: AuditKey = None
    audit_witness: WitnessFile = None

    def open(self) -> AbstractContextManager[Store]:
        """Open the cases with their trail. Raises: InputError, CaseError, AuditError."""
        return opened_cases(self.folder, self.cases, self.audit_key, self.audit_witness)


CASES_HERE, HERE = CasesAt(), CasePlace()


@contextmanager
def seen_cases(folder: Path, url: str | None) -> Iterator[Store]:
    """Open the cases for reading. Raises: InputError if there are none; CaseError."""
    place = check_url(url or f"sqlite:///{folder / CASES}")
    if place.get_backend_name() == "sqlite" and not Path(str(place.database)).exists():
        path = place.database
        raise InputError(
            f"{path}: there are no cases here; `stillwatch scan LOG... --cases sqlite:///{path}` makes some, "
            "--folder and --cases name another place"
        )
    with Store(url or f"sqlite:///{folder / CASES}") as store:
        yield store


@contextmanager
def opened_cases(
    folder: Path, url: str | None, key: Path | None = None, witness: Path | None = None
) -> Iterator[Store]:
    """Open the cases with their trail, to change or view. Raises: InputError, CaseError, AuditError."""
    with seen_cases(folder, url) as store:
        attach(store, key or key_of(store, folder), witness)
        yield store


def key_of(store: Store, folder: Path) -> Path:
    """Return the key of a store's audit trail: in the folder, else where `scan --cases` creates it."""
    in_folder = folder / KEY
    return in_folder if in_folder.exists() else key_beside(store) or in_folder


@contextmanager
def new_cases(url: str, key: Path | None = None, witness: Path | None = None) -> Iterator[Store]:
    """Open the cases for new findings; they are created if there are none.

    By default the key's file is beside the SQLite database. Raises: InputError, CaseError, AuditError.
    """
    with Store(url) as store:
        key = key or key_beside(store)
        if key is None:
            raise InputError(
                f"{store.name}: the audit trail needs a key; --audit-key FILE names it, or makes it"
            )
        attach(store, key, witness)
        yield store


def key_beside(store: Store) -> Path | None:
    """Return the path of the audit key beside a SQLite file, created by `scan --cases`; else None."""
    if store.url.get_backend_name() != "sqlite":
        return None
    return Path(str(store.url.database)).with_name(KEY)
