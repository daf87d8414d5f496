"""What the verbs on cases share: where the cases are, and the trail that goes with them. It is no verb."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
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
        help="The key that signs the audit trail; else audit.key in the folder.",
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


@contextmanager
def seen_cases(folder: Path, url: str | None) -> Iterator[Store]:
    """Lend the cases to who only reads. Raises: InputError where there are none; CaseError."""
    path = folder / CASES
    if url is None and not path.exists():
        raise InputError(
            f"{path}: there are no cases here; `stillwatch scan LOG... --cases sqlite:///{path}` makes some, "
            "--folder and --cases name another place"
        )
    with Store(url or f"sqlite:///{path}") as store:
        yield store


@contextmanager
def opened_cases(
    folder: Path, url: str | None, key: Path | None = None, witness: Path | None = None
) -> Iterator[Store]:
    """Lend the cases with their trail, to who changes or looks. Raises: InputError, CaseError, AuditError."""
    with seen_cases(folder, url) as store:
        attach(store, key or folder / KEY, witness)
        yield store


@contextmanager
def new_cases(url: str, key: Path | None = None, witness: Path | None = None) -> Iterator[Store]:
    """Lend the cases to who brings findings; they are made where there are none.

    Without a key's file it lies beside the SQLite database. Raises: InputError, CaseError, AuditError.
    """
    with Store(url) as store:
        path = store.url.database if store.url.get_backend_name() == "sqlite" else None
        if key is None and path is None:
            raise InputError(
                f"{store.name}: the audit trail needs a key; --audit-key FILE names it, or makes it"
            )
        attach(store, key or Path(str(path)).with_name(KEY), witness)
        yield store
