"""Draw ``mesh.svg``: which device of a 2 × 4 mesh holds which part of one Linear layer.

Run ``python docs/draw_mesh.py`` after changing it.
"""

from __future__ import annotations

from pathlib import Path

ROWS, COLUMNS = 2, 4  # data, model
CELL, GAP, TOP, LEFT = 150, 14, 56, 96
PARTS = (
    ("#4c78a8", "x rows {r}/2", lambda r, c: (0, r / 2, 1, 1 / 2)),
    ("#f58518", "weight rows {c}/4", lambda r, c: (0, c / 4, 1, 1 / 4)),
    ("#54a24b", "y block {r}/2, {c}/4", lambda r, c: (c / 4, r / 2, 1 / 4, 1 / 2)),
)
SIZE = 34


def text(x: float, y: float, words: str, anchor: str = "middle", size: int = 12) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" '
        f'font-family="sans-serif" fill="#222">{words}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'fill="{fill}" stroke="#555"/>'
    )


def device(row: int, column: int) -> list[str]:
    """Return the shapes of one device: each tensor in grey, and its part in colour."""
    x, y = LEFT + column * (CELL + GAP), TOP + row * (CELL + GAP)
    number = row * COLUMNS + column
    shapes = [box(x, y, CELL, CELL, "#fff"), text(x + CELL / 2, y + 18, f"device {number}")]
    for i, (colour, label, place) in enumerate(PARTS):
        left, top = x + 10, y + 28 + i * (SIZE + 5)
        dx, dy, width, height = place(row, column)
        shapes += [
            box(left, top, SIZE, SIZE, "#e6e6e6"),
            box(left + dx * SIZE, top + dy * SIZE, width * SIZE, height * SIZE, colour),
            text(left + SIZE + 6, top + 21, label.format(r=row + 1, c=column + 1), "start", 11),
        ]
    return shapes


def picture() -> str:
    width, height = LEFT + COLUMNS * (CELL + GAP), TOP + ROWS * (CELL + GAP)
    shapes = [text(LEFT + COLUMNS * (CELL + GAP) / 2, 20, 'axis "model": parts of the weight')]
    for column in range(COLUMNS):
        shapes.append(text(LEFT + column * (CELL + GAP) + CELL / 2, 44, f"model {column}"))
    for row in range(ROWS):
        middle = TOP + row * (CELL + GAP) + CELL / 2
        shapes += [text(44, middle - 8, 'axis "data"'), text(44, middle + 10, f"data {row}")]
        for column in range(COLUMNS):
            shapes += device(row, column)
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    Path(__file__).with_name("mesh.svg").write_text(picture(), encoding="utf-8")
