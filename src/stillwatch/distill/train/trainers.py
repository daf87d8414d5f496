"""Returns the trainer for each method, from TRL: what is learned, by which loss."""

import logging
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError
from stillwatch.distill.train import DIVERGENCES, Training
from stillwatch.distill.train.examples import EncodedExamples, pad_batch
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import LoadedModel, context, same_tokens
from stillwatch.distill.train.wording import Wording

LOGGED = 10  # steps between two points of the loss curve


def arguments(settings: Training, folder: Path, cpu: bool) -> dict[str, Any]:
    """Return the arguments of every trainer, as transformers names them."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulate,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "adam_beta2": 0.98,  # short trainings: a memory of 50 steps, not of 1,000
        "max_grad_norm": 1.0,
        "max_steps": settings.steps or -1,
        "num_train_epochs": settings.epochs,
        "logging_steps": LOGGED,
        "save_strategy": "steps" if settings.checkpoint_every else "no",
        "save_steps": settings.checkpoint_every or 1,
        "save_total_limit": 2,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "use_cpu": cpu,
        "bf16": settings.bf16,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "report_to": "none",
        "disable_tqdm": True,
        "max_length": None,  # lengths were checked at tokenization; nothing is truncated here
        "dataloader_pin_memory": not cpu,
    }


def trainer(
    settings: Training,
    student: LoadedModel,
    wording: Wording,
    encoded: EncodedExamples,
    folder: Path,
    cpu: bool,
) -> Any:
    """Build the trainer of a method.

    Raises: DistillError if student and teacher do not fit the method, before anything is trained.
    """
    config = arguments(settings, folder, cpu)
    if settings.method == "text":
        return _text(config, settings, student, encoded)
    from stillwatch.distill.train.models import load

    teacher = load(str(settings.teacher), settings.seed, blank=False, half=settings.bf16)
    if settings.method == "across":
        from stillwatch.distill.train.across import across

        rows = list(encoded.examples)
        return across(config, settings, student, teacher, wording, rows, encoded.longest, adapter(settings))
    return _divergence(config, settings, student, teacher, encoded)


def adapter(settings: Training) -> Any:
    """The LoRA settings, or None if all weights learn."""
    if not settings.lora_rank:
        return None
    need("peft")
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def dataset(encoded: EncodedExamples) -> Any:
    """Return the examples as TRL takes tokens; a prompt's tokens carry the label that is not learnt."""
    need("datasets")
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return Dataset.from_list(
        [
            {
                "input_ids": [*row.prompt, *row.completion],
                "labels": [-100] * len(row.prompt) + list(row.completion),
            }
            for row in encoded.rows
        ]
    )


def _text(config: dict[str, Any], settings: Training, student: LoadedModel, encoded: EncodedExamples) -> Any:
    need("trl")
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=student.model,
        args=SFTConfig(**config),
        train_dataset=dataset(encoded),
        processing_class=student.tokenizer,
        peft_config=adapter(settings),
    )


def _divergence(
    config: dict[str, Any],
    settings: Training,
    student: LoadedModel,
    teacher: LoadedModel,
    encoded: EncodedExamples,
) -> Any:
    torch = need("torch")
    need("trl")
    logging.getLogger("trl").setLevel(logging.ERROR)  # it recommends a newer trainer
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    differ = same_tokens(student.tokenizer, teacher.tokenizer)
    if differ:
        raise DistillError(
            f"the tokenizers of student and teacher are not the same ({differ}), so that their distributions "
            'over tokens cannot be compared: take method = "text", or method = "across", which maps one '
            "vocabulary to the other"
        )
    has, wants = student.model.config.vocab_size, teacher.model.config.vocab_size
    if has < wants:  # the same tokens, but the teacher's table is padded to a rounder number
        student.model.resize_token_embeddings(wants, mean_resizing=False)
    elif has > wants:
        raise DistillError(
            f"the student has {has:,} rows for the same tokens, the teacher {wants:,}: it says nothing "
            'of the rest. Shrink the student with resize_token_embeddings, or take method = "text"'
        )
    padding = student.tokenizer.pad_token_id
    on_policy = settings.method == "on-policy"
    longest = settings.new_tokens
    if on_policy:
        longest_prompt = max(len(row.prompt) for row in encoded.rows)
        rooms = [room - longest_prompt for side in (student, teacher) if (room := context(side.model))]
        longest = min([longest, *rooms])
        if longest < 1:
            raise DistillError(
                f"the longest prompt has {longest_prompt:,} tokens and leaves student or teacher no room to "
                'write: set [train] max_length and too_long = "drop"'
            )

    class Trainer(GKDTrainer):  # type: ignore[misc]
        @staticmethod
        def generate_on_policy_outputs(model: Any, inputs: Any, generation_config: Any) -> Any:
            ids, mask, labels = GKDTrainer.generate_on_policy_outputs(model, inputs, generation_config)
            return left_aligned(ids, mask, labels, inputs["prompt_attention_mask"])

    return Trainer(
        model=student.model,
        teacher_model=teacher.model,
        args=GKDConfig(
            **config,
            beta=DIVERGENCES[settings.divergence],
            lmbda=settings.on_policy_share if on_policy else 0.0,
            temperature=settings.temperature,
            max_new_tokens=longest,
        ),
        data_collator=lambda rows: pad_batch(torch, rows, padding),
        train_dataset=dataset(encoded),
        processing_class=student.tokenizer,
        peft_config=adapter(settings),
    )


def left_aligned(ids: Any, mask: Any, labels: Any, prompt_mask: Any) -> tuple[Any, Any, Any]:
    """Move padding of prompts from the left, for generation, to the right, for training. (batch, length)
    each.

    TRL leaves it on the left and gives no positions. A model with absolute positions (GPT-2) would then learn
    texts from position 9 on that it wrote from 0.
    """
    torch = need("torch")
    empty = (prompt_mask == 0).sum(dim=1, keepdim=True)
    places = (torch.arange(ids.shape[1], device=ids.device) + empty) % ids.shape[1]
    return ids.gather(1, places), mask.gather(1, places), labels.gather(1, places)
