"""Tiny untrained language models, for tests of training. Needs the extra `train`."""

from collections.abc import Iterable
from pathlib import Path


def blank_byte_model(folder: Path, texts: Iterable[str], vocabulary: int) -> str:
    """Save a GPT-2 of one layer that can read any text, with its own tokenizer; return the folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>")
    fast.save_pretrained(folder)
    shape = GPT2Config(
        vocab_size=len(fast), n_positions=256, n_embd=32, n_layer=1, n_head=2, eos_token_id=1, bos_token_id=1
    )
    GPT2LMHeadModel(shape).save_pretrained(folder)
    return str(folder)
