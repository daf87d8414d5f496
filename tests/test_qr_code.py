"""QR codes are those that `segno` makes, an encoder by other people, module for module."""

import hashlib
import re

import pytest

from stillwatch.console.qr_code import qr_modules, svg_path

TEXT = "otpauth://totp/Stillwatch:anna?" * 100
# Of versions 1 to 40: how many bytes fit at level L, and the SHA-256 (its beginning) of the modules that
# segno 1.6.6 gives of so much text: make(TEXT[:n], mode="byte", error="l", boost_error=False, mask=v % 8)
MADE_BY_SEGNO = """
    17 acd43171   32 22a06a35   53 d3fb706d   78 2204e254  106 d0515867  134 f69e5103  154 8999c58b
   192 cb156dea  230 0d83050c  271 1ec738a0  321 aa7a8926  367 0b4e5d72  425 56f38911  458 3a2827c9
   520 32fe97cc  586 72b17ce7  644 2af66ad4  718 cafdec3c  792 42be4c6b  858 7bbb3a1f  929 1f5d6e6b
  1003 ae794b5e 1091 69a7e670 1171 d86751b9 1273 5a0088b5 1367 e6330f07 1465 602eb7bf 1528 def42ec6
  1628 d56e2318 1732 4ec10199 1840 58fb20b0 1952 95cb5daa 2068 95c45158 2188 f05e7442 2303 d425c0e5
  2431 71637476 2563 aed07037 2699 d1fab961 2809 c3d046dc 2953 bfae1f7b
"""
MADE = [(int(n), digest) for n, digest in re.findall(r"(\d+) ([0-9a-f]{8})", MADE_BY_SEGNO)]


def digest_of(modules: list[list[bool]]) -> str:
    return hashlib.sha256("".join("01"[dark] for row in modules for dark in row).encode()).hexdigest()[:8]


@pytest.mark.slow
def test_modules_of_every_version_are_those_of_another_encoder() -> None:
    assert len(MADE) == 40
    for version, (length, digest) in enumerate(MADE, 1):
        modules = qr_modules(TEXT[:length], version % 8)
        assert (len(modules), digest_of(modules)) == (17 + 4 * version, digest), version


def test_a_text_takes_the_smallest_version_that_holds_it_and_one_of_eight_masks() -> None:
    assert [len(qr_modules("x" * length)) for length in (0, 17, 18, 32, 33)] == [21, 21, 25, 25, 29]
    assert qr_modules(TEXT[:40]) in [qr_modules(TEXT[:40], mask) for mask in range(8)]
    with pytest.raises(ValueError, match="2,953 bytes"):
        qr_modules("x" * 2954)


def test_the_drawing_has_the_dark_modules_and_a_margin_of_four() -> None:
    modules = qr_modules("GEZDGNBVGY3TQOJQ")
    drawn = set()
    for x, y, width, back in re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", svg_path(modules)):
        assert width == back
        drawn |= {(int(y) - 4, int(x) - 4 + k) for k in range(int(width))}
    dark = {(i, j) for i, row in enumerate(modules) for j, dark in enumerate(row) if dark}
    assert drawn == dark
