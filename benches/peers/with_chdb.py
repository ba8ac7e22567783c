"""chDB, which is ClickHouse inside a Python process: one query over the file, on one thread.

The policy is in tables before the clock starts. They are of the Join engine: a look-up by app is a look-up in a hash.
"""

import time

from chdb import session

import peer

ROWS_A_STATEMENT = 5_000

folder, answers_file = peer.arguments()
policy = peer.policy(folder)
database = session.Session()
database.query("CREATE DATABASE bench")


def table(name, column, lists):
    database.query(f"CREATE TABLE bench.{name} (app String, {column} Array(String)) ENGINE = Join(ANY, LEFT, app)")
    rows = [str(row) for row in lists]
    for at in range(0, len(rows), ROWS_A_STATEMENT):
        database.query(f"INSERT INTO bench.{name} VALUES {','.join(rows[at : at + ROWS_A_STATEMENT])}")


table("ranges", "ranges", ((app, entry["ranges"]) for app, entry in policy.items()))
table("countries", "countries", ((app, entry["countries"]) for app, entry in policy.items()))

RECORD = "Tuple(properties Tuple(id String, appId String, ipAddress String, location Tuple(countryOrRegion String)))"
QUERY = f"""
    WITH
        sign_in.appId AS app,
        NOT arrayExists(range -> isIPAddressInRange(sign_in.ipAddress, range),
                        joinGet('bench.ranges', 'ranges', app)) AS bad_ip,
        NOT has(joinGet('bench.countries', 'countries', app), sign_in.location.countryOrRegion) AS bad_place
    SELECT sign_in.id, bad_ip, bad_place
    FROM (
        SELECT arrayJoin(records.properties) AS sign_in
        FROM file('{folder}/data.ndjson', 'JSONEachRow', 'records Array({RECORD})')
    )
    WHERE bad_ip OR bad_place
    SETTINGS max_threads = 1,
             input_format_parallel_parsing = 0,
             input_format_skip_unknown_fields = 1,
             input_format_json_ignore_unknown_keys_in_named_tuple = 1
    FORMAT TSV
"""

start = time.perf_counter()
result = database.query(QUERY).bytes().decode()
seconds = time.perf_counter() - start

answers = {}
for line in result.splitlines():
    record_id, bad_ip, bad_place = line.split("\t")
    answers[record_id] = peer.reasons(bad_ip == "1", bad_place == "1")
peer.report(answers_file, answers, peer.records(folder), seconds)
