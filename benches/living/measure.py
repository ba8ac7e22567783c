"""Runs learn, check, backtest and inventory on logs of two sizes, and prints seconds and peak memory of each.

Memory follows the distinct values of each application, not the records: the larger log has five times the records of
the smaller one, and the same applications.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time


def run(command: list[str], output: pathlib.Path) -> tuple[float, float, int]:
    """Seconds, peak resident MiB and exit code of a process."""
    begun = time.monotonic()
    with output.open("wb") as out, open(os.devnull, "wb") as nothing:
        process = subprocess.Popen(command, stdout=out, stderr=nothing)
        _, status, usage = os.wait4(process.pid, 0)
    return time.monotonic() - begun, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spwatch", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--records", required=True, type=int)
    options = parser.parse_args()
    print("| command | records | seconds | peak MiB |")
    print("|---|--:|--:|--:|")
    for records in (options.records // 5, options.records):
        folder = options.work / str(records)
        made = [sys.executable, "benches/peers/generate.py", "--out", str(folder), "--records", str(records)]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        log, policy = str(folder / "data.ndjson"), str(folder / "policy.toml")
        learnt = folder / "learnt.toml"
        commands = {
            "learn": ["learn", log],
            "check": ["check", "--format", "json", "--jobs", "1", "--policy", policy, log],
            "backtest": ["backtest", "--format", "json", "--policy", str(learnt), "--against", policy, log],
            "inventory": ["inventory", "--format", "json", "--policy", policy, log],
        }
        for name, arguments in commands.items():
            output = learnt if name == "learn" else folder / f"{name}.out"
            seconds, peak, code = run([options.spwatch, *arguments], output)
            if code not in (0, 10):
                sys.exit(f"spwatch {name} ended with {code}")
            print(f"| {name} | {records:,} | {seconds:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
