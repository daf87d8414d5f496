"""Saved filters of the queue, by person and name: a filter is query text, never a list of cases."""

from dataclasses import dataclass

from sqlalchemy import func, select

from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError
from stillwatch.console.migrations import views

LONGEST_NAME = 80  # characters
LONGEST_WORDS = 10_000  # characters of the address
MOST = 50  # views of one person


@dataclass(frozen=True)
class SavedView:
    """One filter and its name."""

    name: str
    words: str  # as in an address: "owner=me&state=new"


def views_of(store: Store, person: str) -> list[SavedView]:
    """Return a person's views by name."""
    query = select(views.c.name, views.c.words).where(views.c.person == person)
    with store.reading() as db:
        return sorted((SavedView(*row) for row in db.execute(query)), key=lambda view: view.name.lower())


def save(store: Store, person: str, name: str, words: str, now_us: int) -> None:
    """Save a filter, replacing a view of that name. Raises: ConsoleError."""
    if not name or len(name) > LONGEST_NAME:
        raise ConsoleError(f"the view's name has {len(name)} characters; give 1 to {LONGEST_NAME}")
    if not words:
        raise ConsoleError("nothing is filtered: this is the queue itself")
    if len(words) > LONGEST_WORDS:
        raise ConsoleError(f"the filter has {len(words):,} characters; a view holds {LONGEST_WORDS:,}")
    is_own = views.c.person == person
    with store.writing(now_us) as tx:
        tx.db.execute(views.delete().where(is_own, views.c.name == name))
        if tx.db.execute(select(func.count()).select_from(views).where(is_own)).scalar_one() >= MOST:
            raise ConsoleError(f"you keep {MOST} views already; delete one first")
        row = {"person": person, "name": name, "words": words, "saved_us": now_us}
        tx.db.execute(views.insert().values(**row))
        tx.audit(person, "view saved", person, {}, {person: {"view": name}})


def delete(store: Store, person: str, name: str, now_us: int) -> None:
    """Delete one of a person's views. Raises: ConsoleError if there is none of that name."""
    with store.writing(now_us) as tx:
        own_view = views.delete().where(views.c.person == person, views.c.name == name)
        if not tx.db.execute(own_view).rowcount:
            raise ConsoleError(f"you keep no view {name[:LONGEST_NAME]!a}")
        tx.audit(person, "view deleted", person, {}, {person: {"view": name}})
