#!/usr/bin/env python3
"""Measures how `spwatch check` fares as entries, ranges, records, threads and records in a line grow.

Every point has a log and a policy of its own, with known answers, which are checked. Loading the policy is measured
beside it, with `spwatch validate`. Writes growth.tsv and a plot for each series. Ends with an error where time grows
faster than n log n. Standard library only.
"""

import argparse
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parent / "peers"
sys.path.insert(0, str(PEERS))

import measure  # noqa: E402
import plot  # noqa: E402

REPEATS = 3
BYTES_A_RECORD = 1_900
# Exponents are fitted to the upper two decades: below, the start of the process hides what grows.
FITTED = 100
# How much the fitted exponent may be above that of n log n. Two decades with times 25 % off give 0.05.
TOLERANCE = 0.1
# The same for the last two points alone, where a constant part hides least and noise shows most.
LAST_TOLERANCE = 0.3
# The time of a verdict should not depend on the policy at all; a search through all of it would be n^1.
VERDICT_LIMIT = 0.5

ENTRIES = [10, 100, 1_000, 10_000, 100_000]
RANGES = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
RECORDS = [10_000, 100_000, 1_000_000, 10_000_000]
BATCHES = [1, 10, 100, 1_000]


class Point:
    """One setting, measured some times."""

    def __init__(self, series, n, records, apps=1_000, ranges=4, batch=100, jobs=1):
        self.series, self.n = series, n
        self.records, self.apps, self.ranges, self.batch, self.jobs = records, apps, ranges, batch, jobs
        self.checks, self.loads = [], []

    def data(self, work):
        """Its log and policy, made unless the last point had the same."""
        folder = work / "growth"
        wanted = {"records": self.records, "apps": self.apps, "ranges": self.ranges, "batch": self.batch}
        options = [text for name, value in wanted.items() for text in (f"--{name}", str(value))]
        subprocess.run([sys.executable, PEERS / "generate.py", "--out", folder, *options], check=True)
        return folder

    def measure(self, spwatch, work):
        folder = self.data(work)
        answers = work / "answers"
        # Once over the file, so that the first run need not wait for the disk either.
        with open(folder / "data.ndjson", "rb") as log:
            while log.read(1 << 22):
                pass
        for _ in range(REPEATS):
            self.loads.append(measure.validate(spwatch, folder, work / "said"))
            self.checks.append(measure.check(spwatch, folder, answers, self.jobs))
        measure.must_be_right("spwatch", answers, folder / "truth.tsv")

    def whole(self):
        """Records per second of the whole process: (n, median, least, most)."""
        return (self.n, *measure.spread([self.records / run.seconds for run in self.checks]))

    def judging(self):
        """Records per second of processor time without starting and loading: each run less the `validate` before it.

        Of two times of a second each, little may be left; wall time would be noise.
        """
        pairs = zip(self.checks, self.loads, strict=True)
        seconds = [check.cpu_seconds - load.cpu_seconds for check, load in pairs]
        return (self.n, *measure.spread([self.records / max(left, 1e-3) for left in seconds]))

    def loading(self):
        """Milliseconds of loading, over all ranges of the policy."""
        return (self.apps * self.ranges, *measure.spread([1_000 * run.seconds for run in self.loads]))

    def peak(self):
        return (self.n, *measure.spread([run.peak_bytes / 2**20 for run in self.checks]))

    def row(self):
        def middle(runs, field):
            return statistics.median(getattr(run, field) for run in runs)

        _, whole, _, _ = self.whole()
        _, judging, _, _ = self.judging()
        return {
            "series": self.series,
            "n": self.n,
            "records": self.records,
            "entries": self.apps,
            "ranges_per_entry": self.ranges,
            "records_per_line": self.batch,
            "threads": self.jobs,
            "check_s": f"{middle(self.checks, 'seconds'):.4f}",
            "check_cpu_s": f"{middle(self.checks, 'cpu_seconds'):.4f}",
            "load_s": f"{middle(self.loads, 'seconds'):.4f}",
            "load_cpu_s": f"{middle(self.loads, 'cpu_seconds'):.4f}",
            "records_per_s": f"{whole:.0f}",
            "records_per_cpu_s_without_loading": f"{judging:.0f}",
            "peak_mib": f"{middle(self.checks, 'peak_bytes') / 2**20:.1f}",
        }


def thread_counts():
    """1, 2, 4, … and the number of cores."""
    cores = len(os.sched_getaffinity(0))
    return sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})


def points(records, quick):
    """Every second point where it must be quick, and no 10 million records."""

    def some(numbers):
        return numbers[::2] if quick else numbers

    for n in some(ENTRIES):
        yield Point("entries", n, records, apps=n)
    for n in some(RANGES):
        yield Point("ranges", n, records, apps=1, ranges=n)
    for n in some(BATCHES):
        yield Point("batch", n, records, batch=n)
    for n in thread_counts():
        yield Point("threads", n, records, jobs=n)
    for n in RECORDS[:-1] if quick else RECORDS:
        yield Point("records", n, n)


def slope(xs, ys):
    """The exponent of a power law through points: the slope of the line that fits their logarithms.

    >>> round(slope([1, 10, 100], [3, 30, 300]), 3)
    1.0
    """
    logs = [math.log(x) for x in xs], [math.log(y) for y in ys]
    return statistics.linear_regression(*logs).slope


def n_log_n(numbers):
    """The exponent that n log n has over some numbers: a little more than 1."""
    return slope(numbers, [n * math.log(n) for n in numbers])


def too_fast(what, numbers, seconds, flat=False):
    """Prints the exponent of time against a number. Says whether it is above that of n log n, or far from flat."""
    upper = [at for at, n in enumerate(numbers) if n * FITTED >= max(numbers)]
    bad = False
    for part, points, tolerance in (("", upper, TOLERANCE), (", last step", upper[-2:], LAST_TOLERANCE)):
        ns = [numbers[at] for at in points]
        found = slope(ns, [seconds[at] for at in points])
        limit = VERDICT_LIMIT if flat else n_log_n(ns) + tolerance
        bad |= found > limit
        print(f"{what + part:<36} n^{found:5.2f}   at most n^{limit:.2f}   {'TOO FAST' if found > limit else 'fine'}")
    return bad


def judge(series):
    """Fits processor time, not wall time: it does not see who else is on the machine, or how fast the disk is."""

    def medians(runs_of):
        return [statistics.median(run.cpu_seconds for run in runs) for runs in runs_of]

    print("\nProcessor time against n, over the upper two decades:")
    bad = []
    for name in ("entries", "ranges", "records"):
        measured = series.get(name, [])
        numbers = [point.n for point in measured]
        if len(numbers) < 2:
            print(f"{name}: too few points to fit")
            continue
        bad.append(too_fast(f"check, {name}", numbers, medians(point.checks for point in measured)))
        if name != "records":
            bad.append(too_fast(f"loading, {name}", numbers, medians(point.loads for point in measured)))
            verdicts = [1 / median for _, median, _, _ in map(Point.judging, measured)]
            bad.append(too_fast(f"a verdict, {name}", numbers, verdicts, flat=True))
    return any(bad)


def draw(series, out):
    speed = "records per second"
    records = series["entries"][0].records
    for name, title, label in (
        ("entries", f"{records:,} records, 4 ranges an entry", "entries of the policy"),
        ("ranges", f"{records:,} records of one app", "ranges of its entry"),
    ):
        lines = {
            "whole process": [point.whole() for point in series[name]],
            "without loading the policy": [point.judging() for point in series[name]],
        }
        plot.plot(out / f"{name}.svg", f"Speed of check: {title}", label, speed, lines)

    def single(name, title, label, y_label, values, **more):
        plot.plot(out / f"{name}.svg", title, label, y_label, {"spwatch check, 1 thread": values}, **more)

    by_records = series["records"]
    single("records", "Speed of check by length of the log", "records", speed, [p.whole() for p in by_records])
    single("memory", "Peak memory of check", "records", "MiB", [p.peak() for p in by_records], log_y=True)
    single(
        "batch", "Speed of check by records in a line", "records in a line", speed, [p.whole() for p in series["batch"]]
    )
    by_threads = [point.whole() for point in series["threads"]]
    _, one, _, _ = by_threads[0]
    plot.plot(
        out / "threads.svg",
        f"Speed of check by threads: {records:,} records",
        "threads",
        speed,
        {
            "spwatch check": by_threads,
            "if each added as much as the first": [(n, n * one, n * one, n * one) for n, *_ in by_threads],
        },
    )
    plot.plot(
        out / "loading.svg",
        "Time to load a policy",
        "ranges in the whole policy",
        "milliseconds",
        {
            "entries of 4 ranges": [point.loading() for point in series["entries"]],
            "one entry of all ranges": [point.loading() for point in series["ranges"]],
        },
        log_y=True,
    )


def write_table(series, path):
    rows = [point.row() for measured in series.values() for point in measured]
    with open(path, "w") as table:
        table.write("\t".join(rows[0]) + "\n")
        for row in rows:
            table.write("\t".join(str(value) for value in row.values()) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spwatch", required=True, help="the binary")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for logs; they are deleted again")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for growth.tsv and the plots")
    parser.add_argument("--records", type=int, default=200_000, help="records where something else grows")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)

    print(measure.machine())
    series = {}
    try:
        for point in points(options.records, options.quick):
            needed = 1.1 * point.records * BYTES_A_RECORD
            if shutil.disk_usage(options.work).free < needed:
                print(f"{point.series} {point.n:,}: left out, it needs {needed / 1e9:.0f} GB of disk")
                continue
            point.measure(options.spwatch, options.work)
            series.setdefault(point.series, []).append(point)
            row = point.row()
            print(
                f"{point.series} {point.n:,}: {int(row['records_per_s']):,} records/s, "
                f"{int(row['records_per_cpu_s_without_loading']):,} without loading, {row['peak_mib']} MiB",
                flush=True,
            )
    finally:
        shutil.rmtree(options.work / "growth", ignore_errors=True)
    write_table(series, options.out / "growth.tsv")
    draw(series, options.out)
    print(f"\nwritten: {options.out}/growth.tsv and the plots beside it")
    if judge(series):
        sys.exit("time grows faster than n log n")


if __name__ == "__main__":
    main()
