"""Draws lines over a logarithmic axis, as SVG by hand. Readable on light and on dark: it brings both."""

import html
import math

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 72, 60

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .ground { fill: #ffffff; }
  .grid { stroke: #d8dee4; }
  .axis { stroke: #57606a; }
  .line { fill: none; stroke-width: 2; }
  .s0 { stroke: #0969da; } .d0 { fill: #0969da; }
  .s1 { stroke: #bc4c00; stroke-dasharray: 7 4; } .d1 { fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .ground { fill: #0d1117; }
    .grid { stroke: #30363d; }
    .axis { stroke: #8b949e; }
    .s0 { stroke: #58a6ff; } .d0 { fill: #58a6ff; }
    .s1 { stroke: #f0883e; } .d1 { fill: #f0883e; }
  }
"""


def short(number):
    """
    >>> [short(number) for number in (0, 0.05, 2.5, 10, 1_000, 250_000, 1_500_000)]
    ['0', '0.05', '2.5', '10', '1k', '250k', '1.5M']
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def even_ticks(highest):
    """Round numbers from 0 to at least `highest`.

    >>> even_ticks(230)
    [0, 50, 100, 150, 200, 250]
    """
    size = 10 ** math.floor(math.log10(highest))
    step = next(size * part for part in (0.2, 0.5, 1, 2) if highest / (size * part) <= 6)
    step = int(step) if step >= 1 else step
    return [step * at for at in range(math.ceil(highest / step) + 1)]


def decades(lowest, highest):
    """Powers of ten around two numbers.

    >>> decades(20, 1000)
    [10, 100, 1000]
    """
    first = math.floor(math.log10(lowest))
    last = max(math.ceil(math.log10(highest)), first + 1)
    return [10**power if power >= 0 else 1 / 10**-power for power in range(first, last + 1)]


def plot(path, title, x_label, y_label, lines, log_y=False):
    """`lines` is {name: [(x, median, least, most)]}. At most two lines: there are two colours."""
    points = [point for line in lines.values() for point in line]
    xs = sorted({point[0] for point in points})
    x_ticks = decades(xs[0], xs[-1]) if xs[-1] >= 10 * xs[0] else xs
    if log_y:
        y_ticks = decades(min(point[2] for point in points), max(point[3] for point in points))
    else:
        y_ticks = even_ticks(max(point[3] for point in points))

    def place(value, ticks, logarithmic, start, end):
        first, last, value = (math.log(v) if logarithmic else v for v in (ticks[0], ticks[-1], value))
        return start if last == first else start + (value - first) / (last - first) * (end - start)

    def x_of(value):
        return place(value, x_ticks, True, LEFT, WIDTH - RIGHT)

    def y_of(value):
        return place(value, y_ticks, log_y, HEIGHT - BOTTOM, TOP)

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' role="img" aria-labelledby="title">',
        f'<title id="title">{html.escape(f"{title}: {y_label} over {x_label}")}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="26">{html.escape(title)}</text>',
    ]
    for tick in x_ticks:
        x = x_of(tick)
        svg.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        svg.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{short(tick)}</text>')
    for tick in y_ticks:
        y = y_of(tick)
        svg.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        svg.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    svg += [
        f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">'
        f"{html.escape(x_label)}, logarithmic</text>",
        f'<text transform="translate(20 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}{', logarithmic' if log_y else ''}</text>",
    ]
    legend = LEFT
    for number, (name, line) in enumerate(lines.items()):
        path_of = " ".join(f"{x_of(x):.1f},{y_of(median):.1f}" for x, median, _, _ in line)
        svg.append(f'<polyline class="line s{number}" points="{path_of}"/>')
        for x, median, least, most in line:
            svg.append(
                f'<line class="s{number}" style="stroke-dasharray: none" x1="{x_of(x):.1f}" x2="{x_of(x):.1f}" '
                f'y1="{y_of(least):.1f}" y2="{y_of(most):.1f}"/>'
            )
            svg.append(f'<circle class="d{number}" cx="{x_of(x):.1f}" cy="{y_of(median):.1f}" r="4"/>')
        svg.append(f'<line class="line s{number}" x1="{legend}" x2="{legend + 28}" y1="48" y2="48"/>')
        svg.append(f'<text x="{legend + 36}" y="52">{html.escape(name)}</text>')
        legend += 60 + 7 * len(name)
    svg.append("</svg>")
    with open(path, "w") as file:
        file.write("\n".join(svg) + "\n")
