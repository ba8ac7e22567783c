"""What the peers written in Python have in common: their arguments, the policy, and their report."""

import ipaddress
import json
import sys

IP, PLACE = "ip-not-allowed", "place-not-allowed"


def arguments():
    """The folder with log and policy, and the file for the answers."""
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} DATA_FOLDER ANSWERS_FILE")
    return sys.argv[1], sys.argv[2]


def policy(folder):
    """{app id: {"ranges": […], "countries": […]}}"""
    with open(f"{folder}/policy.json") as file:
        return json.load(file)


def records(folder):
    """How many records the log has."""
    with open(f"{folder}/made-from.json") as file:
        return json.load(file)["records"]


def split_by_family(policy):
    """IPv4 ranges as rows (app, first, last) of integers; IPv6 ranges by app, as Python networks."""
    v4, v6 = [], {}
    for app, entry in policy.items():
        for text in entry["ranges"]:
            network = ipaddress.ip_network(text)
            if network.version == 4:
                v4.append((app, int(network[0]), int(network[-1])))
            else:
                v6.setdefault(app, []).append(network)
    return v4, v6


def reasons(ip_is_bad, place_is_bad):
    return [code for code, bad in ((IP, ip_is_bad), (PLACE, place_is_bad)) if bad]


def answers(file):
    """The answers in a file, as (id, [reason, …])."""
    with open(file) as lines:
        for line in lines:
            record_id, codes = line.rstrip("\n").split("\t")
            yield record_id, codes.split(",")


def report(answers_file, answers, count, seconds):
    """Writes the answers, {id: [reason, …]}, and prints the line that `measure.py` reads."""
    with open(answers_file, "w") as file:
        for record_id, codes in answers.items():
            file.write(f"{record_id}\t{','.join(codes)}\n")
    print(json.dumps({"records": count, "seconds": seconds}))
