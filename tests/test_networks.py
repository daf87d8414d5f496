"""A table of networks: common formats are read, errors are reported, and an unknown network is never 0."""

import gzip
import ipaddress
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import stillwatch
from scan_world import Crowd
from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.exchanges import networks
from stillwatch.exchanges.lines import Line, LongLine, split
from stillwatch.exchanges.networks import WatchedNetworks, read_networks, unusable_lines
from stillwatch.scan.inspect import inspect

IPTOASN = """\
1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET
1.0.1.0\t1.0.3.255\t0\tNone\tNot routed
80.0.0.0\t80.255.255.255\t3320\tDE\tDTAG Internet service provider operations
2a00:1450::\t2a00:1450:ffff:ffff:ffff:ffff:ffff:ffff\t15169\tUS\tGOOGLE
"""
GEOLITE = """\
network,autonomous_system_number,autonomous_system_organization
1.0.0.0/24,13335,CLOUDFLARENET
80.0.0.0/8,3320,"Deutsche Telekom AG, Internet"
2a00:1450::/32,15169,GOOGLE
"""
CAIDA = "1.0.0.0\t24\t13335\n1.0.1.0\t24\t4847_4848\n80.0.0.0\t8\t3320\n2a00:1450::\t32\t15169\n"
RIPE = """\
% This is RIPE NCC's Routing Information Service
13335\t1.0.0.0/24\t345
{4847,4848}\t1.0.1.0/24\t12
3320\t80.0.0.0/8\t345
1\t0.0.0.0/0\t9
15169\t2a00:1450::/32\t345
"""
ADDRESSES = ["1.0.0.0", "1.0.0.255", "1.0.1.7", "1.1.1.1", "80.128.3.4", "2a00:1450::1", "::ffff:80.1.1.1"]
SYSTEMS = [13335, 13335, -1, -1, 3320, 15169, 3320]


def file_of(folder: Path, text: str, name: str = "table.tsv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text", [IPTOASN, GEOLITE, CAIDA, RIPE], ids=["iptoasn", "GeoLite2", "CAIDA", "RIPE"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_tables_that_people_have_are_read(text: str, packed: bool, tmp_path: Path) -> None:
    path = file_of(tmp_path, text)
    if packed:
        path = tmp_path / "table.tsv.gz"
        path.write_bytes(gzip.compress(text.encode()))
    assert read_networks([path]).systems(ADDRESSES).tolist() == SYSTEMS


def test_two_files_are_one_table(tmp_path: Path) -> None:
    lines = GEOLITE.splitlines(keepends=True)
    ipv4 = file_of(tmp_path, "".join(lines[:3]), "ipv4.csv")
    ipv6 = file_of(tmp_path, "".join([lines[0], *lines[3:]]), "ipv6.csv")
    assert read_networks([ipv6, ipv4]).systems(ADDRESSES).tolist() == SYSTEMS


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "127.0.0.1", "192.168.1.1", "100.64.0.9", "169.254.1.1", "198.51.100.7", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00::1", "2001:db8::7", "ff02::1"),
        *("", "unknown", "1.2.3", "1.2.3.4:80", "203.0.113.x", "\0", "\u0669.1.1.1", None),
    ],
)
def test_what_no_system_announces_is_unknown_whatever_the_table_says(
    address: str | None, tmp_path: Path
) -> None:
    """A table with 10.0.0.0/8 must not make an office of all accounts behind one proxy."""
    everything = [f"{k << 4}.0.0.0/4\t{k + 1}" for k in range(16)]
    everything += [f"{k << 12:x}::/4\t{k + 1}" for k in range(16)]
    everything += ["10.0.0.0/8\t7", "192.168.0.0/16\t7", "127.0.0.0/8\t7", "fd00::/8\t7", "2001:db8::/32\t7"]
    table = read_networks([file_of(tmp_path, "\n".join(everything))])
    assert table.systems(["9.9.9.9", "2a00::1"]).tolist() == [1, 3]
    assert table.systems([address]).tolist() == [-1]


def test_of_ranges_that_overlap_the_narrower_counts(tmp_path: Path) -> None:
    """Compared with a search of all prefixes, in any order, nested, repeated and contradictory."""
    rng = random.Random(4)
    ranges: dict[tuple[int, int], set[int]] = {}
    lines = []
    for _ in range(600):
        length = rng.randrange(9, 25)
        base = (rng.randrange(32, 36) << 24 | rng.randrange(1 << 24)) >> (32 - length) << (32 - length)
        system = rng.choice((1, 2, 3, 4, 5, 6, 7))
        lines.append(f"{ipaddress.IPv4Address(base)}\t{length}\t{system}")
        ranges.setdefault((base, base + (1 << (32 - length)) - 1), set()).add(system)
    table = read_networks([file_of(tmp_path, "\n".join(lines))])
    asked = [rng.randrange(31 << 24, 37 << 24) for _ in range(4000)]
    asked += [edge for span in ranges for edge in span]

    def oracle(address: int) -> int:
        around = [span for span in ranges if span[0] <= address <= span[1]]
        found = ranges[min(around, key=lambda span: span[1] - span[0])] if around else set()
        return next(iter(found)) if len(found) == 1 else -1

    answers = table.systems([str(ipaddress.IPv4Address(address)) for address in asked])
    assert answers.tolist() == [oracle(address) for address in asked]
    assert len(set(answers.tolist())) == 8


def test_ranges_that_overlap_in_part_are_cut(tmp_path: Path) -> None:
    text = (
        "20.0.0.0\t20.0.0.20\t1\n20.0.0.5\t20.0.0.15\t2\n20.0.0.10\t20.0.0.18\t3\n20.0.0.30\t20.0.0.30\t4\n"
    )
    table = read_networks([file_of(tmp_path, text)])
    found = table.systems([f"20.0.0.{k}" for k in range(32)]).tolist()
    assert found == [1] * 5 + [2] * 5 + [3] * 9 + [1] * 2 + [-1] * 9 + [4, -1]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "has no columns"),
        ("1.0.0.0\t1.0.0.255", "has too few columns"),
        ("1.0.0.9\t1.0.0.1\t5\tXX", "names no range"),
        ("1.0.0.0\t2a00::\t5\tXX", "names no range"),
        ("1.0.0.0/33\t5", "names no range"),
        ("1.0.0.0\t-1\t5", "names no range"),
        ("1.0.0.0/24\tfive", "names no number"),
        ("1.0.0.0/24\t", "has no columns"),
        ("1.0.0.0/24\t\tXX", "names no number"),
        ("1.0.0.0/24\t4294967296", "beyond 4294967295"),
        ("0.0.0.0/0\t5", "more addresses than any system has"),
        ("2000::/3\t5", "more addresses than any system has"),
        ("::/8\t5", "more addresses than any system has"),  # it contains all of IPv4
        ("::fffe:0:0/95\t5", "more addresses than any system has"),
        ("::\t::1:0:0:0\t5", "more addresses than any system has"),
        ("1.0.0.0/24\t" + "9" * 5000, ""),
        ("1.0.0.0/24\t\x00\x00", "names no number"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_used(line: str, why: str, tmp_path: Path) -> None:
    table = read_networks([file_of(tmp_path, f"{IPTOASN}\n# a remark\n{line}\n", "mine.tsv")])
    assert table.systems(ADDRESSES).tolist() == SYSTEMS
    (told,) = unusable_lines(table)
    assert told.startswith("1 of 5 lines of the table of networks mine.tsv could not be used: mine.tsv:7 ")
    assert why in told


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"time,account,prompt\n1,2,3\n", b"\x1f\x8b\x08 no gzip"]
)
def test_a_file_without_a_line_that_can_be_used_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table: (holds no|no line|damaged|gzip data).*"):
        read_networks([path])
    if not content.startswith(b"\x1f"):
        with pytest.raises(InputError, match=r"ip2asn-\*.tsv.*GeoLite2.*pfx2as.*riswhoisdump"):
            read_networks([path])
    with pytest.raises(InputError, match="absent: cannot be read: No such file"):
        read_networks([tmp_path / "absent"])
    with pytest.raises(InputError, match="is no file; give a table of networks"):
        read_networks([tmp_path])


def test_a_file_that_no_system_could_name_is_a_sentence(tmp_path: Path) -> None:
    for named in (tmp_path / ("x" * 300), Path("a\0b")):
        with pytest.raises(InputError, match=r"cannot be (read|used)"):
            read_networks([named])
        assert "no such file" in str(WatchedNetworks([named]).error)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be read: Too many levels"):
        read_networks([loop])


def test_a_mark_of_the_byte_order_costs_no_line(tmp_path: Path) -> None:
    table = read_networks([file_of(tmp_path, "\ufeff" + IPTOASN.replace("\n", "\r\n"))])
    assert (table.systems(ADDRESSES).tolist(), table.files[0].unusable) == (SYSTEMS, 0)


def test_a_file_that_changes_while_it_is_read_is_not_named_by_what_it_became(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, IPTOASN)

    def put_another(chunks: Iterable[bytes], limit: int) -> Iterator[Line | LongLine]:
        yield from split(chunks, limit)
        os.replace(file_of(tmp_path, GEOLITE, "new"), path)

    monkeypatch.setattr(networks, "split", put_another)
    with pytest.raises(InputError, match="was changed while it was read"):
        read_networks([path])


def test_no_table_takes_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MOST_RANGES", 5)
    few, many = file_of(tmp_path, IPTOASN), file_of(tmp_path, GEOLITE, "more")
    assert len(read_networks([few])) == 4
    with pytest.raises(InputError, match="more: holds more than 5 ranges"):
        read_networks([few, many])


@pytest.mark.slow
def test_who_waits_for_a_long_table_says_that_it_lives(tmp_path: Path) -> None:
    """The recorder once read it before its first heartbeat, and was ended for silence repeatedly."""
    named = file_of(tmp_path, IPTOASN)
    reads, beats = threading.Event(), []

    class Slow(WatchedNetworks):
        def _take(self) -> None:
            assert reads.wait(60)
            super()._take()

    def beat() -> None:
        beats.append(1)
        if len(beats) == 2:
            reads.set()

    table = Slow([named]).first(beat)
    assert table is not None
    assert len(table) == 4
    assert len(beats) >= 2
    assert WatchedNetworks([]).first(beat) is None
    assert WatchedNetworks([tmp_path / "absent"]).first(beat) is None


def asn_of(table: pa.Table | pa.RecordBatch) -> list[int | None]:
    return table.column("asn").to_pylist()


def test_a_bad_first_line_is_no_header(tmp_path: Path) -> None:
    table = read_networks([file_of(tmp_path, "1.0.0.0/33\t5\n" + CAIDA)])
    assert table.files[0].examples == ("table.tsv:1 names no range of addresses",)


def test_only_rows_with_an_address_and_without_a_number_are_filled(tmp_path: Path) -> None:
    crowd = Crowd(0)
    given: Sequence[tuple[str | None, int | None]] = [
        ("80.1.1.1", None), ("80.1.1.1", 0), ("80.1.1.1", 64500), (None, None), ("10.0.0.1", None),
        ("9.9.9.9", None),
    ]  # fmt: skip
    for address, asn in given:
        crowd.says("a", 1.0, client_ip=address, asn=asn)
    batch = crowd.table().combine_chunks().to_batches()[0]
    filled = read_networks([file_of(tmp_path, IPTOASN)]).fill(batch)
    assert asn_of(filled) == [3320, 3320, 64500, None, None, None]
    assert filled.drop_columns(["asn"]).equals(batch.drop_columns(["asn"]))
    known = batch.filter(pa.array([False, False, True, False, False, False]))
    assert read_networks([file_of(tmp_path, IPTOASN)]).fill(known) is known


@pytest.mark.slow
def test_a_scan_looks_addresses_up_and_says_what_it_could_not_use(tmp_path: Path) -> None:
    crowd = Crowd(0)
    for k in range(20):
        crowd.says(f"a{k % 5}", k / 10, client_ip=f"80.1.1.{k}", model="m")
    good = file_of(tmp_path, IPTOASN + "nonsense\n", "mine.tsv")
    told = stillwatch.scan(crowd.table(), networks=[good])
    assert any("mine.tsv:5 has no columns" in line for line in told.scan.cannot_claim)
    log = tmp_path / "log.parquet"
    pq.write_table(crowd.table(), log)
    bad = file_of(tmp_path, "no table", "bad.tsv")
    done = CliRunner().invoke(app, ["scan", str(log), "--networks", str(bad), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "bad.tsv: holds no line of a range; right would be a table of networks: iptoasn's" in done.stderr
    (missing,) = [one for one in inspect([log]).missing if one.column == "asn"]
    assert "--networks FILE" in missing.remedy


def until(watched: WatchedNetworks, systems: list[int], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while watched.table is None or watched.table.systems(["80.1.1.1"]).tolist() != systems:
        assert time.monotonic() < end
        watched.poll()
        time.sleep(0.01)


def test_a_table_follows_its_file_and_the_last_good_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    watched = WatchedNetworks([path])
    assert watched.table is None
    assert "no such file" in str(watched.error)
    file_of(tmp_path, IPTOASN)
    until(watched, [3320])
    assert watched.error is None
    beside = file_of(tmp_path, IPTOASN.replace("3320", "5089"), "new.tsv")
    os.replace(beside, path)
    until(watched, [5089])
    path.write_text("half a", encoding="utf-8")
    while watched.error is None:
        watched.poll()
    assert "no line can be used" in watched.error or "holds no line" in watched.error
    path.unlink()
    watched.poll()
    assert "no such file" in str(watched.error)
    until(watched, [5089])
    file_of(tmp_path, IPTOASN)
    until(watched, [3320])
    assert watched.error is None


@pytest.mark.slow
@pytest.mark.alone
def test_a_table_of_the_internet_is_read_within_seconds_and_tens_of_megabytes(tmp_path: Path) -> None:
    """As many ranges as in iptoasn's ip2asn-combined.tsv."""
    lines = []
    for k in range(500_000):
        at = (20 << 12) + k
        begin = f"{at >> 12}.{at >> 4 & 255}.{(at & 15) << 4}"
        lines.append(
            f"{begin}.0\t{begin[: begin.rindex('.')]}.{((at & 15) << 4) + 15}.255\t{k + 1}\tXX\tName"
        )
    for k in range(200_000):
        begin = f"2a00:{k >> 4:x}:{(k & 15) << 12:x}"
        lines.append(f"{begin}::\t2a00:{k >> 4:x}:{((k & 15) << 12) + 4095:x}:ffff::\t{k + 1}\tXX\tName")
    path = file_of(tmp_path, "\n".join(lines))
    begun = time.perf_counter()
    table = read_networks([path])
    seconds = time.perf_counter() - begun
    held = sum(one.nbytes for one in vars(table).values() if isinstance(one, np.ndarray))
    print(f"{len(table):,} ranges in {seconds:.1f} s and {held / 1e6:.0f} MB")
    assert (len(table), table.files[0].unusable) == (700_000, 0)
    assert held <= 26_000_000
    assert seconds < 30
    assert table.systems(["20.0.31.255", "2a00::5"]).tolist() == [2, 1]
