"""Mathematics as MathML, which browsers draw themselves, without a script.

Browsers need a font for mathematics, and many machines have none. The site brings STIX Two Math (SIL Open Font License
1.1), cut down to Latin, Greek and operators. The package ziamath has it.
"""

import re
from pathlib import Path
from typing import Any

import ziamath
from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert

FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
TEXT = [range(0x20, 0x180), range(0x370, 0x400), range(0x2010, 0x2070)]  # Latin, Greek, punctuation
SYMBOLS = [range(0x2100, 0x2150), range(0x2190, 0x2300), range(0x27E0, 0x27F0)]  # letterlike, arrows and operators
ITALIC = [range(0x1D434, 0x1D470), range(0x1D6FC, 0x1D717)]


BAR = '<mo stretchy="false">&#x0007C;</mo>'
NAMED = r"(<mi>(?:log|exp|sin|cos|max|min)</mi>)"
THIN = '<mspace width="0.167em" />'
SIGN = re.compile(r"(<mo[^>]*>&#x000(?:3D|28|2C|3C|3E);</mo>)<mo>(&#x02212;|&#x0002B;)</mo>")  # behind = ( , < >


def mathml(latex: str, display: str = "inline") -> str:
    """LaTeX as MathML, spaced as TeX does: |x| and a sign are close to x, a function's name isn't."""
    text = convert(latex, display=display).replace(BAR, '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>')
    text = re.sub(rf"(</m(?:i|n|sub|sup|frac)>){NAMED}", rf"\1{THIN}\2", text)
    text = re.sub(rf"{NAMED}(?=<m(?!o|space))", rf"\1{THIN}", text)
    return SIGN.sub(r'\1<mo form="prefix">\2</mo>', text)


def inline(self: Any, node: nodes.Element) -> None:
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def write_font(app: Any, exception: Exception | None) -> None:
    font, options = TTFont(FONT), subset.Options(layout_features=["*"], name_IDs=["*"], flavor="woff")
    cut = subset.Subsetter(options)
    cut.populate(unicodes=[code for part in TEXT + SYMBOLS + ITALIC for code in part])
    cut.subset(font)
    subset.save_font(font, str(Path(app.outdir) / "_static" / "math.woff"), options)


def setup(app: Any) -> dict:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
