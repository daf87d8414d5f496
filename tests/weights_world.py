"""Small random checkpoints for tests: safetensors, config.json and tokenizer.json, without torch.

`benchmarks/weights.py` measures what training does to weights.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, UNITS, LAYERS, WORDS = 48, 96, 4, 128
Tensors = dict[str, np.ndarray[Any, Any]]


def llama(seed: int, hidden: int = HIDDEN, units: int = UNITS, layers: int = LAYERS) -> Tensors:
    draw = np.random.default_rng(seed)
    made = {"model.embed_tokens.weight": draw.normal(size=(WORDS, hidden))}
    for k in range(layers):
        at = f"model.layers.{k}."
        made[f"{at}post_attention_layernorm.weight"] = draw.uniform(0.5, 1.5, hidden)
        made[f"{at}mlp.gate_proj.weight"] = draw.normal(size=(units, hidden))
        made[f"{at}mlp.up_proj.weight"] = draw.normal(size=(units, hidden))
        made[f"{at}mlp.down_proj.weight"] = draw.normal(size=(hidden, units))
    return {name: value.astype(np.float32) for name, value in made.items()}


def gpt2(seed: int) -> Tensors:
    draw = np.random.default_rng(seed)
    made = {"transformer.wte.weight": draw.normal(size=(WORDS, HIDDEN))}
    for k in range(LAYERS):
        at = f"transformer.h.{k}."
        made[f"{at}ln_2.weight"] = draw.uniform(0.5, 1.5, HIDDEN)
        made[f"{at}mlp.c_fc.weight"] = draw.normal(size=(HIDDEN, UNITS))
        made[f"{at}mlp.c_proj.weight"] = draw.normal(size=(UNITS, HIDDEN))
    return {name: value.astype(np.float32) for name, value in made.items()}


def noisy(tensors: Tensors, share: float, seed: int = 99) -> Tensors:
    """Simulate further training: move every weight by a share of its size."""
    draw = np.random.default_rng(seed)
    return {
        n: (t + share * t.std() * draw.normal(size=t.shape)).astype(np.float32) for n, t in tensors.items()
    }


def write(folder: Path, tensors: Tensors, dtype: str = "F32", **config: Any) -> Path:
    """Write a checkpoint's folder. `dtype`: F32, F16 or BF16."""
    folder.mkdir(parents=True)
    head, parts, at = {}, [], 0
    for name, value in tensors.items():
        if dtype == "BF16":
            raw = (value.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            raw = value.astype({"F32": "<f4", "F16": "<f2"}.get(dtype, "<f4")).tobytes()
        head[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": HIDDEN} | config))
    words = {f"w{k}": k for k in range(WORDS)}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": words, "merges": ["w 1", ["w", "2"]]}})
    )
    return folder
