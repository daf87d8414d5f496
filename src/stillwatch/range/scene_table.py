"""Typed reading of a scene's tables, beyond what terms need: numbers, tables in tables, shares in order.

It knows no key of a scene.
"""

from typing import Any

from stillwatch.terms.places import Path as Key
from stillwatch.terms.reading import Notes, Table, shown


class SceneTable(Table):
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
            self.wrong(name, f"{shown(value)} is out of range; {right}")
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
                    (*self.path, name, n), f"{shown(item)} is no table; begin each with [[{name}]]"
                )
            else:
                found.append(SceneTable(item, (*self.path, name, n), self.notes))
        return found

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """An array of numbers between 0 and 1, each greater than the one before."""
        right = "give shares of the campaign in rising order, as in [0.3, 0.6]"
        value = self._take(name, list, right)
        if value is None:
            return default
        good = all(type(x) in (int, float) for x in value) and all(0 < x < 1 for x in value)
        if not good or list(value) != sorted(set(value)) or len(value) > 20:
            self.wrong(name, f"{shown(value)} will not do; {right}")
            return default
        return tuple(float(x) for x in value)


class SceneNotes(Notes):
    """Problems of a scene, whose top level has no name."""

    def _sentence(self, path: Key, what: str) -> tuple[int, str]:
        line, said = super()._sentence(path, what)
        return line, said.replace(f":{line}: terms: ", f":{line}: ", 1)
