"""`--map` and `--map-file`: the owner's names for a log's columns. It does not know what reads the log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.exchanges import mapping

Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="What the log calls a field: account=tenant_name. A dotted path looks inside. May be repeated.",
    ),
]
MapFile = Annotated[
    Path | None,
    typer.Option(help="The same from a TOML file, in a table named columns; stillwatch inspect writes one."),
]


@dataclass(frozen=True)
class NameOptions:
    """The owner's names, as options of a verb."""

    names: Map = None
    map_file: MapFile = None

    @property
    def columns(self) -> dict[str, str]:
        """Field -> column. Raises: InputError."""
        return columns_of(self.names, self.map_file)


AS_CALLED = NameOptions()


def columns_of(pairs: list[str] | None, file: Path | None) -> dict[str, str]:
    """Field -> column, the command line over the file. Raises: InputError."""
    return (mapping.from_file(file) if file is not None else {}) | mapping.from_pairs(pairs or ())
