"""The table: one line per comparison, with the ratio that the target is about."""

from __future__ import annotations

from dataclasses import dataclass

HEADINGS = ("row", "work", "vidfs", "compared with", "ratio", "target", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One comparison. *ratio* is built so that more is better unless *limit* is a ceiling."""

    row: int
    work: str
    vidfs: str
    other: str
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"

    @property
    def met(self) -> bool | None:
        if self.ratio is None or (self.at_least is None and self.at_most is None):
            return None
        above = self.at_least is None or self.ratio >= self.at_least
        below = self.at_most is None or self.ratio <= self.at_most
        return above and below

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}{self._unit()}"
        target = ""
        if self.at_least is not None:
            target = f"≥ {self.at_least:g}{self._unit()}"
        elif self.at_most is not None:
            target = f"≤ {self.at_most:g}{self._unit()}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return (str(self.row), self.work, self.vidfs, self.other, ratio, target, verdict)

    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


def plain_table(lines: list[Line]) -> str:
    rows = [HEADINGS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    text.insert(1, "  ".join("─" * width for width in widths).rstrip())
    return "\n".join(text)


def markdown_table(lines: list[Line]) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
