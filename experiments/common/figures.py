"""Scatter plots as SVG text, so that result pages can be made again without any package."""

import math
from pathlib import Path

COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#475569")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 330, 64, 150, 18, 48


def ticks(low, high, log):
    if log:
        return [10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
                if low <= 10.0**p <= high]  # fmt: skip
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= 6)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


class Axis:
    def __init__(self, values, start, end, log, names=None):
        self.log, self.names = log, names
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.15, high * 1.15
        else:
            margin = 0.05 * (high - low) or 1
            low, high = low - margin, high + margin
        self.low, self.high, self.start, self.end = low, high, start, end

    def place(self, value):
        scale = math.log10 if self.log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self):
        if self.names:
            return list(enumerate(self.names))
        return [(v, f"{v:.10g}") for v in ticks(self.low, self.high, self.log)]


def scatter(file, series, x_label, y_label, log_x=False, log_y=False, names=None):
    """`series`: {name: points}; a name that ends with `-` is drawn as a line. `names` of whole
    numbers on the x axis."""
    points = [p for part in series.values() for p in part]
    x = Axis([p[0] for p in points] + ([-0.4, len(names) - 0.6] if names else []),
             LEFT, WIDTH - RIGHT, log_x, names)  # fmt: skip
    y = Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, log_y)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value, text in x.ticks():
        at = x.place(value)
        out.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>'
        )
        out.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e7eb"/>')
    for value, text in y.ticks():
        at = y.place(value)
        out.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
        out.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text x="{middle_x}" y="{HEIGHT - 12}" text-anchor="middle">{x_label}</text>')
    out.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">{y_label}</text>'
    )
    for index, (name, part) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [(x.place(a), y.place(b)) for a, b in part]
        if name.endswith("-"):
            path = " ".join(
                f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(places)
            )
            out.append(f'<path d="{path}" fill="none" stroke="{colour}"/>')
        for a, b in places:
            out.append(
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}" fill-opacity="0.6"/>'
            )
        at = TOP + 14 + 18 * index
        out.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{at - 4}" r="4" fill="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 26}" y="{at}">{name.rstrip("-")}</text>')
    Path(file).write_text("\n".join([*out, "</svg>", ""]))
