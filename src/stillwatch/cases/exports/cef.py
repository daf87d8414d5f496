r"""CEF, the line that old SIEMs read: one record from header and fields.

Values come from whoever named an account. So each is first made visible (one line; control, format and
invisible characters escaped, the backslash doubled) and then written in CEF's own escapes: nothing in it can
end a field, a header or a record, and different values stay different.
Source: Micro Focus, ArcSight Common Event Format, version 26 of the specification (CEF:0), 2021.
"""

import re
from collections.abc import Mapping

from stillwatch.report.visible import visible

LONGEST = 1_000  # characters of one value; the specification's own fields hold 1,023 at most
_KEY = re.compile(r"[A-Za-z0-9]{1,63}")
_HEADER = str.maketrans({"\\": r"\\", "|": r"\|"})
_FIELD = str.maketrans({"\\": r"\\", "=": r"\="})


def record(
    vendor: str,
    product: str,
    version: str,
    event_class: str,
    name: str,
    severity: int,
    fields: Mapping[str, str | int | None],
) -> str:
    r"""Return one record; fields that are None or empty are left out.

    severity: 0 to 10. Raises: ValueError for a field's name that is not one, a bug of the caller.

    >>> record("a|b", "p", "1", "x", "two\nlines", 5, {"msg": "k=v \\ |", "cnt": 2})
    'CEF:0|a\\|b|p|1|x|two\\\\nlines|5|msg=k\\=v \\\\\\\\ | cnt=2'
    """
    if not 0 <= severity <= 10:
        raise ValueError(f"severity {severity}; CEF knows 0 to 10")
    head = (vendor, product, version, event_class, name)
    header = "|".join(["CEF:0", *(_visible(part).translate(_HEADER) for part in head), str(severity)])
    return f"{header}|" + " ".join(
        _format_field(key, value) for key, value in fields.items() if value not in (None, "")
    )


def _format_field(key: str, value: str | int | None) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no name of a CEF field")
    return f"{key}={_visible(str(value)).translate(_FIELD)}"


def _visible(text: str) -> str:
    return visible(text, LONGEST)
