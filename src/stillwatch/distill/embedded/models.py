"""The clock's tokenizer, its teacher and its student before any training. Needs the extra `train`.

Sizes and recipe are measured: docs/distill-training.md.
"""

from typing import Any

from stillwatch.distill.embedded.clock import VOCABULARY
from stillwatch.distill.train.extra import need

LENGTH = 96  # tokens; the longest problem with its steps has 52
# One turn each, as the base models of the field write it: question, answer, end.
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}<bos>{{ m.content }}"
    "{% elif m.role == 'assistant' %}{% generation %} {{ m.content }}<eos>{% endgeneration %}"
    "{% endif %}{% endfor %}"
)


def tokenizer() -> Any:
    """The clock's words, one token each."""
    tokenizers = need("tokenizers")
    need("transformers")
    from transformers import PreTrainedTokenizerFast

    level = tokenizers.models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<pad>")
    words = tokenizers.Tokenizer(level)
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<pad>",  # for words outside the clock's vocabulary
        model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def blank(width: int, layers: int, heads: int, seed: int) -> Any:
    """Return a GPT-2 of this size with random weights, the same for the same seed."""
    torch = need("torch")
    need("transformers")
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=len(VOCABULARY),
        n_positions=LENGTH,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # gelu_new as one kernel: a quarter less CPU
        bos_token_id=VOCABULARY.index("<bos>"),
        eos_token_id=VOCABULARY.index("<eos>"),
        pad_token_id=VOCABULARY.index("<pad>"),
    )
    torch.manual_seed(seed)
    return GPT2LMHeadModel(shape)


def blank_teacher(seed: int) -> Any:
    """Return the untrained teacher: 348 thousand parameters."""
    return blank(96, 3, 4, seed)


def blank_student(seed: int) -> Any:
    """Return the untrained student: 63 thousand parameters."""
    return blank(48, 2, 2, seed)
