"""Trains the student of a run, and resumes a killed training."""

import copy
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.rows import read_json, write_json
from stillwatch.distill.train import LossPoint, Training, TrainingResult
from stillwatch.distill.train.card import write_card
from stillwatch.distill.train.checkpoints import cost_so_far, latest
from stillwatch.distill.train.examples import choose_examples, encode
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.memory import keep_freed
from stillwatch.distill.train.watch import TrainingMeter, callback
from stillwatch.errors import StillwatchError, refuse_os_errors

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class StudentFolder:
    """The folder of one student of a run: `samples` 0 is the one on all examples, others are the curve's."""

    run: DistillRun
    samples: int

    @property
    def folder(self) -> Path:
        return self.run.path / "curve" / str(self.samples) if self.samples else self.run.path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def report_file(self) -> Path:
        return self.folder / "training.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


def train(path: Path, settings: Training, say: Say) -> TrainingResult:
    """Train the student of a run, after the smaller ones of its curve.

    A finished student with the same examples and settings is kept.
    Raises: DistillError.
    """
    need("torch")
    run = DistillRun(path)
    with lock_training(path):
        for samples in (*settings.curve, 0):
            _prepare(StudentFolder(run, samples), settings)
        if settings.processes > 1 or settings.accelerate_config:
            from stillwatch.distill.train.launch import launch

            return launch(run, settings, say)
        return train_here(run, settings, say)


@contextmanager
def lock_training(path: Path) -> Iterator[None]:
    """Keep a second training out of a run's folder. Raises: DistillError if one is at work."""
    with refuse_os_errors(DistillError, f"{path}: cannot be written"):
        lock = (path / "train.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            raise DistillError(f"{path}: another training is at work here") from why
        yield


def train_here(run: DistillRun, settings: Training, say: Say) -> TrainingResult:
    """Train in this process, which may be one of several that accelerate started."""
    trained = None
    for samples in (*settings.curve, 0):
        trained = _student(StudentFolder(run, samples), settings, say)
    assert trained is not None  # the curve ends with the student on all examples
    return trained


def read_training(path: Path) -> TrainingResult:
    """Read a training.json. Raises: InputError, DistillError."""
    document = read_json(path)
    try:
        document["loss"] = tuple(LossPoint(**point) for point in document["loss"])
        document |= {"model": Path(document["model"])}
        document |= {name: tuple(document[name]) for name in ("resumed_at", "curve", "notes")}
        return TrainingResult(**document)
    except (KeyError, TypeError) as why:
        raise DistillError(f"{path}: is no training.json of this version: {why}; train again") from why


def fingerprint(settings: Training, rows: list[Any]) -> str:
    """Return a hash of what a student depends on: the relevant settings and every example, in order."""
    inert = {"curve", "checkpoint_every", "device", "usd_per_hour"}
    plain = {k: v for k, v in dataclasses.asdict(settings).items() if k not in inert}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for row in rows:
        digest.update(json.dumps([row.prompt, row.reasoning, row.answer], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _prepare(place: StudentFolder, settings: Training) -> None:
    """Create the folder for a student's checkpoints; drop those of other examples or settings."""
    print_of = fingerprint(settings, choose_examples(place.run.curated_file, place.samples, settings.seed))
    if _standing(place, print_of):
        return
    begun = place.checkpoints / "begun.json"
    with refuse_os_errors(DistillError, f"{place.checkpoints}: cannot be written"):
        if begun.exists() and read_json(begun).get("fingerprint") != print_of:
            shutil.rmtree(place.checkpoints)
        place.checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(begun, {"fingerprint": print_of})


def _standing(place: StudentFolder, print_of: str) -> TrainingResult | None:
    """Return the finished student, if it has the same examples and settings."""
    if not (place.report_file.exists() and place.model.is_dir()):
        return None
    try:
        result = read_training(place.report_file)
    except StillwatchError:  # of another version, or damaged: train again
        return None
    return result if result.fingerprint == print_of else None


def _student(place: StudentFolder, settings: Training, say: Say) -> TrainingResult:
    rows = choose_examples(place.run.curated_file, place.samples, settings.seed)
    print_of = fingerprint(settings, rows)
    earlier = _standing(place, print_of)
    if earlier:
        say(f"{place.model}: stands, trained on the same examples with the same settings")
        if earlier.curve != settings.curve and int(os.environ.get("RANK", "0")) == 0:
            earlier = dataclasses.replace(earlier, curve=settings.curve)
            _tell(place, earlier)
        return earlier
    try:
        return _fit(place, settings, rows, print_of, say)
    except Exception as why:
        if not is_write_error(why):
            raise
        raise DistillError(
            f"{place.folder}: cannot be written: {why}; whole checkpoints stay, and the same command goes on "
            "from the last of them"
        ) from why


def is_write_error(why: Exception) -> bool:
    """Return whether an error means that a file could not be written: each library reports it differently."""
    # torch: "PytorchStreamWriter", "file write"
    own = {"SafetensorError": "I/O error", "RuntimeError": "writ"}
    return isinstance(why, OSError) or own.get(type(why).__name__, "\0") in str(why)


def _fit(
    place: StudentFolder, settings: Training, rows: list[Any], print_of: str, say: Say
) -> TrainingResult:
    from stillwatch.distill.train.models import context, load
    from stillwatch.distill.train.trainers import trainer
    from stillwatch.distill.train.wording import wording

    torch = need("torch")
    cpu = on_cpu(settings)
    if cpu:
        keep_freed()
    say(f"{settings.student} is loaded, to learn from {len(rows):,} examples")
    student = load(settings.student, settings.seed, half=_half(settings))
    words = wording(student.model, student.tokenizer)
    encoded = encode(rows, words, settings, context(student.model))
    for reason, count in encoded.left_out.items():
        say(f"left out: {count:,} examples, {reason}")
    notes = (*words.notes, *_warn_unseen(settings, len(encoded.rows)))
    for note in notes:
        say(f"note: {note}")
    as_it_came = copy.deepcopy(student.tokenizer)  # a trainer modifies it
    hf_trainer = trainer(settings, student, words, encoded, place.checkpoints, cpu)
    checkpoint = latest(place.checkpoints)
    before = cost_so_far(checkpoint) if checkpoint else (0.0, 0.0, ())
    resumed = before[2] if checkpoint is None else (*before[2], int(checkpoint.name.rpartition("-")[2]))
    if checkpoint:
        say(f"going on from step {resumed[-1]:,}")
    watch = TrainingMeter(before[0], before[1], resumed, say)
    hf_trainer.remove_callback(need("transformers").PrinterCallback)
    hf_trainer.add_callback(callback(watch))
    weights = sum(p.numel() for p in hf_trainer.model.parameters())
    learning = sum(p.numel() for p in hf_trainer.model.parameters() if p.requires_grad)
    try:
        result = hf_trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.cuda.OutOfMemoryError as why:
        raise DistillError(
            f"the GPU's memory is full: halve [train] batch (now {settings.batch}) and double accumulate, or "
            "set lora_rank or gradient_checkpointing"
        ) from why
    if result.training_loss != result.training_loss:
        raise DistillError("the loss is not a number any more: lower [train] learning_rate")
    trained = TrainingResult(
        model=place.model,
        fingerprint=print_of,
        student=settings.student,
        method=settings.method,
        learn=settings.learn,
        seed=settings.seed,
        examples=len(encoded.rows),
        left_out=encoded.left_out,
        learnt_tokens=encoded.learnt_tokens,
        parameters=weights,
        trained_parameters=learning,
        steps=hf_trainer.state.global_step,
        cpu_s=round(watch.cpu_s, 1),
        wall_s=round(watch.wall_s, 1),
        usd_per_hour=settings.usd_per_hour,
        device="cpu" if cpu else torch.cuda.get_device_name(),
        resumed_at=resumed,
        curve=settings.curve,
        notes=notes,
        loss=tuple(
            LossPoint(int(entry["step"]), float(entry["loss"]))
            for entry in hf_trainer.state.log_history
            if "loss" in entry
        ),
    )
    making = place.folder / ".model-making"
    if hf_trainer.is_world_process_zero():
        shutil.rmtree(making, ignore_errors=True)
    hf_trainer.accelerator.wait_for_everyone()
    # sharded weights: saved by all processes together
    hf_trainer.save_model(str(making / "adapter" if settings.lora_rank else making))
    if hf_trainer.is_world_process_zero():
        _keep(place, making, settings, trained, as_it_came)
    hf_trainer.accelerator.wait_for_everyone()
    return trained


def _warn_unseen(settings: Training, examples: int) -> tuple[str, ...]:
    """Warn if the steps end before every example was used: all of them were paid for."""
    examples_seen = settings.steps * settings.batch * settings.accumulate * settings.processes
    if not 0 < examples_seen < examples:
        return ()
    return (
        f"{settings.steps:,} steps look at {examples_seen:,} of the {examples:,} examples: the rest taught "
        "nothing",
    )


def _keep(
    place: StudentFolder, making: Path, settings: Training, trained: TrainingResult, tokenizer: Any
) -> None:
    """Move the finished student into its place, record that it is finished, then drop the checkpoints."""
    if settings.lora_rank:  # the merged student, with the adapter beside it
        from stillwatch.distill.train.models import load

        peft = need("peft")
        before = load(settings.student, settings.seed, half=_half(settings))
        adapted = peft.PeftModel.from_pretrained(before.model, str(making / "adapter"))
        adapted.merge_and_unload().save_pretrained(str(making))
    tokenizer.save_pretrained(str(making))
    write_card(making, place.run, trained)
    shutil.rmtree(place.model, ignore_errors=True)
    making.rename(place.model)
    _tell(place, trained)
    shutil.rmtree(place.checkpoints, ignore_errors=True)


def _tell(place: StudentFolder, trained: TrainingResult) -> None:
    write_json(place.report_file, json.loads(json.dumps(dataclasses.asdict(trained), default=str)))


def _half(settings: Training) -> bool:
    """Return whether frozen weights can be kept in bfloat16; trained ones cannot."""
    return settings.bf16 and settings.lora_rank > 0


def on_cpu(settings: Training) -> bool:
    """Return whether to train on the CPU. Raises: DistillError if a GPU is asked for and there is none."""
    torch = need("torch")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise DistillError(
            '[train] device is "cuda", but this PyTorch sees no GPU; "auto" takes what there is'
        )
    return settings.device == "cpu" or not torch.cuda.is_available()
