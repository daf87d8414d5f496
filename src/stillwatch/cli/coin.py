"""`stillwatch coin`: the coin's key of a gateway's folder, its ledger, and what is published of both."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from stillwatch.cases.audit.signing import is_signed, open_signer
from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, gateway_folder, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.coin import CoinError, Pair, Unpaired
from stillwatch.coin.chain import canonical
from stillwatch.coin.keys import EpochKey, current, new_key, read_keys, write_key
from stillwatch.coin.sealing import new_reading_key, public_of, read_reading_key
from stillwatch.coin.verify import Head, against, read, verify
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.path.coins import reader_file
from stillwatch.units import iso, utc_us

app = group("The coin that picks which of two answers is served.")

KIND = "stillwatch coin commitment 1"
ReadingKey = Annotated[Path | None, typer.Option(help="The key that opens sealed answers.")]
Ledger = Annotated[Path | None, typer.Argument(help="A ledger's folder or file; else the gateway's own.")]
CoinKey = Annotated[Path | None, typer.Option("--key", help="The coin's keys: a folder or a file.")]


@dataclass(frozen=True)
class LedgerOptions:
    """The options of a verb that reads a ledger: where it is, and the keys that open it."""

    ledger: Ledger = None
    key: CoinKey = None
    reading_key: ReadingKey = None
    folder: AtFolder = FOLDER

    def open(self) -> tuple[Path, dict[str, EpochKey]]:
        """Return the ledger's place, and the coin's keys by commitment. Raises: CoinError."""
        if self.ledger is not None and not self.ledger.exists():
            raise CoinError(f"{self.ledger}: there is no ledger")
        own_folder = Folder(self.folder.resolve()).coin
        return self.ledger or own_folder / "ledger", read_keys(self.key or own_folder / "keys")

    def reading(self) -> X25519PrivateKey | None:
        """Return the key that opens sealed answers, if one was named."""
        return read_reading_key(self.reading_key) if self.reading_key else None


OWN_LEDGER = LedgerOptions()


@verb(app, "new-key")
def new_key_command(
    epoch: Annotated[str | None, typer.Option(help="The epoch's name; else the day.")] = None,
    reading_key: Annotated[
        Path | None,
        typer.Option(help="Also create the key that opens sealed answers, in this file; keep it elsewhere."),
    ] = None,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Create the coin's key for an epoch. A gateway that serves canaries adopts it within a second.

    Publish the commitment before the key is used: `stillwatch coin commit`.

    $ stillwatch coin new-key --reading-key /media/safe/reading.key
    $ stillwatch coin new-key --epoch 2026-12
    """
    place = open_folder(folder)
    now = datetime.now(UTC)
    key = new_key(epoch or f"{now:%Y-%m-%d}", iso(utc_us(), "microseconds"))
    public = reader_file(place)
    if reading_key is not None and public.exists():
        raise InputError(
            f"{public}: there is a reading key already; what is sealed opens with that one alone"
        )
    path = write_key(place.coin / "keys", key)
    if reading_key is not None:
        public.write_text(new_reading_key(reading_key).hex() + "\n", "ascii")
    document = {
        "epoch": key.epoch, "commitment": key.commitment, "key": str(path),
        "reading_key": str(reading_key) if reading_key else None,
    }  # fmt: skip
    if as_json:
        print_json(document)
        return
    print(f"epoch {key.epoch}: key in {one_line(str(path))}; whoever has it can tell every coin")
    print(f"commitment {key.commitment}")
    if reading_key is not None:
        print(f"reading key in {one_line(str(reading_key))}: take it off this machine, nothing here needs it")
    elif public_of(public) is None:
        print('no reading key: the terms\' texts = "sealed" needs one; make it with --reading-key FILE')


@verb(app, "commit")
def commit_command(
    out: Annotated[Path | None, typer.Option(help="Write it there instead of to standard output.")] = None,
    signing_key: Annotated[
        Path | None, typer.Option(help="Sign it with this key (made at first use, public half beside).")
    ] = None,
    folder: AtFolder = FOLDER,
) -> None:
    """Print what to publish beforehand: the key's commitment, and the present length of each ledger.

    It reveals no coin and no answer. Give it to somebody who can confirm later when they received it.

    $ stillwatch coin commit > commitment.json      then publish it or have it time-stamped
    $ stillwatch coin commit --signing-key coin.key --out commitments/2026-11-26.json
    """
    place = gateway_folder(folder)
    keys = read_keys(place.coin / "keys")
    now = current(place.coin / "keys")
    ledger = place.coin / "ledger"
    heads = verify(ledger, keys).heads if ledger.is_dir() and any(ledger.iterdir()) else ()
    document: dict[str, Any] = {
        "kind": KIND,
        "at": iso(utc_us(), "microseconds"),
        "keys": [{"epoch": key.epoch, "commitment": key.commitment} for key in keys.values()],
        "current": now.epoch if now else None,
        "heads": [{"ledger": h.ledger, "records": h.records, "hash": h.hash, "root": h.root} for h in heads],
    }
    if signing_key is not None:
        signer = open_signer(signing_key)
        document |= {"signed_by": signer.key, "signature": signer.sign(canonical(document))}
    text = json.dumps(document, indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    with refuse_os_errors(InputError, f"{out}: cannot be written"):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    print(f"{one_line(str(out))}: {len(document['keys'])} keys, {len(heads)} ledgers; publish it")


@verb(app, "verify")
def verify_command(
    at: LedgerOptions = OWN_LEDGER,
    published: Annotated[
        list[Path] | None, typer.Option(help="What `coin commit` printed earlier; may be given again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a ledger: the chain, the numbers, every coin; with the reading key, the answers too.

    Exit codes: 0 it is valid; 2 it is not, and the first invalid record is named.

    $ stillwatch coin verify
    $ stillwatch coin verify ledger/ --key keys/ --reading-key reading.key --published commitment.json
    """
    place, keys = at.open()
    checked = verify(place, keys, at.reading())
    commitments = published_before(published or [])
    against(checked.heads, commitments.heads, place)
    heads = commitments.heads
    document = {
        "ledgers": [vars(head) for head in checked.heads], "commitments": list(checked.commitments),
        "pairs": checked.pairs, "ties": checked.ties, "unpaired": checked.unpaired, "lost": checked.lost,
        "torn": list(checked.torn), "first_served": checked.first_slot, "opened": at.reading_key is not None,
        "published_heads": len(heads),
    }  # fmt: skip
    if as_json:
        print_json(document)
        return
    print(f"in order: {checked.pairs:,} pairs ({checked.ties:,} ties) in {len(checked.heads)} files")
    print(f"  {checked.first_slot:,} of them served the first answer")
    print(f"  {checked.unpaired:,} coins without two answers, {checked.lost:,} lost with a process")
    for name in checked.torn:
        print(f"  {name}: its last line is torn, as a kill leaves it")
    if not at.reading_key:
        print("  answers were not opened: give --reading-key to check them too")
    print(f"  {len(heads)} published heads lie in it" if heads else "  no published heads were given")


@verb(app, "show")
def show_command(
    at: LedgerOptions = OWN_LEDGER,
    last: Annotated[int, typer.Option(min=1, help="How many records, from the end.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a ledger's records; with the reading key, also the accounts and answers.

    $ stillwatch coin show
    $ stillwatch coin show --reading-key /media/safe/reading.key --last 3 --json
    """
    (place, keys), reading = at.open(), at.reading()
    records: list[Pair | Unpaired] = []
    for draw in read(place, keys, reading, opened=reading is not None):
        if isinstance(draw, Pair | Unpaired):
            records.append(draw)
            del records[:-last]
    if as_json:
        print_json([_record_as_json(draw) for draw in records])
        return
    rows = [
        (f"{draw.ledger}/{draw.number}", iso(draw.at_us), *_record_cells(draw)) for draw in records
    ]  # fmt: skip
    table(("coin", "time", "served", "account", "answers"), rows, "the ledger holds no records")


@dataclass(frozen=True)
class Published:
    """What was published beforehand."""

    heads: tuple[Head, ...] = ()
    commitments: frozenset[str] = frozenset()  # of the coin's keys


def published_before(paths: list[Path]) -> Published:
    """Read earlier output of `coin commit`. Raises: InputError for any other file, or a changed one."""
    heads: list[Head] = []
    commitments: set[str] = set()
    for path in paths:
        try:
            document = json.loads(path.read_bytes())
            if document["kind"] != KIND:
                raise ValueError(f"its kind is {document['kind']!r:.60}")
            if "signature" in document:
                bare = {
                    name: value for name, value in document.items() if name not in ("signed_by", "signature")
                }
                if not is_signed(document["signed_by"], document["signature"], canonical(bare)):
                    raise InputError(f"{path}: is not signed by the key it names, or was changed since")
            commitments |= {str(key["commitment"]) for key in document["keys"]}
            heads += [Head(str(h["ledger"]), int(h["records"]), str(h["hash"])) for h in document["heads"]]
        except OSError as why:
            raise InputError(f"{path}: cannot be read: {why.strerror}") from why
        except (ValueError, KeyError, TypeError, RecursionError) as why:
            raise InputError(f"{path}: is not what `stillwatch coin commit` prints: {why}") from None
    return Published(tuple(heads), frozenset(commitments))


def _record_cells(record: Pair | Unpaired) -> tuple[str, str, str]:
    if isinstance(record, Unpaired):
        return "-", "", record.why
    first = record.answers[0].text[:60] + " | " + record.answers[1].text[:60] if record.account else "sealed"
    return ("first", "second")[record.served], record.account, first


def _record_as_json(record: Pair | Unpaired) -> dict[str, Any]:
    if isinstance(record, Unpaired):
        return {
            "coin": f"{record.ledger}/{record.number}",
            "at": iso(record.at_us, "microseconds"),
            "why": record.why,
        }
    row: dict[str, Any] = {
        "coin": record.id,
        "at": iso(record.at_us, "microseconds"),
        "served": record.served,
    }
    if record.account:
        row |= {
            "account": record.account, "campaign": record.campaign, "model": record.model,
            "messages": list(record.messages), "answers": [vars(answer) for answer in record.answers],
        }  # fmt: skip
    return row
