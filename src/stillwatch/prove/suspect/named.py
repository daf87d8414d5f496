"""From what a person writes to a suspect: a file of outputs, an address, a folder or file of weights."""

from pathlib import Path

from stillwatch.prove import ProveError
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
) -> Suspect:
    """Open a suspect. `store`: where an endpoint's answers are kept. Raises: ProveError."""
    if place.startswith(("http://", "https://")):
        return Endpoint(place, manners or Manners(""), store, consent=consent, weighs=weighs)
    path = Path(place).expanduser()
    if is_recording(place):
        if not path.exists():
            raise ProveError(f"{place}: there is no such file; the suspect's outputs are wanted there")
        return Outputs(path)
    if not path.exists() and place != "clock" and not _like_a_model(place):
        raise ProveError(f"{place}: is no suspect; give {KINDS}")
    from stillwatch.prove.suspect.weights import open_weights  # the extra `train`, only where it is wanted

    sampling = manners or Manners("")
    return open_weights(place, max_tokens=sampling.max_tokens, temperature=sampling.temperature, seed=seed)


def _like_a_model(place: str) -> bool:
    """A path that is not there, or a name as hubs have them: loading says what is wrong with it."""
    return place.count("/") == 1 or place.endswith(".gguf")
