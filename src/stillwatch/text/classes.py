"""Lexical classes: what a request asks for, by a short list of phrases matched in linear time.

A class is a hint, never proof: the client chooses its words, and other languages or paraphrases are missed.
Phrases are generic English for what published campaigns were reported to ask; none is taken from a test
scene. Reported by: Anthropic, "Detecting and preventing distillation attacks" (2026-02-23), for grading and
trace reconstruction; Google GTIG (2026-02) for coerced reasoning; OWASP LLM07 for leaks.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LexicalClass:
    name: str
    bit: int
    needs: int  # different phrases that must occur
    phrases: tuple[str, ...]  # one to four words each


CLASSES: tuple[LexicalClass, ...] = (
    LexicalClass("trace_elicitation", 0, 1, (
        "chain of thought", "internal reasoning", "reasoning trace", "reasoning process", "thought process",
        "thinking process", "inner monologue", "reasoning that led", "reasoning behind",
        "articulate the reasoning", "reconstruct the reasoning", "every reasoning step",
        "step by step reasoning", "show every step", "show all steps", "tell all steps", "think aloud",
        "reason out loud", "every inference", "every intermediate", "each intermediate",
        "detailed reasoning", "full reasoning", "full derivation", "long reasoning",
    )),
    LexicalClass("rubric_grading", 1, 2, (
        "rubric", "on a scale", "scale of", "score the", "rate the", "rating", "ratings", "scoring",
        "grade the", "helpfulness", "instruction following", "truthfulness", "preferred response",
        "response a", "response b", "assistant a", "assistant b", "evaluate the quality",
        "quality assessment", "which response", "better response", "justify your rating", "rationale for",
    )),
    LexicalClass("hidden_prompt_extraction", 2, 1, (
        "system prompt", "system message", "hidden thoughts", "hidden reasoning", "hidden instructions",
        "developer mode", "debugging session", "unfiltered trace", "working memory",
        "ignore previous instructions", "ignore all previous", "prior thoughts",
    )),
    LexicalClass("task_generation", 3, 1, (
        "task instructions", "diverse instructions", "diverse task", "new instructions", "new prompts",
        "generate instructions", "generate questions", "new examples", "similar examples",
        "create a problem", "math problem related", "guess a prompt", "question answer pairs",
        "synthetic data", "training data", "training examples", "following persona", "persona described",
    )),
    LexicalClass("machine_wrapper", 4, 1, (
        "between think and", "think and think", "answer tags", "reasoning tags", "final answer", "boxed",
        "return json", "json object", "valid json", "inside tags",
    )),
    LexicalClass("roleplay", 5, 1, (
        "imagine you", "pretend you", "roleplay", "role play", "act as", "take on the role", "you are a",
    )),
)  # fmt: skip
