"""Make pages of README and its kin, and plain text of links that lead out of the site.

GitHub reads lists and tables that follow a paragraph without a blank line. Python-Markdown does not, so the
line is added. It knows nothing of what the pages say.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

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
    """Add the pages that lie outside docs/."""
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
