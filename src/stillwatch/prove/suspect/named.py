"""Opens a suspect by what a person types: a file of outputs, an address, a folder or file of weights."""

import hashlib
from pathlib import Path

from stillwatch.errors import refuse_os_errors
from stillwatch.prove import ProveError
from stillwatch.prove.proof import FIXED
from stillwatch.prove.recording import is_recording
from stillwatch.prove.suspect import Suspect
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.outputs import Outputs

KINDS = (
    "a .jsonl, .json, .csv or .parquet of outputs, an http(s):// address, a folder of weights, a .gguf file, "
    "or `clock`"
)


def suspect(
    place: str,
    manners: Manners | None,
    store: Path,
    consent: str | None,
    *,
    weighs: bool = True,
    seed: int = 1,
    name: str = "",
) -> Suspect:
    """Open a suspect. `store`: folder for an endpoint's answers. Raises: ProveError.

    name: for weights and outputs; by default their own.
    """
    if place.startswith(("http://", "https://")):
        return Endpoint(place, manners or Manners(""), store, consent=consent, weighs=weighs)
    path = Path(place).expanduser()
    if is_recording(place):
        if not path.exists():
            raise ProveError(f"{place}: there is no such file; the suspect's outputs are wanted there")
        return Outputs(path, name)
    if not path.exists() and place != "clock" and not _like_a_model(place):
        raise ProveError(f"{place}: is no suspect; give {KINDS}")
    from stillwatch.prove.suspect.weights import open_weights  # the extra `train`, imported only when needed

    sampling = manners or Manners("")
    return open_weights(
        place, name, max_tokens=sampling.max_tokens, temperature=sampling.temperature, seed=seed
    )


def fixed_name(place: str) -> str:
    """Return a base's name for a seal: with the SHA-256 of its file or folder, so that none can replace it.

    For a folder it is the SHA-256 of what `find -L . -type f | LC_ALL=C sort | xargs sha256sum` prints in it.
    A name that is not a file (an address, `none`) stays as it is. Raises: ProveError if it cannot be read.
    """
    path = Path(place).expanduser()
    if not path.exists():
        return place
    with refuse_os_errors(ProveError, f"{place}: cannot be read"):
        if path.is_file():
            return f"{path.name}{FIXED}{_sha256(path)}"
        files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        listed = "".join(f"{_sha256(path / name)}  ./{name}\n" for name in files)
        listing = listed.encode("utf-8", "surrogateescape")
    return f"{path.resolve().name}{FIXED}{hashlib.sha256(listing).hexdigest()}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _like_a_model(place: str) -> bool:
    """Return whether a place may be a path or a hub's name of a model; loading reports any error in it."""
    return place.count("/") == 1 or place.endswith(".gguf")
