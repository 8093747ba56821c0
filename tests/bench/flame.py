#!/usr/bin/env python3
"""Folded stacks of `perf script` as a flame graph and as lists of costs.

    perf script -i DATA --no-inline -F comm,ip,sym,dso | flame.py TITLE OUT.svg OUT.txt

Width is the share of samples; callers are below their callees' boxes. Kernel frames are blue, the
proxy's own are orange, libraries are yellow. One sample per block of lines, innermost frame first.
"""
import html
import re
import sys
from collections import Counter

ROW, WIDTH, SMALLEST = 17, 1400, 0.6  # pixels
FRAME = re.compile(r"^\s+([0-9a-f]+) (.*) \((.*)\)$")


def name_of(symbol, dso):
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    kernel = "kernel" in dso or dso.startswith("[k") or "vmlinux" in dso
    lib = dso.rsplit("/", 1)[-1]
    if symbol == "[unknown]":
        symbol = "?"
    if kernel:
        return "k:" + symbol
    if lib.startswith("lib"):
        return lib.split(".so")[0] + ":" + symbol
    return symbol


def read_stacks(lines):
    stacks, frames = Counter(), []
    for line in lines:
        m = FRAME.match(line)
        if m:
            frames.append(name_of(m.group(2), m.group(3)))
        elif frames and not line.strip():
            stacks[tuple(reversed(frames))] += 1
            frames = []
    if frames:
        stacks[tuple(reversed(frames))] += 1
    return stacks


def tree_of(stacks):
    root = [0, {}]
    for stack, n in stacks.items():
        root[0] += n
        at = root
        for frame in stack:
            at = at[1].setdefault(frame, [0, {}])
            at[0] += n
    return root


def colour(name):
    shade = sum(map(ord, name)) % 40
    if name.startswith("k:"):
        return f"rgb({110 + shade},{150 + shade},{215})"
    if ":" in name:
        return f"rgb({235},{200 + shade},{90 + shade})"
    return f"rgb({240},{130 + shade},{60 + shade})"


def svg(root, title):
    boxes, deepest = [], 0
    todo = [(root, "all", 0.0, 0)]
    while todo:
        (count, below), name, left, depth = todo.pop()
        width = WIDTH * count / root[0]
        if width < SMALLEST:
            continue
        deepest = max(deepest, depth)
        boxes.append((name, left, width, depth, count))
        for child in sorted(below):
            todo.append((below[child], child, left, depth + 1))
            left += WIDTH * below[child][0] / root[0]
    height = (deepest + 3) * ROW
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">')
    yield f'<rect width="100%" height="100%" fill="#fff"/><text x="6" y="13">{html.escape(title)}</text>'
    for name, left, width, depth, count in boxes:
        top = height - (depth + 1) * ROW
        share = 100 * count / root[0]
        label = html.escape(name)
        yield (f'<g><title>{label}: {share:.2f} %</title><rect x="{left:.1f}" y="{top}" '
               f'width="{max(width - 0.3, 0.3):.1f}" height="{ROW - 1}" fill="{colour(name)}" rx="1"/>')
        room = int((width - 4) / 6.7)
        if room >= 3:
            text = name if len(name) <= room else name[:room - 1] + "…"
            yield f'<text x="{left + 2:.1f}" y="{top + 12}">{html.escape(text)}</text>'
        yield "</g>"
    yield "</svg>"


def costs(stacks):
    alone, within, entered, total = Counter(), Counter(), Counter(), sum(stacks.values())
    kernel = 0
    for stack, n in stacks.items():
        alone[stack[-1]] += n
        kernel += n if any(f.startswith("k:") for f in stack) else 0
        for frame in set(stack):
            within[frame] += n
        for caller, frame in zip(stack, stack[1:]):
            if frame.startswith("libcrypto:") and not caller.startswith("libcrypto:"):
                entered[frame] += n
                break
    yield f"{total} samples; kernel {100 * kernel / total:.1f} %, user {100 - 100 * kernel / total:.1f} %"
    for head, table, rows in (("alone", alone, 45), ("with all below", within, 90),
                              ("into libcrypto", entered, 30)):
        yield f"\n{head:>16}"
        for frame, n in table.most_common(rows):
            yield f"{100 * n / total:15.2f} %  {frame}"


def main():
    title, to_svg, to_text = sys.argv[1:4]
    stacks = read_stacks(sys.stdin)
    if not stacks:
        sys.exit("flame: no samples")
    with open(to_svg, "w", encoding="utf-8") as f:
        f.write("\n".join(svg(tree_of(stacks), title)) + "\n")
    with open(to_text, "w", encoding="utf-8") as f:
        f.write("\n".join(costs(stacks)) + "\n")


main()
