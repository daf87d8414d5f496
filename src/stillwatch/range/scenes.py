"""Reads a scene file into a `Scene`: people, campaigns, defences, budget, seeds; every mistake with its line.

Names of defences and attackers are not checked here.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from stillwatch.errors import Faults, InputError
from stillwatch.range.campaigns import CampaignPlan
from stillwatch.range.campaigns.shapes import shape, shapes
from stillwatch.range.costs import AttackPrices
from stillwatch.range.people import KINDS
from stillwatch.range.people.selves import authors_file
from stillwatch.range.people.software import CROWD_KINDS, DEFAULTS, Software
from stillwatch.range.placing import PLACES
from stillwatch.range.wording import TEMPLATES
from stillwatch.toml import document
from stillwatch.toml.places import Path as Key
from stillwatch.toml.reading import Mistakes, TableReader, show_value

DATA = Path(__file__).with_name("data")
SHIPPED = Path(__file__).with_name("scenes")
LARGEST_BYTES = 1 << 18  # a scene file is small
BASE_DAYS = 14  # every scene whose people can be redrawn lasts a fortnight
MODELS = ("mira-mini", "mira-large", "mira-think", "mira-think-2")
LONGEST_PROMPT = 20_000  # characters
BANS = "give shares of the campaign in rising order, as in [0.3, 0.6]"
MOST_PROBLEMS = 20  # shown at once
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it becomes a folder


@dataclass(frozen=True)
class People:
    """The honest side. With a base its people are redrawn; otherwise `accounts` are made from scratch."""

    base: str | None = None
    keep_accounts: float | None = None  # share of the base's honest accounts in one seed (partition.py)
    accounts: int = 800
    exchanges: int | None = None  # in all; None: what the kinds of use usually send
    kinds: tuple[tuple[str, float], ...] = ()  # shares of accounts; empty: the usual mixture
    drop_kinds: tuple[str, ...] = ()
    new_model_day: float = 9.4  # only without a base


@dataclass(frozen=True)
class SceneCampaign:
    """One campaign: what is sent, and its attacker (`fixed`: none, it follows its plan)."""

    plan: CampaignPlan
    attacker: str = "fixed"


@dataclass(frozen=True)
class Scene:
    """One benchmark situation, as described in its file."""

    name: str
    seeds: tuple[int, ...] = (1,)
    days: int = BASE_DAYS
    clean_days: int = 7
    contaminated: bool = False  # campaigns may be in the clean days
    stock: str = "shipped"  # source of prompts: the package's, or a folder with corpora/
    people: People = People()
    crowds: tuple[Software, ...] = ()  # honest customers of programs with defaults
    campaigns: tuple[SceneCampaign, ...] = ()
    defences: tuple[str, ...] = ("all",)
    false_cases_per_10k_account_days: float = 1.0
    budget: AttackPrices = field(default_factory=AttackPrices)
    live: dict[str, Any] = field(default_factory=dict)  # [live], unparsed: for live play
    contest: dict[str, Any] = field(default_factory=dict)  # [contest], unparsed: for attackers that react
    path: Path | None = None
    digest: str = ""  # sha256 of the file's text and of the shape files it names
    lines: dict[Key, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def plans(self) -> tuple[CampaignPlan, ...]:
        """The plans of its campaigns."""
        return tuple(c.plan for c in self.campaigns)

    def table(self, key: Literal["live", "contest"]) -> TableReader:
        """Return a table that is kept unparsed, with its lines."""
        return TableReader(getattr(self, key), (key,), Mistakes(str(self.path or self.name), self.lines))

    def place(self, *key: str | int) -> str:
        """Return `file:line` of a key, or of its nearest existing parent, for later errors."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.path or self.name}:{self.lines.get(key, 1)}"


def shipped_scenes() -> dict[str, Path]:
    """Return the scenes of the package, by name."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.toml"))}


def find_scene(name: str) -> Path:
    """Return the file of a shipped scene's name, or else the path unchanged."""
    known = shipped_scenes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix != ".toml" and not path.exists():
        raise InputError(f"{name!r} is no scene that ships and no file; scenes that ship: {', '.join(known)}")
    return path


def read_scene(path: str | Path) -> Scene:
    """Read a scene file, or the shipped scene of that name.

    Raises: InputError: with every problem found, each with file and line.
    """
    file = find_scene(str(path))
    return parse_scene(document.read_text(file, LARGEST_BYTES, "a scene is a page"), str(file), file)


def parse_scene(text: str, name: str = "scene.toml", path: Path | None = None) -> Scene:
    """Read the text of a scene; `name` is used in messages, and `path` is where its own shapes are.

    Raises:
        InputError: with every problem found, each with file and line.
    """
    table = document.parse(text, name)
    scene = _scene(table, path, text.replace("\r\n", "\n"))
    if problems := table.notes.sentences():
        remainder = [f"… and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise Faults(problems[:MOST_PROBLEMS] + remainder)
    return scene


def _scene(table: TableReader, path: Path | None, text: str) -> Scene:
    title = "scene"
    if table.need("name", 'give the scene a name, as in name = "pool-of-60"'):
        title = table.name("name", "scene")
        if not NAME.fullmatch(title):
            table.wrong(
                "name",
                f"{show_value(title)} cannot be a folder; use at most 64 letters, digits, '-', '_' "
                "and '.', a letter or digit first",
            )
    days = table.whole("days", BASE_DAYS, 2, 120)
    clean = table.whole("clean_days", min(7, days - 1), 0, 119)
    contaminated = table.flag("contaminated", False)
    stock = table.name("stock", "shipped")
    seeds = _seeds(table)
    people = _people(table.table("population"), days)
    if people.base and days != BASE_DAYS:
        table.wrong(
            "days", f"a base is a fortnight; give {BASE_DAYS}, or people of its own ([population] accounts)"
        )
    if clean >= days:
        table.wrong("clean_days", f"{clean} clean days leave none of {days}; give fewer")
    crowds = [_crowd(t, n, days) for n, t in enumerate(table.tables("crowd"))]
    _apart(table, "crowd", [crowd.name for crowd in crowds])
    earliest = 0.0 if contaminated else float(clean)
    campaigns = [_campaign(t, n, days, earliest, path) for n, t in enumerate(table.tables("campaign"))]
    _apart(table, "campaign", [campaign.plan.name for campaign in campaigns])
    defence = table.table("defence")
    names = defence.names("names") or ("all",)
    rate = defence.number("false_cases_per_10k_account_days", 1.0, 0.0001, 10_000.0)
    defence.check_unknown_keys()
    budget = _budget(table.table("budget"))
    live, contest = table.table("live"), table.table("contest")
    table.check_unknown_keys()
    shape_files = b"".join(
        (path.parent / campaign.plan.style).read_bytes()
        for campaign in campaigns
        if path is not None
        and campaign.plan.style.endswith(".py")
        and (path.parent / campaign.plan.style).is_file()
    )
    digest = hashlib.sha256(text.encode() + shape_files).hexdigest()
    return Scene(
        title, seeds, days, clean, contaminated, stock, people, tuple(crowds), tuple(campaigns), names, rate,
        budget, live.content, contest.content, path, digest, table.notes.lines or {},
    )  # fmt: skip


def _seeds(table: TableReader) -> tuple[int, ...]:
    right = "give an array of whole numbers from 0, as in [1, 2, 3]"
    value = table._take("seeds", list, right)
    if value is None:
        return (1,)
    is_whole = value and all(type(x) is int and 0 <= x < 1 << 63 for x in value)
    if not is_whole or len(set(value)) != len(value) or len(value) > 100:
        table.wrong("seeds", f"{show_value(value)} will not do; {right}, none twice, at most 100")
        return (1,)
    return tuple(value)


def _people(table: TableReader, days: int) -> People:
    base = table.name("base")
    if base and (table.has("accounts") or table.has("exchanges") or table.has("kinds")):
        odd = next(key for key in ("accounts", "exchanges", "kinds") if table.has(key))
        table.wrong(odd, "goes with people made from scratch; leave it out, or leave `base` out")
    if not base and table.has("keep_accounts"):
        table.wrong("keep_accounts", "goes with a base; leave it out, or name a `base`")
    accounts = table.whole("accounts", 800, 10, 1_000_000)
    exchanges = table.whole("exchanges", None, 100, 100_000_000)
    mixture = table.table("kinds")
    shares = tuple((kind, mixture.number(kind, 0.0, 0.0, 1.0)) for kind in sorted(mixture.content))
    if shares and not 0.999 <= sum(share for _, share in shares) <= 1.001:
        table.wrong("kinds", f"the shares add up to {sum(s for _, s in shares):g}; make it 1")
    for kind in mixture.content:
        if kind not in KINDS:
            table.notes.wrong((*table.path, "kinds", kind), f"no such kind of use; known: {', '.join(KINDS)}")
    keep = table.share("keep_accounts", 0.0) if table.has("keep_accounts") else None
    drop = table.names("drop_kinds")
    kinds_left = {kind for kind, share in shares if share} if shares else set(KINDS)
    if not base and not kinds_left - set(drop):
        table.wrong("drop_kinds", "no kind of use is left; leave one in")
    day = table.number("new_model_day", min(9.4, days * 0.67), 0.0, float(days))
    table.check_unknown_keys()
    return People(base, keep, accounts, exchanges, shares, drop, day)


def _campaign(table: TableReader, n: int, days: int, earliest: float, path: Path | None) -> SceneCampaign:
    name = table.name("name", f"c{n + 1}")
    if not NAME.fullmatch(name):
        table.wrong("name", f"{show_value(name)} will not do; use letters, digits, '-', '_' and '.'")
    style, own_shape = "wrapped_pool", None
    if table.need(
        "shape", f"give one of {', '.join(sorted(shapes()))}, or a file of your own (./my_shape.py)"
    ):
        style = table.name("shape", style)
        try:
            own_shape = shape(style, path.parent if path else None)
        except InputError as error:
            table.wrong("shape", str(error))
    usual = dict(own_shape.defaults) if own_shape else {}
    accounts = table.whole("accounts", usual.get("accounts", 40), 1, 200_000)
    exchanges = table.whole("exchanges", max(1200, accounts), 1, 100_000_000)
    if exchanges < accounts:
        table.wrong(
            "exchanges", f"{exchanges} are too few for {accounts} accounts; every account sends one or more"
        )
    start = table.number("start", earliest + 0.5, 0.0, float(days))
    length = table.number("days", max(0.1, min(4.0, days - start)), 0.01, float(days))
    if start < earliest:
        table.wrong("start", f"day {start:g} is among the clean days; start at {earliest:g} or later, or say "
                    "`contaminated = true`")  # fmt: skip
    if start + length > days + 1e-9:
        table.wrong("days", f"{start:g} + {length:g} is past the scene's end at {days}; give fewer")
    pipelines = table.names("pipelines") or tuple(usual.get("pipelines", ("reasoning_sft_math",)))
    plan = CampaignPlan(
        name=name,
        style=style,
        accounts=accounts,
        exchanges=exchanges,
        start=start,
        days=length,
        pipelines=pipelines,
        tradecraft=table.whole("tradecraft", 2, 0, 2),
        model=table.choice("model", usual.get("model", "mira-think"), MODELS),
        language=table.choice("language", "en", TEMPLATES),
        wording=table.whole("wording", 0, 0, 1000),
        repeats=table.whole("repeats", usual.get("repeats", 8), 1, 1000),
        bans=table.rising("bans", tuple(usual.get("bans", ())), BANS, 0.001, 0.999),
        cover=table.number("cover", usual.get("cover", 0.0), 0.0, 0.95),
        visible_tokens=table.number("visible_tokens", usual.get("visible_tokens", 450.0), 1.0, 30_000.0),
        reasoning_tokens=table.number(
            "reasoning_tokens", usual.get("reasoning_tokens", 4000.0), 1.0, 30_000.0
        ),
        stolen=table.share("stolen", usual.get("stolen", 0.0)),
        sticky=table.share("sticky", usual.get("sticky", 0.0)),
        retries=table.share("retries", usual.get("retries", 0.0)),
        place=table.choice("place", usual.get("place", "message"), PLACES),
        cleaned=table.share("cleaned", usual.get("cleaned", 0.0)),
    )
    attacker = table.name("attacker", "fixed")
    table.check_unknown_keys()
    return SceneCampaign(plan, attacker)


def _apart(table: TableReader, kind: str, names: list[str]) -> None:
    """Report names that two entries share."""
    for n, name in enumerate(names):
        if name in names[:n]:
            table.notes.wrong((kind, n, "name"), f"{name!r} is taken; give each {kind} its own")


def _crowd(table: TableReader, n: int, days: int) -> Software:
    name = table.name("name", f"program-{n + 1}")
    if not NAME.fullmatch(name):
        table.wrong("name", f"{show_value(name)} will not do; use letters, digits, '-', '_' and '.'")
    table.need("kind", f"give one of {', '.join(CROWD_KINDS)}")
    kind = table.choice("kind", "plugin", CROWD_KINDS)
    usual = DEFAULTS[kind]
    limit = table.whole("max_tokens", usual.max_tokens, 0, 1_000_000)
    temperature = table.number("temperature", usual.temperature, -1.0, 2.0)
    if temperature is not None and -1.0 < temperature < 0.0:
        table.wrong("temperature", f"{temperature:g} is no temperature; give 0 to 2, or -1 for none")
    wording = table.text("wording", "", LONGEST_PROMPT)
    if wording and wording.count("{q}") != 1:
        table.wrong("wording", "has no place for the customer's text; write {q} once")
    updates = tuple(x for x in usual.updates if x < days)
    if table.has("updates"):
        right = f"give days from 0 to {days} in rising order, as in [5.3, 10.6]"
        updates = table.rising("updates", (), right, 0, days)
    crowd = Software(
        name,
        kind,
        accounts=table.whole("accounts", usual.accounts, 1, 20_000),
        exchanges=table.number("exchanges", usual.exchanges, 1.0, 100_000.0),
        spread=table.number("spread", usual.spread, 0.0, 3.0),
        released=table.number("released", min(usual.released, days - 0.5), -3650.0, float(days)),
        adoption_days=table.number("adoption_days", usual.adoption_days, 0.01, 365.0),
        growth=table.share("growth", usual.growth),
        updates=updates,
        update_days=table.number("update_days", usual.update_days, 0.0, 365.0),
        model=table.choice("model", usual.model, MODELS),
        keep_model=table.share("keep_model", usual.keep_model),
        max_tokens=limit or None,
        keep_max_tokens=table.share("keep_max_tokens", usual.keep_max_tokens),
        temperature=None if temperature is None or temperature < 0 else temperature,
        keep_temperature=table.share("keep_temperature", usual.keep_temperature),
        new_model=table.share("new_model", usual.new_model),
        wording=wording,
        system=table.text("system", "", LONGEST_PROMPT),
        texts=table.choice("texts", usual.texts, ("made", "authors")),
    )
    table.check_unknown_keys()
    return crowd


def _budget(table: TableReader) -> AttackPrices:
    read = {f.name: table.number(f.name, f.default, 0.0, 1e9) for f in fields(AttackPrices)}
    table.check_unknown_keys()
    return AttackPrices(**read)


def stock_digest(scene: Scene) -> str:
    """Hash the inputs of a scene besides its own file: prompts, arrivals, a base's people."""
    files = sorted(DATA.glob("*.parquet"))
    if scene.stock != "shipped":
        files += sorted(stock_folder(scene).rglob("*.parquet"))
    if any(crowd.texts == "authors" for crowd in scene.crowds):
        files.append(authors_file())
    if scene.people.base:
        files += sorted(find_base(scene).glob("*.parquet"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def stock_folder(scene: Scene) -> Path:
    """The folder with the corpora that a scene names, beside its file unless absolute.

    Raises:
        InputError: it holds no corpora.
    """
    folder = Path(scene.stock)
    if scene.path and not folder.is_absolute():
        folder = scene.path.parent / folder
    for place in (folder / "corpora", folder):
        if (place / "distill.parquet").is_file() and (place / "benign.parquet").is_file():
            return place
    raise InputError(f"{scene.place('stock')}: {folder} holds no benign.parquet and distill.parquet")


def find_base(scene: Scene) -> Path:
    """Find the folder of the scene whose people are redrawn:

    beside the scene, in $STILLWATCH_RANGE, or the sample.

    Raises: InputError if it is missing.
    """
    name = scene.people.base or ""
    tried = [scene.path.parent / name] if scene.path else []
    tried += [Path(name)] if Path(name).is_absolute() else []
    if os.environ.get("STILLWATCH_RANGE"):
        tried.append(Path(os.environ["STILLWATCH_RANGE"]) / name)
    if name == "sample":  # the repository's, or one installed with the package
        tried += [Path(__file__).parents[3] / "sample", Path(__file__).with_name("data") / "sample"]
    for folder in tried:
        if (folder / "scene.toml").is_file() and (folder / "truth.parquet").is_file():
            return folder
    where = ", ".join(str(folder) for folder in tried) or "nowhere"
    raise InputError(
        f"{scene.place('population', 'base')}: base {name!r} is not at hand (looked in {where}); give the "
        "folder of a scene, or set STILLWATCH_RANGE to a folder that holds it"
    )
