"""Maps a model's name to its line and maker, by the table beside this file. The name is trusted."""

import re
import tomllib
from functools import cache
from importlib.resources import files

from stillwatch.lineage.resolve import resolve


@cache
def _lines() -> tuple[tuple[str, str, re.Pattern[str], bool], ...]:
    table = tomllib.loads(files(__package__).joinpath("lines.toml").read_text(encoding="utf-8"))
    return tuple(
        (line["family"], line["maker"], re.compile(line["pattern"]), line.get("open", False))
        for line in table["line"]
    )


def line_of(name: str) -> tuple[str, str]:
    """Return the line and its maker; two empty texts if no line fits.

    >>> line_of("gpt-3.5-turbo-0301"), line_of("gpt4_0613"), line_of("acme-9b")
    (('gpt35', 'openai'), ('gpt4', 'openai'), ('', ''))
    """
    flat = _flat(name)
    return next(((family, maker) for family, maker, pattern, _ in _lines() if pattern.search(flat)), ("", ""))


def base_in(name: str) -> str:
    """Return the line whose weights a student's own name mentions; lines with closed weights are no base.

    >>> base_in("OpenHermes-2.5-Mistral-7B"), base_in("claude2-alpaca-13b")
    ('mistral', '')
    """
    flat = _flat(name)
    return next((family for family, _, pattern, open_ in _lines() if open_ and pattern.search(flat)), "")


def _flat(name: str) -> str:
    return re.sub(r"[_/ ]", "-", name.lower())


def family_of(name: str) -> tuple[str, str]:
    """Return a candidate's family and maker: by line, else by the lineage table, else by the name itself.

    >>> family_of("kimi-k2"), family_of("acme-9b")
    (('kimi', 'kimi'), ('acme-9b', 'acme'))
    """
    family, maker = line_of(name)
    if family:
        return family, maker
    known = resolve(name).family
    return (known, known) if known else (name, stem(name))


def stem(name: str) -> str:
    """Return the first word of a name: models that share it count as kin unless something better is known.

    >>> stem("recycled-wizardlm-7b-v1.0"), stem("Vicuna_13b"), stem("42")
    ('recycled', 'vicuna', '42')
    """
    found = re.match(r"[a-z]+", name.lower())
    return found.group() if found else name.lower()
