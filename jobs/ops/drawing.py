"""A small layered drawing of boxes and arrows as SVG: what comes later stands lower."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Fill, border and text of each kind of box.
COLOURS = {
    "job": ("#1f2d3d", "#1f2d3d", "#ffffff"),
    "table": ("#ffffff", "#5b6b7b", "#1f2d3d"),
    "raw": ("#e3eefb", "#2f6fb0", "#1f2d3d"),
    "model": ("#fff4d6", "#b7862b", "#1f2d3d"),
    "shown": ("#dff3e4", "#2f8f4e", "#1f2d3d"),
}
_LETTER, _LINE, _PAD, _GAP, _BETWEEN, _MARGIN = 6.6, 16, 8, 18, 38, 16  # pixels
_WRAP = 34  # letters


@dataclass(frozen=True)
class Box:
    """A node; `kind` is one of COLOURS."""

    label: str
    kind: str

    @property
    def lines(self) -> list[str]:
        return textwrap.wrap(self.label, _WRAP) or [""]

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * _LETTER + 2 * _PAD

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + _PAD


def layers(edges: Sequence[tuple[str, str]], order: Sequence[str]) -> dict[str, int]:
    """How far from the top each box stands.

    Args:
        order: the jobs as they began; an arrow from a later job back to an earlier one moves neither.
    """
    depth: dict[str, int] = {}
    for job in order:
        depth[job] = max((depth[above] + 1 for above, below in edges if below == job and above in depth), default=1)
        for above, below in edges:
            if above == job:
                depth.setdefault(below, depth[job] + 1)
    for above, _ in edges:
        depth.setdefault(above, 0)  # nobody wrote it that night
    return depth


def _rows(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]], depth: Mapping[str, int]) -> list[list[str]]:
    """Boxes by layer, each near the middle of those above and below it that it has to do with."""
    rows = [sorted(name for name in boxes if depth[name] == level) for level in range(max(depth.values()) + 1)]
    rows = [row for row in rows if row]
    near: dict[str, list[str]] = {name: [] for name in boxes}
    for above, below in edges:
        near[above].append(below)
        near[below].append(above)
    for _ in range(8):
        place = {name: (at + 0.5) / len(row) for row in rows for at, name in enumerate(row)}
        for row in rows:
            row.sort(key=lambda name: (sum(place[other] for other in near[name]) / max(len(near[name]), 1), name))
            place |= {name: (at + 0.5) / len(row) for at, name in enumerate(row)}
    return rows


def svg(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]], order: Sequence[str], title: str) -> str:
    """The whole file, whole in itself."""
    rows = _rows(boxes, edges, layers(edges, order)) if boxes else []
    width = max((sum(boxes[name].width + _GAP for name in row) for row in rows), default=0) + 2 * _MARGIN
    spots: dict[str, tuple[float, float]] = {}  # -> middle, top
    top = 2.0 * _MARGIN + _LINE
    for row in rows:
        free = width - 2 * _MARGIN - sum(boxes[name].width for name in row)
        left = _MARGIN + free / (len(row) + 1)
        for name in row:
            spots[name] = (left + boxes[name].width / 2, top)
            left += boxes[name].width + free / (len(row) + 1)
        top += max(boxes[name].height for name in row) + _BETWEEN
    drawn = [_arrow(boxes, spots, above, below) for above, below in edges]
    drawn += [_box(box, *spots[name]) for name, box in boxes.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {top:.0f}" role="img"'
            f' font-family="Helvetica, Arial, sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#7b8a99"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{top:.0f}" fill="#ffffff"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 6}" font-weight="bold" fill="#1f2d3d">{escape(title)}</text>',
            *drawn,
            "</svg>\n",
        ]
    )


def _arrow(boxes: Mapping[str, Box], spots: Mapping[str, tuple[float, float]], above: str, below: str) -> str:
    x1, y1 = spots[above][0], spots[above][1] + boxes[above].height
    x2, y2 = spots[below]
    bend = max(abs(y2 - y1) / 2, 24)
    dash = ' stroke-dasharray="5 4"' if y2 < y1 else ""
    path = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    return f'<path d="{path}" fill="none" stroke="#7b8a99" marker-end="url(#head)"{dash}/>'


def _box(box: Box, middle: float, top: float) -> str:
    fill, border, ink = COLOURS[box.kind]
    corner = 3 if box.kind == "job" else 9
    shape = (
        f'<rect x="{middle - box.width / 2:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
        f' rx="{corner}" fill="{fill}" stroke="{border}"/>'
    )
    lines = "".join(
        f'<tspan x="{middle:.1f}" y="{top + _LINE * (number + 1) - 1:.1f}">{escape(line)}</tspan>'
        for number, line in enumerate(box.lines)
    )
    weight = ' font-weight="bold"' if box.kind == "job" else ""
    return f'{shape}<text text-anchor="middle" fill="{ink}"{weight}>{lines}</text>'
