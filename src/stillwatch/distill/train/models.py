"""Loads a model and its tokenizer from the place that a plan names: embedded, a folder, a GGUF file, a hub.

Code that comes with weights is never run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError
from stillwatch.distill.rows import read_json
from stillwatch.distill.train import CLOCK
from stillwatch.distill.train.extra import need


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model with its tokenizer; `place` is how the plan named it."""

    model: Any
    tokenizer: Any
    place: str


def load(place: str, seed: int = 1, blank: bool = True, half: bool = False) -> LoadedModel:
    """Load a model on the CPU, in 32-bit floats, or in bfloat16 (`half`).

    `clock` is the embedded student untrained (`blank`) or the embedded teacher.
    Raises: DistillError if there is none, or it cannot be read.
    """
    torch = need("torch")
    transformers = need("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if place == CLOCK:
        return _clock(seed, blank)
    path = Path(place).expanduser()
    if not path.exists() and (place.startswith(("/", ".", "~")) or path.suffix == ".gguf"):
        raise DistillError(f"{place}: there is no such file or folder; a model is wanted there")
    gguf = path.suffix == ".gguf"
    if gguf:
        need("gguf")
    source = {"gguf_file": path.name} if gguf else {}
    folder = str(path.parent) if gguf else str(path) if path.exists() else place
    if (path / "adapter_config.json").exists():
        return _load_adapter(path, seed, half)
    loading: dict[str, Any] = {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **source)
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if half else torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            **source,
        )
    except Exception as why:  # untrusted files: each library raises its own errors
        raise DistillError(f"no model can be loaded from {place!r}: {_loading_error(why)}") from why
    if missing := sorted(loading["missing_keys"]):
        raise DistillError(
            f"{place}: {len(missing):,} of the model's weights are not in its files ({missing[0]} first); "
            "they would be made up at random. Is the download whole?"
        )
    if gguf:
        _forget_quantisation(model)
    _agree(model, tokenizer, place)
    return LoadedModel(model, tokenizer, place)


_SIGNS = {
    "trust_remote_code": "it wants code that came with the weights to be run, which is never done here; take "
    "a model of a kind that transformers knows by itself",
    "weights_only": "its weights are a pickle that would run code; take them as safetensors",
    "ignore_mismatched_sizes": "its weights have other sizes than its config.json says: they do not belong "
    "together",
}


def _loading_error(why: Exception) -> str:
    """Return why a model cannot be loaded, in one sentence, and the remedy."""
    message = str(why).strip()
    for sign, meaning in _SIGNS.items():
        if sign in message:
            return meaning
    first = (message.splitlines() or [type(why).__name__])[0].rstrip(".")[:300]
    return f"{first}. Name a folder with config.json, weights and a tokenizer, or a .gguf file"


def _clock(seed: int, blank: bool) -> LoadedModel:
    from stillwatch.distill.embedded.models import blank_student, tokenizer
    from stillwatch.distill.embedded.teacher import teacher

    if blank:
        return LoadedModel(blank_student(seed), tokenizer(), CLOCK)
    return load(str(teacher()))


def _load_adapter(path: Path, seed: int, half: bool) -> LoadedModel:
    """Load a LoRA adapter with its base model, merged into one."""
    peft = need("peft")
    below = str(read_json(path / "adapter_config.json").get("base_model_name_or_path") or "")
    if not below:
        raise DistillError(f"{path}: the adapter does not say which model it belongs to; merge it first")
    if (Path(below).expanduser() / "adapter_config.json").exists():
        raise DistillError(f"{path}: the adapter belongs to another adapter, {below}; merge that one first")
    loaded = load(below, seed, half=half)
    try:
        model = peft.PeftModel.from_pretrained(loaded.model, str(path)).merge_and_unload()
    except Exception as why:  # as above
        raise DistillError(f"the adapter in {path} cannot be put on {below}: {_loading_error(why)}") from why
    return LoadedModel(model, loaded.tokenizer, str(path))


def _forget_quantisation(model: Any) -> None:
    # transformers 5 dequantises a GGUF on loading, but refuses to save the result as "quantized with gguf"
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _agree(model: Any, tokenizer: Any, place: str) -> None:
    """Ensure that every token has a row in the model, and that there are an end and a padding token."""
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise DistillError(
            f"{place}: the tokenizer has {len(tokenizer):,} tokens, the model rows for {rows:,}: they do not "
            "belong together; take the tokenizer that came with the model"
        )
    if tokenizer.eos_token_id is None:
        raise DistillError(f"{place}: the tokenizer has no end-of-text token: no student could learn to stop")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def same_tokens(one: Any, other: Any) -> str | None:
    """Return why two tokenizers do not share their tokens; None if they do."""
    a, b = one.get_vocab(), other.get_vocab()
    if a == b:
        return None
    differ = sum(1 for word, number in a.items() if b.get(word) != number)
    differ = max(differ, sum(1 for word, number in b.items() if a.get(word) != number))
    return f"{differ:,} of {max(len(a), len(b)):,} tokens differ"


def context(model: Any) -> int:
    """Return how many tokens the model can read at once; 0 if unknown."""
    for name in ("max_position_embeddings", "n_positions"):
        value = getattr(model.config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def load_to_run(place: str, seed: int = 1, blank: bool = True) -> LoadedModel:
    """Load a model for generation: in bfloat16 on the GPU if there is one, else on the CPU."""
    gpu = need("torch").cuda.is_available()
    loaded = load(place, seed, blank, half=gpu)
    if gpu:
        loaded.model.to("cuda")
    return loaded
