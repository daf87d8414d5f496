"""Typed reading of a scene's tables, beyond what terms need: numbers, tables in tables, shares in order.

It knows no key of a scene.
"""

from typing import Any

from stillwatch.toml.places import Path as Key
from stillwatch.toml.reading import Mistakes, TableReader, show_value


class SceneTable(TableReader):
    """One table of a scene being read."""

    def number(self, name: str, default: Any, low: float, high: float) -> Any:
        """A number in [low, high], whole or not."""
        right = f"give a number from {low:g} to {high:g}"
        if type(self.content.get(name)) is int:
            self.asked.append(name)
            value: Any = self.content[name]
        else:
            value = self._take(name, float, right)
        if value is None:
            return default
        if not low <= value <= high:  # nan is in no range
            self.wrong(name, f"{show_value(value)} is out of range; {right}")
            return default
        return float(value)

    def part(self, name: str) -> "SceneTable":
        """A table inside this one; empty where it is missing."""
        value = self._take(name, dict, f"begin it with [{name}]")
        return SceneTable(value or {}, (*self.path, name), self.notes)

    def parts(self, name: str) -> list["SceneTable"]:
        """An array of tables inside this one."""
        value = self._take(name, list, f"begin each with [[{name}]]") or []
        found = []
        for n, item in enumerate(value):
            if type(item) is not dict:
                self.notes.wrong(
                    (*self.path, name, n), f"{show_value(item)} is no table; begin each with [[{name}]]"
                )
            else:
                found.append(SceneTable(item, (*self.path, name, n), self.notes))
        return found

    def prose(self, name: str, longest: int = 20_000) -> str:
        """A text of several lines; empty where it is missing."""
        right = f"give a text of at most {longest:,} characters that can be seen, line breaks aside"
        value = self._take(name, str, right)
        if value is None:
            return ""
        if not value or len(value) > longest or not all(c.isprintable() or c in "\n\t" for c in value):
            self.wrong(name, f"{show_value(value)} will not do; {right}")
            return ""
        return str(value)

    def days(self, name: str, end: float) -> tuple[float, ...]:
        """An array of days in rising order, from 0 to the scene's end."""
        right = f"give days from 0 to {end:g} in rising order, as in [5.3, 10.6]"
        value = self._take(name, list, right)
        good = value is not None and all(type(x) in (int, float) and 0 <= x <= end for x in value)
        if value is None or not good or list(value) != sorted(set(value)) or len(value) > 20:
            if value is not None:
                self.wrong(name, f"{show_value(value)} will not do; {right}")
            return ()
        return tuple(float(x) for x in value)

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """An array of numbers between 0 and 1, each greater than the one before."""
        right = "give shares of the campaign in rising order, as in [0.3, 0.6]"
        value = self._take(name, list, right)
        if value is None:
            return default
        good = all(type(x) in (int, float) for x in value) and all(0 < x < 1 for x in value)
        if not good or list(value) != sorted(set(value)) or len(value) > 20:
            self.wrong(name, f"{show_value(value)} will not do; {right}")
            return default
        return tuple(float(x) for x in value)


class SceneNotes(Mistakes):
    """Problems of a scene, whose top level has no name."""

    def _sentence(self, path: Key, what: str) -> tuple[int, str]:
        line, said = super()._sentence(path, what)
        return line, said.replace(f":{line}: terms: ", f":{line}: ", 1)
