"""Whose weights: changes that are recognised, what is not shown, what cannot be judged; and the kin file."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.lineage.checkpoint import CheckpointError, read_checkpoint
from stillwatch.lineage.weights import IN_PLACE_Z, WeightsVerdict, compare_weights, in_place
from stillwatch.prove.lineage.reading import KinClaim, read_kins
from weights_world import HIDDEN, LAYERS, UNITS, WORDS, Tensors, gpt2, llama, noisy, write

RUN = CliRunner()


def compare(folder: Path, one: Tensors, other: Tensors, **settings: object):
    a, b = write(folder / "one", one), write(folder / "other", other, **settings)
    return compare_weights(read_checkpoint(a), read_checkpoint(b))


@pytest.mark.slow
def test_z_in_place_is_what_all_orders_give() -> None:
    draw = np.random.default_rng(3)
    mine = draw.normal(size=(30, 8)) + draw.normal(size=8)  # all rows share a direction
    yours = 0.3 * mine + draw.normal(size=(30, 8))
    a, b = mine - mine.mean(axis=0), yours - yours.mean(axis=0)
    orders = [np.trace(a @ b[draw.permutation(30)].T) for _ in range(20_000)]
    z = (np.trace(a @ b.T) - np.mean(orders)) / np.std(orders)
    assert in_place(mine, yours)[1] == pytest.approx(z, rel=0.03)


@pytest.mark.slow
def test_models_trained_apart_stay_apart(tmp_path: Path) -> None:
    made = {f"{make.__name__}-{k}": make(k) for make in (llama, gpt2) for k in (1, 2, 3)}
    read = [read_checkpoint(write(tmp_path / name, tensors)) for name, tensors in made.items()]
    for k, one in enumerate(read):
        for other in read[k + 1 :]:
            found = compare_weights(one, other)
            assert found.verdict is WeightsVerdict.NOT_SHOWN
            assert found.z < IN_PLACE_Z / 1.5
            assert found.effect < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_fine_tune_at_half_precision_is_kin(tmp_path: Path, make, dtype: str) -> None:
    found = compare(tmp_path, make(1), noisy(make(1), 0.5), dtype=dtype)
    assert (found.verdict, found.how, found.layers) == (WeightsVerdict.SAME, "units in place", LAYERS)
    assert found.vocabulary_shared == found.merges_shared == 1.0


def reordered(tensors: Tensors) -> Tensors:
    """Units reordered, scaled, and inverted in sign: the function is the same."""
    draw, made = np.random.default_rng(8), dict(tensors)
    for k in range(LAYERS):
        at = f"model.layers.{k}.mlp."
        order, scale = draw.permutation(UNITS), draw.choice([-1, 1], UNITS) * draw.uniform(0.2, 5, UNITS)
        made[f"{at}gate_proj.weight"] = tensors[f"{at}gate_proj.weight"][order]
        made[f"{at}up_proj.weight"] = (tensors[f"{at}up_proj.weight"] * scale[:, None])[order]
        made[f"{at}down_proj.weight"] = (tensors[f"{at}down_proj.weight"] / scale)[:, order]
    return made


def turned(tensors: Tensors) -> Tensors:
    """The stream's axes rotated, the norms' scales merged into weights: the function is the same."""
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(HIDDEN, HIDDEN)))[0]
    made = dict(tensors)
    made["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"] @ turn
    for k in range(LAYERS):
        at = f"model.layers.{k}."
        scale = tensors[f"{at}post_attention_layernorm.weight"]
        made[f"{at}post_attention_layernorm.weight"] = np.ones(HIDDEN, np.float32)
        for name in ("gate", "up"):
            made[f"{at}mlp.{name}_proj.weight"] = (tensors[f"{at}mlp.{name}_proj.weight"] * scale) @ turn
        made[f"{at}mlp.down_proj.weight"] = turn.T @ tensors[f"{at}mlp.down_proj.weight"]
    return made


@pytest.mark.slow
def test_units_reordered_and_axes_turned_are_seen_through(tmp_path: Path) -> None:
    changed = noisy(reordered(llama(1)), 0.2)
    assert compare(tmp_path / "a", llama(1), changed).how == "units reordered"
    found = compare(tmp_path / "b", llama(1), turned(changed))
    assert (found.verdict, found.how, found.layers) == (WeightsVerdict.SAME, "axes turned", LAYERS)


def test_layers_dropped_and_units_cut_out(tmp_path: Path) -> None:
    short = {n: t for n, t in llama(1).items() if "layers.0." not in n and "layers.2." not in n}
    found = compare(tmp_path / "a", llama(1), short)
    assert (found.verdict, found.layers, found.of_layers) == (WeightsVerdict.SAME, 2, 2)
    narrow = {
        n: (t[: UNITS // 2] if "gate" in n or "up" in n else t[:, : UNITS // 2] if "down" in n else t)
        for n, t in llama(1).items()
    }
    assert compare(tmp_path / "b", llama(1), narrow).how == "units reordered"


@pytest.mark.slow
def test_fused_and_expert_layers_are_read(tmp_path: Path) -> None:
    base, fused, experts = llama(1), {}, {}
    for name, value in noisy(base, 0.2).items():
        if "gate_proj" in name:
            both = [value, noisy(base, 0.2)[name.replace("gate", "up")]]
            fused[name.replace("gate", "gate_up")] = np.concatenate(both)
        elif "up_proj" not in name:
            fused[name] = value
        expert = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
        short = next((s for s in expert if s in name), "")
        moved = name.replace(f"mlp.{short}", f"block_sparse_moe.experts.0.{expert.get(short, '')}")
        experts[moved if short else name] = value
        if short:
            experts[name.replace(f"mlp.{short}", f"mlp.shared_expert.{short}")] = value[::-1]
    for k, changed in enumerate((fused, experts)):
        found = compare(tmp_path / str(k), base, changed)
        assert (found.how, found.layers) == ("units in place", LAYERS)


@pytest.mark.slow
def test_one_layer_taken_over_is_a_share_and_no_more(tmp_path: Path) -> None:
    mixed = llama(2) | {n: t for n, t in llama(1).items() if "layers.3." in n}
    found = compare(tmp_path, llama(1), mixed)
    assert (found.verdict, found.layers) == (WeightsVerdict.SAME, 1)


def test_what_cannot_be_judged_says_why(tmp_path: Path) -> None:
    found = compare(tmp_path, llama(1), llama(2, hidden=HIDDEN * 2), hidden_size=HIDDEN * 2)
    assert found.verdict is WeightsVerdict.NO_JUDGEMENT
    assert "hidden sizes differ" in found.how
    packed = compare(tmp_path / "p", llama(1), llama(1), dtype="F8_E4M3")
    assert packed.verdict is WeightsVerdict.NO_JUDGEMENT
    assert "F8_E4M3" in packed.how


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "nothing")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="pickles"):
        read_checkpoint(tmp_path / "bin")
    folder = write(tmp_path / "cut", llama(1))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4000])
    found = compare_weights(read_checkpoint(folder), read_checkpoint(write(tmp_path / "whole", llama(1))))
    assert "Is the download whole" in found.how
    for garbage in (b"", b"\xff" * 64, (9).to_bytes(8, "little") + b"[1, 2, 3]"):
        file.write_bytes(garbage)
        with pytest.raises(CheckpointError, match="no safetensors file"):
            read_checkpoint(folder)
    head = b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}'
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        read_checkpoint(folder)
    empty = {name: value * np.nan for name, value in llama(1).items()}
    assert "no numbers" in compare(tmp_path / "nan", llama(1), empty).how
    write(tmp_path / "lora", llama(1))
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="merge it"):
        read_checkpoint(tmp_path / "lora")


@pytest.mark.slow
def test_the_command_writes_kin_that_other_commands_read(tmp_path: Path) -> None:
    base = write(tmp_path / "base", llama(1))
    tuned = write(tmp_path / "tuned", noisy(llama(1), 0.3))
    apart = write(tmp_path / "apart", llama(2))
    out = tmp_path / "kin.toml"
    said = [f"qwen2-7b={base}", f"acme-7b={tuned}", f"other={apart}", "--kin-out", str(out)]
    run = RUN.invoke(app, ["identify", "weights", *said])
    assert run.exit_code == 0, run.output
    assert "same weights lineage" in run.output
    assert read_kins([out]) == {
        "qwen2-7b": KinClaim("alibaba", ""), "acme-7b": KinClaim("alibaba", "qwen2-7b")
    }  # fmt: skip
    assert "4 of 4 layers" in out.read_text()
    told = json.loads(RUN.invoke(app, ["identify", "weights", *said[:2], "--json"]).output)
    assert told["kins"] == {"qwen2-7b": ["qwen2-7b", "acme-7b"]}
    assert RUN.invoke(app, ["identify", "weights", str(base)]).exit_code == 2
    assert RUN.invoke(app, ["identify", "weights", str(base), f"base={apart}"]).exit_code == 2
    wide = write(tmp_path / "wide", llama(3, hidden=64), hidden_size=64)
    assert RUN.invoke(app, ["identify", "weights", str(base), str(wide)]).exit_code == 3
    assert WORDS > 2 * HIDDEN


def test_what_only_turned_axes_show_makes_no_kin(tmp_path: Path) -> None:
    base = write(tmp_path / "base", llama(1))
    changed = write(tmp_path / "changed", turned(noisy(reordered(llama(1)), 0.2)))
    out = tmp_path / "kin.toml"
    run = RUN.invoke(app, ["identify", "weights", str(base), str(changed), "--kin-out", str(out)])
    assert "axes turned" in run.output
    assert "[[model]]" not in out.read_text()


def raw(folder: Path, head: object, content: bytes = b"") -> Path:
    """Write a folder whose safetensors file has this header and these bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    (folder / "config.json").write_text('{"hidden_size": 4}')
    return folder


@pytest.mark.parametrize(
    "told",
    [
        {"dtype": "F32", "shape": [-1, 4], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [2, 4], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [2, 4], "data_offsets": [-32, 0]},
        {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32.5]},
        {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 16]},
        {"dtype": "F64", "shape": [2, 4], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": {}, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1]},
        7,
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, told: object) -> None:
    with pytest.raises(CheckpointError, match="no safetensors file"):
        read_checkpoint(raw(tmp_path, {"model.layers.0.mlp.up_proj.weight": told}, bytes(64)))


def test_a_header_costs_no_more_than_its_file(tmp_path: Path) -> None:
    one = {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}
    for head in (b"[" * 100_000, {"a": one, "b": one}):  # nested; two tensors in one place
        with pytest.raises(CheckpointError, match="no safetensors file"):
            read_checkpoint(raw(tmp_path, head, bytes(32)))
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 7 + b"\x7f{}")
    with pytest.raises(CheckpointError, match="header"):
        read_checkpoint(tmp_path)
    many = 1 << 40  # units: 16 TB
    head = {
        f"model.layers.0.mlp.{part}_proj.weight": {
            "dtype": "F32", "shape": shape, "data_offsets": [k * many * 16, (k + 1) * many * 16]
        }
        for k, (part, shape) in enumerate((("up", [many, 4]), ("down", [4, many])))
    }  # fmt: skip
    huge = read_checkpoint(raw(tmp_path, head, bytes(32)))
    assert "Is the download whole" in compare_weights(huge, huge).how
    layers: Tensors = {}
    for k in range(1_001):
        layers |= {
            f"h.{k}.mlp.up_proj.weight": np.ones((1, 1)),
            f"h.{k}.mlp.down_proj.weight": np.ones((1, 1)),
        }
    with pytest.raises(CheckpointError, match="at most 1,000"):
        read_checkpoint(write(tmp_path / "deep", layers, hidden_size=1))


def test_weights_that_no_model_can_have_are_not_judged(tmp_path: Path) -> None:
    good, up = llama(1), "model.layers.1.mlp.up_proj.weight"
    bad = {
        "nan": good[up] * np.nan,
        "inf": good[up] * np.inf,
        "huge": np.full_like(good[up], 3e38),
        "none": good[up][:0],
        "fewer": good[up][:-1],
        "more": np.concatenate([good[up], good[up]]),
    }
    for name, value in bad.items():
        found = compare(tmp_path / name, good | {up: value}, good | {up: value})
        assert found.verdict is WeightsVerdict.NO_JUDGEMENT, name
        assert found.how
        assert np.isfinite([found.z, found.effect]).all()
    flat = {name: np.ones_like(value) for name, value in good.items()}
    assert compare(tmp_path / "flat", flat, flat).verdict is WeightsVerdict.NOT_SHOWN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", '{"hidden_size": 48, "text_config": ["x"]}'),
        ("config.json", '{"hidden_size": 48, "text_config": 7, "model_type": ["gemma"]}'),
        ("tokenizer.json", '{"model": ["x"]}'),
        ("tokenizer.json", '{"model": {"vocab": "abc", "merges": 7}}'),
        ("tokenizer.json", '{"model": {"vocab": [[], [7], "x"], "merges": [7, null, ["a", 1]]}}'),
        ("tokenizer.json", json.dumps({"model": {"vocab": {f"w{k}": -(10**9) for k in range(WORDS)}}})),
        ("tokenizer.json", json.dumps({"model": {"vocab": {f"w{k}": 10**9 for k in range(WORDS)}}})),
    ],
)
def test_files_beside_the_weights_may_hold_anything(tmp_path: Path, file: str, text: str) -> None:
    one = write(tmp_path / "one", llama(1))
    (one / file).write_text(text)
    read = read_checkpoint(one)
    found = compare_weights(read, read_checkpoint(write(tmp_path / "other", llama(2))))
    assert found.verdict is WeightsVerdict.NOT_SHOWN


@pytest.mark.slow
def test_embeddings_of_another_width_fix_no_axes(tmp_path: Path) -> None:
    narrow = {**llama(1), "model.embed_tokens.weight": llama(1)["model.embed_tokens.weight"][:, :7]}
    assert compare(tmp_path, narrow, llama(2)).verdict is WeightsVerdict.NOT_SHOWN


@pytest.mark.slow
def test_a_name_cannot_write_into_the_kin_file(tmp_path: Path) -> None:
    name = 'a\n[[model]]\nname = "gpt-4"\nkin = "mine"\n# \U0001f600\x7f"\\'
    base = write(tmp_path / name, llama(1, layers=1))
    tuned = write(tmp_path / f"{name}b", llama(1, layers=1))
    out = tmp_path / "kin.toml"
    run = RUN.invoke(app, ["identify", "weights", str(base), str(tuned), "--kin-out", str(out)])
    assert run.exit_code == 0, run.output
    assert list(read_kins([out])) == [name, f"{name}b"]
