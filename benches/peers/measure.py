#!/usr/bin/env python3
"""Runs spwatch and its peers, checks their answers, and compares their times. Standard library only.

    measure.py peers       everybody on the same log, in rounds
    measure.py policies    spwatch with a small policy and with a large one
    measure.py memory      spwatch with few records and with many
    measure.py compare     one file of answers with the truth

`run.sh` prepares what these need, and calls them.
"""

import argparse
import ctypes
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CLEAN, FINDINGS = 0, 10  # exit codes of `spwatch check`


# The kernel counts what a process held before exec into its peak, which would be this Python. A shell holds next to
# nothing. It waits for a line, so that its own start is not measured, and leaves its child to this process.
LAUNCHER = 'echo; read -r _; "$@" </dev/null >"$0" 2>"$0.stderr" & echo $!'
PR_SET_CHILD_SUBREAPER = 36


@dataclasses.dataclass
class Run:
    """One process, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command, stdout, codes=(0,)):
    """Runs a command with its output in a file, and measures it. Any other exit code ends everything."""
    command = [str(part) for part in command]
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("this needs Linux: prctl failed")
    launcher = ["sh", "-c", LAUNCHER, str(stdout), *command]
    with subprocess.Popen(launcher, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        shell.stdout.readline()
        start = time.perf_counter()
        process, _ = shell.communicate("\n")
    _, status, usage = os.wait4(int(process), 0)
    seconds = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    if code not in codes:
        said = pathlib.Path(f"{stdout}.stderr").read_text(errors="replace")
        sys.exit(f"{' '.join(command)}\nended with {code}:\n{said[-2000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def check(spwatch, folder, out, jobs=1):
    """`spwatch check` on a folder that `generate.py` made. Its findings are in the file `out` afterwards."""
    command = [spwatch, "check", "--policy", folder / "policy.toml", "--jobs", jobs, "--format", "ndjson"]
    return run([*command, folder / "data.ndjson"], out, (CLEAN, FINDINGS))


def validate(spwatch, folder, out):
    """`spwatch validate`: starting, and loading the policy, alone."""
    return run([spwatch, "validate", "--policy", folder / "policy.toml"], out)


def records_of(folder):
    return json.loads((folder / "made-from.json").read_text())["records"]


# What is right


def read_answers(path):
    """{id: reason codes}, from what spwatch prints or what a peer writes."""
    answers = {}
    with open(path) as lines:
        for line in lines:
            if line.startswith("{"):
                finding = json.loads(line)
                record_id = finding["id"]
                reasons = ",".join(reason["code"] for reason in finding["reasons"])
            else:
                record_id, reasons = line.rstrip("\n").split("\t")
            if record_id in answers:
                sys.exit(f"{path}: {record_id} is answered twice")
            answers[record_id] = reasons
    return answers


def differences(answers, truth):
    """What is wrong, a line each.

    >>> differences({"a": "x", "b": "y"}, {"a": "x", "c": "z"})
    ['b: said y, is allowed', 'c: said allowed, is z']
    """
    wrong = [record_id for record_id in {**answers, **truth} if answers.get(record_id) != truth.get(record_id)]
    return [
        f"{record_id}: said {answers.get(record_id, 'allowed')}, is {truth.get(record_id, 'allowed')}"
        for record_id in wrong
    ]


def compare(answers, truth):
    """Ends with what is wrong, if anything is."""
    wrong = differences(read_answers(answers), read_answers(truth))
    if wrong:
        more = f"\n… and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        sys.exit(f"{answers}: {len(wrong)} wrong answers\n" + "\n".join(wrong[:5]) + more)


def must_be_right(who, answers, truth):
    """`compare`, which says who is wrong."""
    try:
        compare(answers, truth)
    except SystemExit as wrong:
        sys.exit(f"{who} is wrong: no table\n{wrong}")


# Numbers


def spread(numbers):
    """Median, least and most."""
    return statistics.median(numbers), min(numbers), max(numbers)


def ratios(numerators, denominators):
    """Round by round, so that what slowed a whole round down cancels out.

    >>> spread(ratios([4, 9, 8], [2, 3, 8]))
    (2.0, 1.0, 3.0)
    """
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def rate_text(rates):
    """
    >>> rate_text([1200.4, 1000, 1500])
    ('1,200', '1,000..1,500')
    """
    middle, least, most = spread(rates)
    return f"{middle:,.0f}", f"{least:,.0f}..{most:,.0f}"


def ratio_text(values):
    """
    >>> ratio_text([1.234, 1, 15])
    ('1.23', '1.00..15.0')
    """

    def short(value):
        return f"{value:.2f}" if value < 10 else f"{value:.1f}"

    middle, least, most = spread(values)
    return short(middle), f"{short(least)}..{short(most)}"


def peak_text(runs):
    """The highest peak of some runs, in MiB."""
    return f"{max(run.peak_bytes for run in runs) / 2**20:,.0f}"


def table(head, rows):
    """A Markdown table; all columns but the first are flush right."""
    cells = [head, *rows]
    widths = [max(len(str(row[at])) for row in cells) for at in range(len(head))]

    def line(row):
        first, *others = (str(cell) for cell in row)
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, rows)])


def machine():
    """What the numbers were made on."""
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores, {name}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def version(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# The three measurements


@dataclasses.dataclass
class Contender:
    name: str
    folder: pathlib.Path
    # A peer, which times its own query; or else spwatch with so many threads.
    command: list | None = None
    jobs: int = 0
    rates: list = dataclasses.field(default_factory=list)
    runs: list = dataclasses.field(default_factory=list)

    def take_a_turn(self, spwatch, work):
        answers = work / "answers"
        answers.unlink(missing_ok=True)
        records = records_of(self.folder)
        if self.command is None:
            result = check(spwatch, self.folder, answers, self.jobs)
            seconds = result.seconds
        else:
            said = work / "said"
            result = run([*self.command, self.folder, answers], said)
            measured = json.loads(said.read_text())
            seconds = measured["seconds"]
            if measured["records"] != records:
                sys.exit(f"{self.name} saw {measured['records']} records of {records}")
        must_be_right(self.name, answers, self.folder / "truth.tsv")
        self.runs.append(result)
        self.rates.append(records / seconds)
        return {
            "who": self.name,
            "records": records,
            "seconds": round(seconds, 4),
            "cpu_seconds": round(result.cpu_seconds, 4),
            "peak_bytes": result.peak_bytes,
            "correct": True,
        }


def contenders(options):
    """spwatch first, then its peers. A peer whose program is not installed is left out, and it is said."""
    python = options.python
    listed = [
        Contender("spwatch, 1 thread", options.data, jobs=1),
        Contender("spwatch, 2 threads", options.data, jobs=2),
        Contender("chDB, 1 thread", options.data, [python, HERE / "with_chdb.py"]),
        Contender("Python, orjson and py-radix", options.data, [python, HERE / "with_radix.py"]),
        Contender("naive Rust", options.data, [options.naive]),
        Contender("Node", options.data, ["node", HERE / "with_node.mjs"]),
        Contender("DuckDB, 1 thread", options.data, [python, HERE / "with_duckdb.py"]),
        Contender("jq ¹", options.subset, [python, HERE / "with_jq.py"]),
    ]
    for name, program in (("Node", "node"), ("jq ¹", "jq")):
        if shutil.which(program) is None:
            print(f"{program} is not installed: left out")
            listed = [contender for contender in listed if contender.name != name]
    return listed


def peers(options):
    listed = contenders(options)
    print(machine())
    print(", ".join(said for said in versions(options) if said))
    log = options.work / "peers.ndjson"
    with open(log, "w") as lines:
        for number in range(options.rounds):
            # Everybody is first once, so that nobody always runs behind the same one.
            for at in range(len(listed)):
                contender = listed[(number + at) % len(listed)]
                measured = contender.take_a_turn(options.spwatch, options.work)
                lines.write(json.dumps({"round": number + 1, **measured}) + "\n")
                lines.flush()
            print(f"round {number + 1} of {options.rounds}: all answers are right", flush=True)
    ours = listed[0]
    rows = [
        (
            contender.name,
            *rate_text(contender.rates),
            *ratio_text(ratios(ours.rates, contender.rates)),
            peak_text(contender.runs),
        )
        for contender in listed
    ]
    head = ("", "records/s", "min..max", "spwatch is × as fast", "min..max", "peak MiB")
    cores = statistics.median(run.cpu_seconds / run.seconds for run in ours.runs)
    print(f"\n## Peers: {records_of(options.data):,} records, median of {options.rounds} rounds\n")
    print(table(head, rows))
    print(
        "\nspwatch is the whole process: start, policy, judging, every finding in full. The peers are their query "
        "alone, without start, policy and output, which favours them. The third and fourth column of numbers divide "
        f"within a round. With one thread spwatch kept {cores:.2f} cores busy."
    )
    if any(contender.folder == options.subset for contender in listed):
        print(
            f"¹ {records_of(options.subset):,} of the records. The time of a run without any is subtracted. "
            "The memory is that of jq, or of the Python that times it."
        )
    print(f"Every run: {log}")


def versions(options):
    yield version([options.spwatch, "--version"])
    for line in (HERE / "requirements.txt").read_text().splitlines():
        # What comes after the empty line is not itself a peer.
        if not line:
            break
        if "==" in line:
            yield line.replace("==", " ")
    for program in ("node", "jq"):
        if shutil.which(program):
            yield f"{program} {version([program, '--version'])}"


def policies(options):
    folders = {"small": options.small, "large": options.large}
    checks = {name: [] for name in folders}
    loads = {name: [] for name in folders}
    answers = options.work / "answers"
    for number in range(options.rounds):
        # Each goes first in every other round.
        for name in sorted(folders, reverse=number % 2 == 0):
            loads[name].append(validate(options.spwatch, folders[name], options.work / "said"))
            checks[name].append(check(options.spwatch, folders[name], answers))
            must_be_right(f"spwatch with the {name} policy", answers, folders[name] / "truth.tsv")

    whole = {name: [run.seconds for run in runs] for name, runs in checks.items()}
    loading = {name: [run.seconds for run in runs] for name, runs in loads.items()}
    judging = {name: [a - b for a, b in zip(whole[name], loading[name])] for name in folders}
    records = records_of(options.small)
    rows = []
    for name, folder in folders.items():
        made = json.loads((folder / "made-from.json").read_text())
        rows.append(
            (
                f"{made['apps']:,} × {made['ranges']:,}",
                *rate_text([records / seconds for seconds in whole[name]]),
                *ratio_text(ratios(whole[name], whole["small"])),
                f"{1000 * statistics.median(loading[name]):,.0f}",
                *ratio_text(ratios(judging[name], judging["small"])),
                peak_text(checks[name]),
            )
        )
    head = (
        "apps × ranges of each", "records/s", "min..max", "× the time", "min..max",
        "loading ms", "× without loading", "min..max", "peak MiB",
    )  # fmt: skip
    print(f"\n## A large policy: {records:,} records, 1 thread, median of {options.rounds} rounds\n")
    print(table(head, rows))
    print("\nLoading is `spwatch validate`, of the same round.")


def memory(options):
    sizes = {folder: records_of(folder) for folder in (options.few, options.many)}
    answers = options.work / "answers"
    rows = []
    for jobs in (1, 2):
        peaks = {}
        for folder in sizes:
            runs = []
            for _ in range(options.rounds):
                runs.append(check(options.spwatch, folder, answers, jobs))
                must_be_right("spwatch", answers, folder / "truth.tsv")
            peaks[folder] = statistics.median(run.peak_bytes for run in runs)
        more = (peaks[options.many] - peaks[options.few]) / (sizes[options.many] - sizes[options.few])
        rows.append((jobs, *(f"{peak / 2**20:,.1f}" for peak in peaks.values()), f"{more:,.1f}"))
    head = ("threads", *(f"{size:,} records, MiB" for size in sizes.values()), "bytes per further record")
    print(f"\n## Peak memory of `spwatch check`: median of {options.rounds} runs\n")
    print(table(head, rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, does, folders):
        one = commands.add_parser(name, help=does)
        for folder in ("work", *folders):
            one.add_argument(f"--{folder}", type=pathlib.Path, required=True)
        one.add_argument("--spwatch", required=True, help="the binary")
        one.add_argument("--rounds", type=int, default=7)
        return one

    one = command("peers", "everybody on the same log, in rounds", ["data", "subset"])
    one.add_argument("--naive", required=True, help="its binary")
    one.add_argument("--python", required=True, help="a Python that has requirements.txt installed")
    command("policies", "spwatch with a small policy and with a large one", ["small", "large"])
    command("memory", "spwatch with few records and with many", ["few", "many"])
    one = commands.add_parser("compare", help="one file of answers with the truth")
    one.add_argument("answers")
    one.add_argument("truth")

    options = parser.parse_args()
    if options.command == "compare":
        compare(options.answers, options.truth)
    else:
        options.work.mkdir(parents=True, exist_ok=True)
        {"peers": peers, "policies": policies, "memory": memory}[options.command](options)


if __name__ == "__main__":
    main()
