"""Build the kernels when the package is built: the wheel then fits one platform, and needs no compiler.

Where no C compiler is at hand, the build asks for PyPI's `ziglang`, which brings one.
"""

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "src/stillwatch/compiled_code"


class KernelsBuildHook(BuildHookInterface):
    """Builds the library beside its sources, and packs it."""

    def dependencies(self) -> list[str]:
        return [] if self._builder()["compiler"]() else ["ziglang>=0.14"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root, PLACE)
        name = self._builder()["library_name"]()
        if not (folder / name).exists():
            self._builder()["build"](folder)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["artifacts"].append(f"{PLACE}/{name}")

    def _builder(self) -> dict[str, Any]:
        """What build.py defines: the package itself cannot be imported before it is built."""
        return runpy.run_path(str(Path(self.root, PLACE, "build.py")))
