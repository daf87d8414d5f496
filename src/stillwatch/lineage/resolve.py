"""A model name -> `Resolved`. First cut."""

from stillwatch.lineage import Relation, Resolved
from stillwatch.lineage.skeleton import skeleton


def resolve(name: str) -> Resolved:
    """Say which family a model name belongs to, and how it came from it."""
    bones = skeleton(name)
    if "deepseek" in bones and "deepseeker" not in bones:
        if "distill" in bones:
            family = "qwen" if "qwen" in bones else "llama"
            return Resolved(name, bones, family, Relation.DISTILLED, "deepseek-r1-distill", ("deepseek",))
        return Resolved(name, bones, "deepseek", Relation.SAME, "deepseek", (), "DeepSeek")
    for family in ("qwen", "llama", "mistral", "claude", "gemini", "gpt"):
        if family in bones:
            return Resolved(name, bones, family, Relation.SAME, family)
    return Resolved(name, bones, None, Relation.UNKNOWN, evidence="no entry of the table is in this name")
