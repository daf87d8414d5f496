"""The settings of `stillwatch serve`, as `serve.json` in the folder. It holds no secret: the upstream's key
comes from the environment and is not stored.
"""

import json
import re
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from stillwatch.errors import StillwatchError
from stillwatch.gateway.fleet.store import is_store, store_address
from stillwatch.gateway.logs import FORMATS, LEVELS
from stillwatch.new_file import replace_file
from stillwatch.toml.declared import Bounds, OneOf, build, out_of_bounds
from stillwatch.toml.reading import Mistakes, TableReader

UPSTREAM_KEY_VARIABLE = "STILLWATCH_UPSTREAM_KEY"
MOST_WORKERS = 64
HOOKS_WORKER = 900  # the number of the hooks process among the workers, above all of theirs
SHUTDOWN_DELAY_S = 5.0  # in a fleet: for load balancers that check /readyz every second or two
GATEWAY_NAME = r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}"
Port = Annotated[int, Bounds(1, 65_535)]


class SettingsError(StillwatchError):
    """The gateway cannot be started with these settings."""


@dataclass(frozen=True)
class GatewaySettings:
    """The settings of one gateway. All its processes read the same file.

    Raises: SettingsError for a value that cannot work, StoreError for an object store's address.
    """

    upstream: str  # "https://host[:port][/prefix]"; a request's path is appended
    host: str = "127.0.0.1"
    port: Port = 8080
    admin_port: Port = 8081
    workers: Annotated[int, Bounds(1, MOST_WORKERS)] = 1
    upstream_ca: str | None = None  # file of certificates to trust besides the system's
    # time without one byte from the upstream; reasoning models think for minutes
    upstream_timeout_s: Annotated[float, Bounds(0, 86_400, above=True)] = 600.0
    admin_host: str = "127.0.0.1"
    admin_names: tuple[str, ...] = ()  # further names of the admin port (Host header)
    # time to serve clients after /readyz says 503, so that load balancers notice; None: 5 s in a fleet
    shutdown_delay_s: Annotated[float, Bounds(0, 3_600)] | None = None
    # above this the detector is ended and restarted
    detector_memory_mb: Annotated[int, Bounds(256)] = 4096
    short_answers: Annotated[int, Bounds(0, 4_096)] = 192  # tokens; docs/evidence.md, honest explanations
    hooks_port: Port | None = None  # for other gateways (hooks/); None: nothing listens for them
    hooks_host: str = "127.0.0.1"
    # of the log on standard error; "json": one object a line
    log_format: Annotated[str, OneOf(*FORMATS)] = "text"
    log_level: Annotated[str, OneOf(*LEVELS)] = "warning"  # "info": also one line a request
    cases: str | None = None  # database URL without a password; None: cases.db in the folder
    state: str | None = None  # the same, for the shared state of a fleet; None: state.db, not shared
    gateway: str | None = None  # its name in the fleet
    # the folder or, as s3://, the object store that all gateways of the fleet write to
    shared: str | None = None
    networks: tuple[str, ...] = ()  # files of a table of networks; it gives captured exchanges their `asn`

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        if wrong := out_of_bounds(self):
            raise SettingsError("; ".join(wrong))
        if self.hooks_port in (self.port, self.admin_port):
            raise SettingsError(f"hooks_port is {self.hooks_port}, as another port; give it one of its own")
        if self.state is not None and self.shared is None:
            raise SettingsError(
                "a fleet needs one folder or object store that all its gateways can write to, for "
                "exchanges and findings: give --shared FOLDER or --shared s3://BUCKET/PREFIX with --state"
            )
        if self.shared is not None and is_store(self.shared):
            store_address(self.shared)
        if self.gateway is not None and not re.fullmatch(GATEWAY_NAME, self.gateway):
            raise SettingsError(
                f"gateway is {self.gateway!a}; give 1 to 40 letters, digits, dots and hyphens"
            )
        if self.port == self.admin_port:
            raise SettingsError(f"port and admin_port are both {self.port}; give two different ports")
        if self.upstream_ca is not None and not Path(self.upstream_ca).is_file():
            raise SettingsError(f"{self.upstream_ca}: no such file; give the upstream's certificates as PEM")

    def addresses(self) -> dict[str, tuple[str, int]]:
        """Return where it listens, by the setting's name."""
        ports = {"port": (self.host, self.port), "admin_port": (self.admin_host, self.admin_port)}
        return (
            ports if self.hooks_port is None else ports | {"hooks_port": (self.hooks_host, self.hooks_port)}
        )

    def shutdown_delay(self) -> float:
        """Return the seconds between the 503 of /readyz and the closing of the clients' sockets."""
        if self.shutdown_delay_s is not None:
            return self.shutdown_delay_s
        return 0.0 if self.state is None else SHUTDOWN_DELAY_S

    @classmethod
    def load(cls, path: Path) -> "GatewaySettings":
        """Read `serve.json`. Raises: SettingsError with the place if it is unusable."""
        try:
            document = json.loads(path.read_bytes())
        except OSError as why:
            raise SettingsError(f"{path}: cannot be read: {why.strerror}") from why
        except ValueError as why:
            raise SettingsError(f"{path}: not JSON ({why}); `stillwatch serve` writes it anew") from why
        if not isinstance(document, dict):
            raise SettingsError(f"{path}: holds no JSON object; `stillwatch serve` writes it anew")
        table = TableReader(document, (), Mistakes(str(path), None))
        settings = build(cls, table)
        if settings is None:
            raise SettingsError("; ".join(table.notes.sentences()))
        return settings

    def save(self, path: Path) -> None:
        """Write `serve.json` atomically."""
        replace_file(path, [json.dumps(asdict(self), indent=1).encode() + b"\n"])


def new_name() -> str:
    """Make a gateway's name from the host's. Two gateways on one host get different names."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0]).strip("-")[:30]
    return f"{host or 'gateway'}-{secrets.token_hex(3)}"


def _check_upstream(upstream: str) -> None:
    try:
        parts = urlsplit(upstream)
        port = parts.port
        (parts.hostname or "").encode("idna")  # encoded as in the lookup of its address
    except ValueError as why:
        raise SettingsError(f"upstream {upstream!r}: {why}; give https://host[:port][/prefix]") from why
    if parts.username is not None or parts.password is not None:
        raise SettingsError(
            f"upstream: holds a user name or password; give the upstream's key by {UPSTREAM_KEY_VARIABLE}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingsError(f"upstream {upstream!r}: give http://host[:port][/prefix] or https://…")
    if parts.query or parts.fragment or any(c.isspace() or not c.isprintable() for c in upstream):
        raise SettingsError(f"upstream {upstream!r}: no query, fragment or blank may be in it")
