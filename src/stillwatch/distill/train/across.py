"""Distillation across tokenizers: TRL's GOLD maps the teacher's distribution to the student's tokens.

Both tokenizers must be byte-level BPE, as those of GPT-2, Llama 3, Qwen and SmolLM are; others are refused
with the reason, before training.

Blind to: the teacher sees the prompt in the student's chat template, with which it was not trained; the more
similar the templates, the better its distribution.
Source: Boizard et al. 2024, arXiv:2402.12030 (ULD); TRL 1.16, experimental/gold (aligned by bytes).
"""

import json
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, Example
from stillwatch.distill.train import DIVERGENCES, Training
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import LoadedModel, context
from stillwatch.distill.train.wording import Wording


def across(
    arguments: dict[str, Any],
    settings: Training,
    student: LoadedModel,
    teacher: LoadedModel,
    words: Wording,
    rows: list[Example],
    longest: int,
    peft_config: Any,
) -> Any:
    """Build the trainer. `rows` are the examples as text, `longest` the tokens of the longest.

    Raises: DistillError for a tokenizer whose tokens cannot be aligned.
    """
    for model in (student, teacher):
        kind = not_byte_level(model.tokenizer)
        if kind:
            raise DistillError(
                f"{model.place}: its tokenizer is {kind}; across tokenizers works for byte-level BPE only "
                "(GPT-2, Llama 3, Qwen, SmolLM), because tokens are aligned by their bytes. Take "
                'method = "text", which needs no common tokens'
            )
    texts = [
        {
            "prompt": words.asked_text(row.prompt),
            "completion": words.said_text(
                row.prompt, row.reasoning if settings.learn == "traces" else None, row.answer
            ),
        }
        for row in rows
    ]
    _fits(teacher, texts)
    need("datasets")
    need("trl")
    from datasets import Dataset
    from trl.experimental.gold import GOLDConfig, GOLDTrainer

    folder = Path(arguments["output_dir"]) / "teacher-tokenizer"  # GOLD takes a name, not a tokenizer
    teacher.tokenizer.save_pretrained(str(folder))
    return GOLDTrainer(
        model=student.model,
        teacher_model=teacher.model,
        args=GOLDConfig(
            **arguments
            | {
                "max_length": longest + 8,  # lengths were checked: none exceeds this
                "use_uld_loss": True,
                "teacher_tokenizer_name_or_path": str(folder),
                "lmbda": 0.0,
                "beta": DIVERGENCES[settings.divergence],
                "max_completion_length": settings.new_tokens,
                "uld_crossentropy_weight": 1.0,  # without it the student does not learn to stop
            }
        ),
        train_dataset=Dataset.from_list(texts),
        processing_class=student.tokenizer,
        peft_config=peft_config,
    )


def not_byte_level(tokenizer: Any) -> str | None:
    """Return the kind of a tokenizer that is not byte-level BPE; None if it is."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "one without offsets (a slow one)"
    document = json.loads(backend.to_str())
    kind = str(document["model"].get("type"))
    if kind != "BPE":
        return kind
    return (
        None
        if "ByteLevel" in json.dumps([document["pre_tokenizer"], document["decoder"]])
        else "BPE over characters"
    )


def _fits(teacher: LoadedModel, texts: list[dict[str, str]]) -> None:
    room = context(teacher.model)
    if not room:
        return
    lengths = [len(teacher.tokenizer(t["prompt"] + t["completion"]).input_ids) + 1 for t in texts]
    over = sum(length > room for length in lengths)
    if over:
        raise DistillError(
            f"{over:,} of {len(texts):,} examples are longer than the {room:,} tokens that the teacher can "
            f"read (the longest has {max(lengths):,}): leave them out with [train] max_length"
        )
