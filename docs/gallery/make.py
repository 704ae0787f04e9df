"""Makes the gallery: runs every example and writes a page with its words, its figure and its code.

``python docs/gallery/make.py`` (``make docs`` calls it). An example is a file in ``examples/``: its docstring has a
title, an empty line and the words; at its end the name ``figure`` holds a matplotlib figure. Nothing of what is made is
committed.
"""

from __future__ import annotations

import ast
import os
import runpy
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
HERE = Path(__file__).parent
EXAMPLES = sorted((HERE / "examples").glob("*.py"))


def words_of(source: str) -> tuple[str, str, str]:
    """Return title, text and code of an example."""
    text = ast.get_docstring(ast.parse(source)) or ""
    title, _, rest = text.partition("\n\n")
    return title.strip(), rest.strip(), source.split('"""', 2)[2].strip()


def make(example: Path, images: Path) -> str:
    """Run one example, write its figure and its page, and return its card for the front page."""
    import matplotlib.pyplot as plt

    title, text, code = words_of(example.read_text(encoding="utf-8"))
    figure = runpy.run_path(str(example))["figure"]
    figure.savefig(images / f"{example.stem}.png", dpi=80)
    plt.close("all")
    page = f"# {title}\n\n{text}\n\n![{title}](images/{example.stem}.png)\n\n```python\n{code}\n```\n"
    (HERE / f"{example.stem}.md").write_text(page, encoding="utf-8")
    image = f'<img src="images/{example.stem}.png" alt="">'
    return f'<a href="{example.stem}.html">{image}<strong>{title}</strong></a>'


def main() -> None:
    """Make all of it."""
    images = HERE / "images"
    images.mkdir(exist_ok=True)
    cards = [make(example, images) for example in EXAMPLES]
    words = "The code below each figure made it when this site was built. Every example takes a few seconds."
    page = "\n".join(["# Gallery", "", words, "", '<div class="gallery">', *cards, "</div>", ""])
    (HERE / "index.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
