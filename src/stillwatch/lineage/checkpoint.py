"""A model's files -> its tokenizer, its shape, and the feed-forward weights of each layer, without torch.

Reads folders as on Hugging Face (safetensors), one .safetensors file, and GGUF files (with the package gguf).
It runs no code that came with the weights and opens no pickle.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import StillwatchError

Floats = NDArray[np.float32]
Key = tuple[int, int]  # layer, expert

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
EXPERTS = 2  # of a layer with many: they are similar in what is compared, and a model has thousands
HEADER_BYTES = 1 << 27
MOST_LAYERS = 1_000  # each is compared with each of the other model's; known models have 400, experts counted
GARBLED = (  # what the package gguf raises for damaged files, of which it checks little
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, OSError,
    TypeError, ValueError,
)  # fmt: skip
LARGEST = 1e9  # more than its square, times a norm, is out of range for 32-bit floats
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blk|blocks)\.([0-9]{1,6})\.(.+)\.weight$")
_BESIDE = re.compile(r"shared_expert|vision|visual|audio|encoder\.|mtp")  # not plain layers of the text model
_EXPERT = re.compile(r"(?:^|\.)experts\.([0-9]{1,6})\.")
_ROLES = {
    "gate": r"gate_proj|w1|ffn_gate",
    "read": r"up_proj|w3|ffn_up|c_fc|fc1|fc_in|dense_h_to_4h",
    "both": r"gate_up_proj",
    "write": r"down_proj|w2|ffn_down|mlp\.c_proj|fc2|fc_out|dense_4h_to_h",
    "norm": r"pre_feedforward_layernorm|post_attention_layernorm|ln_2|ffn_norm",
}
_ROLE = {role: re.compile(rf"(?:^|\.)(?:{names})$") for role, names in _ROLES.items()}
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|token_embd|embed_in|word_embeddings)\.weight$")
_SHAPE = {
    "kind": ("model_type",),
    "hidden size": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "feed-forward size": ("intermediate_size", "n_inner", "ffn_dim"),
    "heads": ("num_attention_heads", "n_head"),
    "key-value heads": ("num_key_value_heads",),
    "vocabulary": ("vocab_size",),
    "rotary base": ("rope_theta",),
}


class CheckpointError(StillwatchError):
    """Files that hold no weights that can be read here."""


@dataclass(frozen=True)
class Units:
    """The feed-forward units of one layer, one per row: what they read from the stream and write to it."""

    gate: Floats | None  # (units, hidden)
    read: Floats  # (units, hidden)
    write: Floats  # (units, hidden)


@dataclass(frozen=True)
class ModelCheckpoint:
    """What was found in a model's files. Weights are read on demand."""

    name: str
    shape: dict[str, object]
    vocabulary: dict[str, int]
    merges: tuple[str, ...]
    hidden: int
    names: dict[Key, dict[str, str]]  # (layer, expert) -> role -> name of a tensor
    embedding_name: str
    tensor: Callable[[str], Floats]

    @property
    def layers(self) -> list[Key]:
        """Return the layers whose feed-forward weights can be compared, in order."""
        return sorted(self.names)

    def units(self, key: Key) -> Units:
        """Read one layer, with the scale of the preceding norm multiplied into what its units read."""
        parts_here = self.names[key]
        gate: Floats | None = None
        if "both" in parts_here:
            rows = self._rows(parts_here["both"])
            gate, read = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        else:
            read = self._rows(parts_here["read"])
            gate = self._rows(parts_here["gate"]) if "gate" in parts_here else None
        write = self.tensor(parts_here["write"])
        square = write.shape[0] == write.shape[1]
        if write.shape[1] != self.hidden or (square and "c_proj" not in parts_here["write"]):
            write = write.T
        if len({len(part) for part in (gate, read, write) if part is not None}) > 1 or not len(read):
            raise CheckpointError(
                f"{self.name}: the feed-forward weights of layer {key[0]} are not of one number of units: "
                f"{', '.join(parts_here.values())}"
            )
        if "norm" not in parts_here:
            return Units(gate, read, write)
        scale = self.tensor(parts_here["norm"])
        if str(self.shape["kind"]).startswith("gemma") and not parts_here["norm"].startswith("blk"):
            scale = scale + 1  # Gemma stores its norms minus one, except in GGUF files
        return Units(None if gate is None else gate * scale, read * scale, write)

    def embedding(self) -> Floats:
        """Read the token embeddings, shape (tokens, hidden)."""
        return self.tensor(self.embedding_name)

    def _rows(self, name: str) -> Floats:
        values = self.tensor(name)
        flipped = values.shape[1] != self.hidden or (values.shape[0] == values.shape[1] and "c_fc" in name)
        return values.T if flipped else values


def read_checkpoint(place: Path, name: str = "") -> ModelCheckpoint:
    """Find a model's weights and tokenizer in a folder or a file.

    Raises: CheckpointError with what is missing or unreadable, and what would be right.
    """
    if not place.exists():
        raise CheckpointError(f"{place}: there is no such file or folder; give a model's folder or a .gguf")
    if place.suffix == ".gguf":
        return _read_gguf(place, name)
    folder = place if place.is_dir() else place.parent
    files = sorted(folder.glob("*.safetensors")) if place.is_dir() else [place]
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{place}: is an adapter, which is only a change; merge it into its model first"
        )
    if not files or (place.suffix not in ("", ".safetensors") and not place.is_dir()):
        pickled = " (its .bin files are pickles that could run code: save them as safetensors)"
        raise CheckpointError(
            f"{place}: has no .safetensors file{pickled if list(folder.glob('*.bin')) else ''}"
        )
    tensors: dict[str, tuple[Path, str, list[int], int, int]] = {}
    for file in files:
        tensors |= _header(file)
    config = _json(folder / "config.json")
    config |= _table(config, "text_config")
    vocabulary, merges = _tokenizer(_json(folder / "tokenizer.json"), folder)
    shape = {
        what: next((config[k] for k in keys if config.get(k) is not None), None)
        for what, keys in _SHAPE.items()
    }
    return _checkpoint(
        name or place.resolve().name.removesuffix(".safetensors"), place, shape, vocabulary, merges,
        {k: tuple(v[2]) for k, v in tensors.items()}, lambda wanted: _load(wanted, *tensors[wanted]),
    )  # fmt: skip


def _checkpoint(
    name: str, place: Path, shape: dict[str, object], vocabulary: dict[str, int], merges: tuple[str, ...],
    sizes: dict[str, tuple[int, ...]], tensor: Callable[[str], Floats],
) -> ModelCheckpoint:  # fmt: skip
    matrices = (tensor_name for tensor_name, size in sizes.items() if len(size) == 2)
    embedding = next(filter(_EMBEDDING.search, matrices), "")
    hidden = shape["hidden size"] or (sizes[embedding][1] if embedding else 0)
    if not isinstance(hidden, int) or hidden < 1:
        raise CheckpointError(f"{place}: neither its config.json nor its embeddings say the hidden size")
    if embedding and sizes[embedding][1] != hidden:
        embedding = ""  # factored or transposed: its axes are not those that the layers read
    found: dict[Key, dict[str, str]] = {}
    norms: dict[int, str] = {}
    for tensor_name, size in sizes.items():
        layer = _LAYER.search(tensor_name)
        if layer is None or _BESIDE.search(tensor_name):
            continue
        expert = _EXPERT.search(tensor_name)
        role = next((role for role, known in _ROLE.items() if known.search(layer[2])), "")
        if role == "norm" and size == (hidden,):
            if "pre_feedforward" in tensor_name or int(layer[1]) not in norms:
                norms[int(layer[1])] = tensor_name
        elif role and len(size) == 2 and hidden in size and (expert is None or int(expert[1]) < EXPERTS):
            key = int(layer[1]), int(expert[1]) if expert else 0
            found.setdefault(key, {}).setdefault(role, tensor_name)
    whole = {
        key: weights_here | ({"norm": norms[key[0]]} if key[0] in norms else {})
        for key, weights_here in found.items()
        if "write" in weights_here and ("read" in weights_here or "both" in weights_here)
    }
    if not whole:
        raise CheckpointError(
            f"{place}: no layer's feed-forward weights were found among {len(sizes):,} tensors "
            f"({next(iter(sizes), 'none')} first); packed ones (GPTQ, AWQ, bitsandbytes) have to be saved "
            "whole"
        )
    if len(whole) > MOST_LAYERS:
        raise CheckpointError(f"{place}: has {len(whole):,} layers; at most {MOST_LAYERS:,} are compared")
    return ModelCheckpoint(name, shape, vocabulary, merges, hidden, whole, embedding, tensor)


def _header(file: Path) -> dict[str, tuple[Path, str, list[int], int, int]]:
    """Return the tensors of a safetensors file: name -> file, type, shape, first byte, bytes."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            if size > HEADER_BYTES:
                raise ValueError(f"its header is said to be {size:,} bytes long")
            entries = json.loads(opened.read(size))
        entries.pop("__metadata__", None)
        found: dict[str, tuple[Path, str, list[int], int, int]] = {}
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            dtype, shape, (at, after) = entry["dtype"], entry["shape"], entry["data_offsets"]
            if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in (*shape, at, after)):
                raise ValueError(f"the shape or the place of {name[:200]!r} is no list of numbers")
            if at < end or after < at:
                raise ValueError(f"{name[:200]!r} lies where another tensor lies")
            if dtype in DTYPES and after - at != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
                raise ValueError(f"{name[:200]!r} does not have the bytes that its shape and type take")
            found[name] = file, str(dtype), shape, 8 + size + at, after - at
            end = after
        return found
    except (OSError, ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError) as why:
        raise CheckpointError(f"{file}: is no safetensors file that can be read: {why}") from None


def _load(name: str, file: Path, dtype: str, shape: list[int], at: int, size: int) -> Floats:
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{file}: {name} is kept as {dtype}; {', '.join(DTYPES)} can be read: save it as one of these"
        )
    try:
        if file.stat().st_size < at + size:  # checked before memory is allocated for it
            raise ValueError(f"it would end at byte {at + size:,}, and the file has less")
        raw = np.fromfile(
            file, DTYPES[dtype], count=size // np.dtype(DTYPES[dtype]).itemsize, offset=at
        ).reshape(shape)
    except (OSError, ValueError) as why:
        raise CheckpointError(f"{file}: {name} cannot be read: {why}. Is the download whole?") from None
    with np.errstate(over="ignore"):
        found = (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else raw.astype(np.float32)
    return _numbers(found, f"{file}: {name}")


def _numbers(found: Floats, what: str) -> Floats:
    """Return weights that a model can have run with: the lengths of their rows stay finite."""
    if not -LARGEST < found.min(initial=0) <= found.max(initial=0) < LARGEST:  # false for NaN, too
        raise CheckpointError(f"{what} holds values that are no numbers; the model cannot have run")
    return found


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as why:
        raise CheckpointError(f"{path}: cannot be read: {why}") from None
    return value if isinstance(value, dict) else {}


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def _tokenizer(document: dict[str, Any], folder: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Read the vocabulary and merges of a tokenizer.json, or of GPT-2's two files."""
    model = _table(document, "model") or {"vocab": _json(folder / "vocab.json")}
    words, merges = model.get("vocab"), model.get("merges")
    if isinstance(words, list):  # a unigram model: pairs of a token and its score
        words = {str(pair[0]): i for i, pair in enumerate(words) if isinstance(pair, list) and pair}
    words = words if isinstance(words, dict) else {}
    words = {word: i for word, i in words.items() if type(i) is int and i >= 0}
    merges = [merge for merge in merges if isinstance(merge, str | list)] if isinstance(merges, list) else []
    if not merges and (folder / "merges.txt").exists():
        lines = (folder / "merges.txt").read_text("utf-8", errors="replace").splitlines()
        merges = [line for line in lines if not line.startswith("#")]
    return words, tuple(merge if isinstance(merge, str) else " ".join(map(str, merge)) for merge in merges)


def _read_gguf(place: Path, name: str) -> ModelCheckpoint:
    try:
        gguf, quants = import_module("gguf"), import_module("gguf.quants")
    except ImportError:
        raise CheckpointError(
            f"{place}: GGUF files are read by the package gguf: pip install gguf, or give safetensors"
        ) from None
    try:
        reader = gguf.GGUFReader(place)
    except GARBLED as why:
        raise CheckpointError(f"{place}: is no GGUF file that can be read: {why}") from None
    by_name = {tensor.name: tensor for tensor in reader.tensors}

    def field(key: str) -> Any:
        found = reader.fields.get(key)
        try:
            return found.contents() if found is not None else None
        except GARBLED as why:
            raise CheckpointError(f"{place}: {key} cannot be read: {why}") from None

    kind = str(field("general.architecture"))
    tokens, merges = (field(f"tokenizer.ggml.{what}") for what in ("tokens", "merges"))
    tokens, merges = (value if isinstance(value, list) else [] for value in (tokens, merges))
    shape = dict.fromkeys(_SHAPE) | {
        "kind": kind,
        "hidden size": field(f"{kind}.embedding_length"),
        "layers": field(f"{kind}.block_count"),
        "feed-forward size": field(f"{kind}.feed_forward_length"),
        "heads": field(f"{kind}.attention.head_count"),
        "key-value heads": field(f"{kind}.attention.head_count_kv"),
        "vocabulary": len(tokens) or None,
        "rotary base": field(f"{kind}.rope.freq_base"),
    }

    def tensor(wanted: str) -> Floats:
        tensor = by_name[wanted]
        size = [int(n) for n in reversed(tensor.shape)]
        try:
            found = np.asarray(quants.dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(size)
        except GARBLED as why:
            raise CheckpointError(f"{place}: {wanted} cannot be read: {why}") from None
        return _numbers(found, f"{place}: {wanted}")

    sizes = {key: tuple(int(n) for n in reversed(tensor.shape)) for key, tensor in by_name.items()}
    vocabulary = {str(token): i for i, token in enumerate(tokens)}
    merges = tuple(map(str, merges))
    return _checkpoint(name or place.stem, place, shape, vocabulary, merges, sizes, tensor)
