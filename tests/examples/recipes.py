"""The changes that a how-to page makes, applied to a copy of the tree."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def apply(page: str, tree: Path) -> list[str]:
    """Make the changes of a page's `diff` blocks in a copy of the tree; gives the paths that were touched.

    A block has `+++ PATH`, then parts that begin with `@@` (a new file has none); what a part removes and keeps must be
    in the file exactly once.
    """
    touched = []
    for block in blocks(page, "diff"):
        head, *parts = block.split("@@\n")
        name, _, whole = head.removeprefix("+++ ").partition("\n")
        path = tree / name
        touched.append(name)
        if not parts:
            path.write_text("".join(line[1:] for line in whole.splitlines(keepends=True)), encoding="utf-8")
        for part in parts:
            lines = part.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in "- ").rstrip("\n")
            after = "".join(line[1:] for line in lines if line[0] in "+ ").rstrip("\n")
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{page} changes what {name} does not hold once:\n{before}"
            path.write_text(text.replace(before, after), encoding="utf-8")
    return touched


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a how-to page in one language, which stand in numbered lists, without their indent."""
    text = (ROOT / "docs/how-to" / page).read_text(encoding="utf-8")
    parts = text.split(f"   ```{language}\n")[1:]
    return ["".join(line[len("   ") :] or "\n" for line in _code(part)) for part in parts]


def _code(part: str) -> list[str]:
    return part[: part.index("   ```\n")].splitlines(keepends=True)
