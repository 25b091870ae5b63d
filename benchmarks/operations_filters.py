"""How fast a filter file of ten million lines is checked, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

from benchmarks import Figure

LINES = 10_000_000
LINES_PER_SECOND = 300_000
MEGABYTES = 150

_SCRIPT = """
import json, resource, sys, time
from operations.filters import check_filter

line = "/studies/1.2.840.113619.2.55.3.{}/series/1.3.6.1.4.1.5962.1.1.0.{}\\n"
one = "".join(line.format(number, number * 7) for number in range(1, 10001)).encode()

def blocks():
    for _ in range(int(sys.argv[1]) // 10000):
        yield one

begin = time.perf_counter()
lines = check_filter(blocks()).lines
seconds = time.perf_counter() - begin
print(json.dumps([lines, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure() -> Iterable[Figure]:
    """Check the file in a process of its own, which is what the memory is counted of."""
    command = [sys.executable, "-c", _SCRIPT, str(LINES)]
    lines, seconds, megabytes = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    speed = lines / seconds
    yield Figure(
        f"filter of {lines:,} lines: lines checked",
        f"{speed:,.0f}/s",
        f"{LINES_PER_SECOND:,}/s",
        speed / LINES_PER_SECOND,
        1.0,
        more_is_better=True,
    )
    yield Figure(
        f"filter of {lines:,} lines: memory", f"{megabytes:.0f} MB", f"{MEGABYTES} MB", megabytes / MEGABYTES, 1.0
    )
