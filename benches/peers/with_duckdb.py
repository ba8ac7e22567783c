"""DuckDB: one query over the file, on one thread.

It has no address type without an extension. IPv4 is compared as integers in SQL; what the query could not settle
about IPv6 is settled here, within the time that is measured.
"""

import ipaddress
import time

import duckdb

import peer

ROWS_A_STATEMENT = 10_000

folder, answers_file = peer.arguments()
policy = peer.policy(folder)
v4, v6 = peer.split_by_family(policy)
database = duckdb.connect()
database.execute("SET threads = 1")
database.execute("SET preserve_insertion_order = false")


def table(name, columns, rows):
    database.execute(f"CREATE TABLE {name} ({columns})")
    for at in range(0, len(rows), ROWS_A_STATEMENT):
        values = ",".join(str(row) for row in rows[at : at + ROWS_A_STATEMENT])
        database.execute(f"INSERT INTO {name} VALUES {values}")


table("v4", "app VARCHAR, first BIGINT, last BIGINT", v4)
table("countries", "app VARCHAR, country VARCHAR", [(a, c) for a, entry in policy.items() for c in entry["countries"]])

RECORD = (
    "STRUCT(properties STRUCT(id VARCHAR, appId VARCHAR, ipAddress VARCHAR, location STRUCT(countryOrRegion VARCHAR)))"
)
QUERY = f"""
    WITH sign_in AS (
        SELECT unnest(records).properties AS it
        FROM read_json('{folder}/data.ndjson', format = 'newline_delimited', maximum_object_size = 16777216,
                       columns = {{records: '{RECORD}[]'}})
    ), asked AS MATERIALIZED (
        SELECT it.id, it.appId AS app, it.ipAddress AS ip, it.location.countryOrRegion AS country,
               string_split(ip, '.') AS octet,
               CASE WHEN contains(ip, ':') THEN NULL
                    ELSE (octet[1]::BIGINT << 24) + (octet[2]::BIGINT << 16)
                         + (octet[3]::BIGINT << 8) + octet[4]::BIGINT END AS number
        FROM sign_in
    ), inside AS (
        SELECT DISTINCT asked.id
        FROM asked JOIN v4 ON asked.app = v4.app AND asked.number BETWEEN v4.first AND v4.last
    )
    SELECT asked.id, asked.app, asked.ip, inside.id IS NULL AS bad_ip, countries.app IS NULL AS bad_place
    FROM asked
    LEFT JOIN inside ON inside.id = asked.id
    LEFT JOIN countries ON countries.app = asked.app AND countries.country = asked.country
    WHERE bad_ip OR bad_place
"""

start = time.perf_counter()
answers = {}
for record_id, app, ip, bad_ip, bad_place in database.execute(QUERY).fetchall():
    if ":" in ip:
        address = ipaddress.ip_address(ip)
        bad_ip = not any(address in network for network in v6.get(app, ()))
    if bad_ip or bad_place:
        answers[record_id] = peer.reasons(bad_ip, bad_place)
seconds = time.perf_counter() - start

peer.report(answers_file, answers, peer.records(folder), seconds)
