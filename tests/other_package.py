"""A third-party package: one module that an entry point names."""

from pathlib import Path


def unpack(place: Path, group: str, entry: str, source: str | None) -> Path:
    """Install it where pip would. entry: NAME = MODULE. source: the module's; None: it is missing."""
    info = place / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    if source is not None:
        (place / f"{entry.partition(' = ')[2]}.py").write_text(source)
    return place
