"""jq, timed from outside: a run over the log less a run over nothing, which reads and prepares the policy alone."""

import os
import pathlib
import subprocess
import time

import peer

folder, answers_file = peer.arguments()
program = pathlib.Path(__file__).with_suffix(".jq")


def seconds(log, out):
    command = ["jq", "-n", "-r", "--slurpfile", "policy", f"{folder}/policy.json", "-f", program, log]
    with open(out, "w") as file:
        start = time.perf_counter()
        subprocess.run(command, stdout=file, check=True)
        return time.perf_counter() - start


idle = seconds(os.devnull, os.devnull)
busy = seconds(f"{folder}/data.ndjson", answers_file)
peer.report(answers_file, dict(peer.answers(answers_file)), peer.records(folder), busy - idle)
