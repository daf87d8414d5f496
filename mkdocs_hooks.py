"""Make pages of README and its kin, and plain text of links that lead out of the site.

GitHub reads lists and tables that follow a paragraph without a blank line. Python-Markdown does not, so the
line is added. The Python reference is made of the docstrings of what `import stillwatch` gives, without
importing it: the site's builder has none of its dependencies.
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PAGES = {  # in the repository's root: the name in the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "CODE_OF_CONDUCT.md": "CODE_OF_CONDUCT.md",
    "LICENSE": "LICENSE.md",
    "sample/README.md": "sample.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^\s*```")
BLOCK = re.compile(r"^(?:[-*] |\d+\. |\|)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/, and the reference."""
    from mkdocs.structure.files import File  # not at the top: the tests read this module without mkdocs

    files.append(File.generated(config, "python-reference.md", content=reference()))
    for source, name in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        if name == "LICENSE.md":
            text = f"# Licence\n\n```\n{text}\n```\n"
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links into the site's own, and separate blocks."""
    sources = {name: source for source, name in PAGES.items()}
    here = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        if ":" in target or target.startswith("#"):
            return match.group()
        path, _, anchor = target.partition("#")
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        inside = PAGES.get(whole, whole.removeprefix("docs/"))
        if whole not in PAGES and (not whole.startswith("docs/") or files.get_file_from_path(inside) is None):
            return str(text) if (ROOT / whole).exists() else match.group()
        way = posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        return f"{picture}[{text}]({way}{'#' + anchor if anchor else ''})"

    lines: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            line = LINK.sub(link, line)
            before = lines[-1] if lines else ""
            inside = BLOCK.match(before) or before.startswith("  ")
            if BLOCK.match(line) and before.strip() and not inside:
                lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


# --- the Python reference --------------------------------------------------------------------------------

REFERENCE_HEAD = """# Python reference

What `import stillwatch` gives, from its docstrings. [How to use it](python.md), with examples.
Every error that these raise is a `StillwatchError`; `InputError` is the one for input that cannot be used.

`Path` is a text or an `os.PathLike`. `Table` is what hands itself over as Arrow. `Log` is either, or several.
"""


def reference() -> str:
    """Give the reference as a page."""
    init = ast.parse((ROOT / "src/stillwatch/__init__.pyi").read_text("utf-8"))
    parts, public = [REFERENCE_HEAD], {}
    for node in ast.walk(init):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stillwatch."):
            module = ROOT / "src" / Path(*node.module.split("."))
            source = (
                module.with_suffix(".py") if module.with_suffix(".py").exists() else module / "__init__.py"
            )
            tree = ast.parse(source.read_text("utf-8"))
            for alias in node.names:
                public[alias.name] = alias.asname or alias.name
                found = next(one for one in tree.body if getattr(one, "name", None) == alias.name)
                parts += _described(found, alias.asname or alias.name, source.relative_to(ROOT).as_posix())
    page = "\n".join(parts)
    for name, shown in public.items():
        page = re.sub(rf"\b{name}\b", shown, page)
    return page


def _described(node: Any, name: str, source: str) -> Iterator[str]:
    yield f"## {name}\n"
    if isinstance(node, ast.FunctionDef):
        yield from (_signature(node, name), _markdown(ast.get_docstring(node) or ""))
    else:
        begin = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
        if begin is not None and ast.get_docstring(begin):
            yield _signature(begin, name)
        yield _markdown(ast.get_docstring(node) or "")
        if begin is not None:
            yield _markdown(ast.get_docstring(begin) or "")
        yield from _fields(node, name, (ROOT / source).read_text("utf-8").splitlines())
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and not one.name.startswith("_") and ast.get_docstring(one):
                yield f"### {name}.{one.name}\n"
                if not any(ast.unparse(mark) == "property" for mark in one.decorator_list):
                    yield _signature(one, one.name)
                yield _markdown(ast.get_docstring(one) or "")
    yield f"Source: `{source}`\n"


def _fields(node: ast.ClassDef, name: str, lines: list[str]) -> Iterator[str]:
    """The fields of a data class, each with the comment on its line. Settings has its table in python.md."""
    rows = []
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            _, _, comment = lines[one.lineno - 1].partition("  # ")
            rows.append(f"| `{one.target.id}` | `{ast.unparse(one.annotation)}` | {comment} |")
    if rows and name != "Settings":
        yield "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"
    if name == "Settings":
        yield "Fields: [the table of settings](python.md#settings).\n"


def _signature(node: ast.FunctionDef, name: str) -> str:
    """A call as it may be written, one argument a line where they are many."""
    args = node.args
    given = [one for one in args.args if one.arg not in ("self", "cls")]
    defaults = [None] * (len(given) - len(args.defaults)) + list(args.defaults)
    words = [_argument(one, value) for one, value in zip(given, defaults, strict=True)]
    if args.kwonlyargs:
        words += ["*"]
        words += [_argument(o, v) for o, v in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    back = f" -> {ast.unparse(node.returns)}" if node.returns and name[0].islower() else ""
    line = f"{name}({', '.join(words)}){back}"
    if len(line) > 90:
        line = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){back}"
    return f"```python\n{line}\n```\n"


def _argument(one: ast.arg, default: Any) -> str:
    kind = f": {ast.unparse(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{kind}{f' = {ast.unparse(default)}' if default is not None else ''}"


def _markdown(docstring: str) -> str:
    """A docstring with its arguments as a list and its doctests as code."""
    text = docstring.replace("\n\nArguments:\n", "\n\n**Arguments**\n\n")
    text = re.sub(r"^    ([a-z_]+(?:, [a-z_]+)*): ", r"- `\1`: ", text, flags=re.M)
    text = re.sub(r"\n {8}(?=\S)", "\n  ", text)
    text = re.sub(r"((?:^>>> .*\n?)(?:^(?!\n).*\n?)*)", r"```python\n\1\n```\n", text, flags=re.M)
    return re.sub(r"^(Raises|Returns|Columns): ", r"**\1**: ", text, flags=re.M) + "\n"
