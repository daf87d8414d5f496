"""Runs deploy/Dockerfile without a container engine: each stage in its own folder, entered by chroot.

The base image's content (Debian's /usr and Python below /usr/local) is mounted read-only from this machine.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = Path(sys.base_prefix)
WHY_NOT = (
    None
    if os.geteuid() == 0 and Path("/usr") != PYTHON and shutil.which("unshare") and shutil.which("nsenter")
    else "needs root, util-linux, and a Python that lies outside of /usr"
)
# A stage's root, then whether it is run as a container ("alone") or built, then the writable folders
ENTER = """
set -eu
root=$1 how=$2 user=$3 place=$4 writable=$5; shift 5
mkdir -p "$root/proc" "$root/tmp" "$root/dev"
chmod 1777 "$root/tmp"
for one in bin sbin lib lib64; do [ ! -L /$one ] || ln -sfn "$(readlink /$one)" "$root/$one"; done
for one in usr etc; do
    mkdir -p "$root/$one"
    mount --bind /$one "$root/$one"
    mount -o remount,bind,ro "$root/$one"
done
mount --bind "$PYTHON" "$root/usr/local"
mount -o remount,bind,ro "$root/usr/local"
if [ "$how" = alone ]; then
    /usr/sbin/ip link set lo up
    mount --bind "$root" "$root"
    mount --rbind /usr "$root/usr"
    mount --bind "$PYTHON" "$root/usr/local"
    mount --bind /etc "$root/etc"
    for one in $writable; do mount --bind "$root$one" "$root$one"; done
    mount -t tmpfs tmpfs "$root/tmp"
    mount -o remount,bind,ro "$root"
fi
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec /usr/sbin/chroot --userspec="$user" --groups= "$root" env --chdir="$place" "$@"
"""


class NotUnderstood(AssertionError):
    """An instruction that this stand-in does not support."""


@dataclass
class Stage:
    """One stage of the image: its content, and its containers' initial state."""

    root: Path
    environment: dict[str, str]
    user: str = "0:0"
    place: str = "/"
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def words(self, command: list[str], how: str) -> list[str]:
        """Return the words that run a command in it: during the build, or as a container's first process."""
        spaces = ["--net", "--pid", "--fork", "--kill-child"] if how == "alone" else []
        shell = ["sh", "-c", ENTER, "enter", str(self.root), how, self.user, self.place]
        apart = ["unshare", "--mount", "--propagation", "private", *spaces]
        return [*apart, *shell, " ".join(self.volumes), *command]

    def process_environment(self) -> dict[str, str]:
        """Return its processes' environment: the image's, and this machine's path of Python's library."""
        return {"LD_LIBRARY_PATH": "/usr/local/lib", "PYTHON": str(PYTHON), **self.environment}

    def start(self, command: list[str], log: Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a container: its files read-only except volumes and /tmp, a network of its own."""
        with open(log, "wb") as out:
            return subprocess.Popen(
                self.words([*self.entrypoint, *command], "alone"),
                env=self.process_environment() | more, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def inside(self, pid: int, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command beside a container's first process, as its user."""
        user, _, group = self.user.partition(":")
        enter = ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--root"]
        words = [*enter, "--setuid", user, "--setgid", group, "env", f"--chdir={self.place}", *command]
        return subprocess.run(
            words, env=self.process_environment(), capture_output=True, text=True, timeout=60, check=False
        )


def instructions(path: Path = ROOT / "deploy" / "Dockerfile") -> list[tuple[str, str]]:
    """Read a Dockerfile: each instruction's name and the rest of it, in order."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]  # type: ignore[misc]


def build(place: Path) -> Stage:
    """Run all steps of the Dockerfile below a folder; return the last stage."""
    stages: dict[str, Stage] = {}
    stage = None
    for name, rest in instructions():
        if name == "FROM":
            title = rest.split(" AS ")[-1] if " AS " in rest else "last"
            path = place / title
            path.mkdir()
            stage = stages[title] = Stage(path, {"PATH": "/usr/local/bin:/usr/bin:/bin"})
        else:
            assert stage is not None
            _step(stage, stages, name, rest)
    assert stage is not None
    return stage


def _step(stage: Stage, stages: dict[str, Stage], name: str, rest: str) -> None:
    if name == "RUN":
        pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or "proxy" in key}
        words = stage.words(["sh", "-c", rest], "build")
        done = subprocess.run(
            words, env=stage.process_environment() | pip, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    elif name == "COPY":
        _copy(stage, stages, shlex.split(rest))
    elif name == "ENV":
        stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    elif name == "WORKDIR":
        stage.place = rest
        (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif name == "USER":
        stage.user = rest
    elif name == "VOLUME":
        stage.volumes = rest.split()
    elif name == "ENTRYPOINT":
        stage.entrypoint = json.loads(rest)
    elif name == "CMD":
        stage.command = json.loads(rest)
    elif name == "HEALTHCHECK":
        stage.health = json.loads(rest.partition(" CMD ")[2])
    elif name not in ("EXPOSE", "STOPSIGNAL"):
        raise NotUnderstood(f"{name} {rest}")


def _copy(stage: Stage, stages: dict[str, Stage], words: list[str]) -> None:
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    to = stage.root / (target if target.startswith("/") else f"{stage.place}/{target}").lstrip("/")
    for one in sources:
        path = source / one.lstrip("/")
        if source != ROOT:
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)  # the source stage is no longer needed, and has 700 MB
        elif path.is_dir():
            shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
