#!/usr/bin/env python3
"""Makes sign-in logs with known answers: records, a policy, and what is wrong with which record.

The same options give the same bytes. Standard library only.

    data.ndjson    envelopes of records, one a line: {"records":[…]}
    policy.toml    the policy, for spwatch
    policy.json    the same for everybody else: {app_id: {"ranges": […], "countries": […]}}
    truth.tsv      id and reason codes of every record outside the policy
    made-from.json the options; where they are the same, nothing is made again
"""

import argparse
import hashlib
import json
import pathlib
import random
import time

IP, PLACE = "ip-not-allowed", "place-not-allowed"

# About one record in a hundred: a third each by its address, by both, and by its place.
IP_ONLY, BOTH, PLACE_ONLY = 0.0034, 0.0067, 0.01
V6_SHARE = 0.2

# Allowed ranges lie in these blocks. What is outside the policy comes from other ones.
V4_FIRST, V4_LAST = 20 << 24, 120 << 24
V6_FIRST, V6_LAST = 0x2603 << 112, 0x2604 << 112
FOREIGN_V4_FIRST, FOREIGN_V4_LAST = 200 << 24, 222 << 24
FOREIGN_V6_FIRST = 0x2A0F << 112

# Country, state, city, latitude, longitude.
ALLOWED = {
    "CH": [("CH", "Zürich", "Zürich", 47.37, 8.54), ("CH", "Genève", "Genève", 46.2, 6.14)],
    "DE": [("DE", "Hessen", "Frankfurt am Main", 50.11, 8.68), ("DE", "Bayern", "München", 48.14, 11.58)],
    "FR": [("FR", "Île-de-France", "Paris", 48.86, 2.35)],
    "GB": [("GB", "England", "London", 51.51, -0.13)],
    "IE": [("IE", "Dublin", "Dublin", 53.35, -6.26)],
    "NL": [("NL", "Noord-Holland", "Amsterdam", 52.37, 4.9), ("NL", "Zuid-Holland", "Rotterdam", 51.92, 4.48)],
    "SE": [("SE", "Gävleborgs län", "Gävle", 60.67, 17.14)],
    "US": [("US", "Virginia", "Boydton", 36.67, -78.39), ("US", "Washington", "Quincy", 47.23, -119.85)],
}
FOREIGN = [
    ("AR", "Buenos Aires", "La Plata", -34.92, -57.95),
    ("BR", "São Paulo", "Campinas", -22.9, -47.06),
    ("KR", "Seoul", "Seoul", 37.57, 126.98),
    ("ZA", "Western Cape", "Cape Town", -33.92, 18.42),
]
RESOURCES = [
    ("Microsoft Graph", "00000003-0000-0000-c000-000000000000"),
    ("Azure Resource Manager", "797f4846-ba00-4fd7-ba43-dac1f8f63013"),
    ("Azure Key Vault", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
]
LIBRARY = (
    '{"key":"Azure AD App Authentication Library",'
    '"value":"Family: MSAL Library: MSAL.NetCore 4.61.3 Platform: .NET 8.0"}'
)

# A diagnostic record as Entra writes it. Filled with `%`, the fastest way Python has.
RECORD = (
    '{"time":"%(time)s","resourceId":"/tenants/%(tenant)s/providers/Microsoft.aadiam",'
    '"operationName":"Sign-in activity","operationVersion":"1.0","category":"ServicePrincipalSignInLogs",'
    '"tenantId":"%(tenant)s","resultType":"0","resultSignature":"None","durationMs":0,'
    '"callerIpAddress":"%(ip)s","correlationId":"%(correlation)s","Level":4,"location":"%(country)s",'
    '"properties":{"id":"%(id)s","createdDateTime":"%(time)s","userDisplayName":"","userPrincipalName":"",'
    '"userId":"",%(app)s,"ipAddress":"%(ip)s","status":{"errorCode":0},"location":%(place)s,'
    '"correlationId":"%(correlation)s","conditionalAccessStatus":"notApplied",'
    '"appliedConditionalAccessPolicies":[],"authenticationProcessingDetails":[%(library)s],'
    '"networkLocationDetails":"[]","processingTimeInMilliseconds":%(milliseconds)d,"riskDetail":"none",'
    '"riskLevelAggregated":"low","riskLevelDuringSignIn":"low","riskState":"none","riskEventTypes":[],'
    '"riskEventTypes_v2":[],%(resource)s,"resourceTenantId":"%(tenant)s","homeTenantId":"%(tenant)s",'
    '%(principal)s,"uniqueTokenIdentifier":"%(token)s",%(resource_principal)s,'
    '"tokenIssuerType":"AzureAD","crossTenantAccessType":"none"}}'
)


def guid(number):
    """
    >>> guid(0x0123456789abcdef0123456789abcdef)
    '01234567-89ab-cdef-0123-456789abcdef'
    """
    digits = "%032x" % number
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def v4_text(number):
    return "%d.%d.%d.%d" % (number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255)


def v6_text(number):
    """Zeros are not shortened: it is as valid and makes no difference to anybody's reader.

    >>> v6_text(0x2603 << 112 | 1)
    '2603:0:0:0:0:0:0:1'
    """
    return "%x:%x:%x:%x:%x:%x:%x:%x" % (
        number >> 112, number >> 96 & 65535, number >> 80 & 65535, number >> 64 & 65535,
        number >> 48 & 65535, number >> 32 & 65535, number >> 16 & 65535, number & 65535,
    )  # fmt: skip


def disjoint_ranges(rng, count, first, last, width, prefixes):
    """`count` ranges as (base, host bits) of which no two touch, so that none can be merged away.

    The space is cut into equal slots. A range has a slot of its own and lies in its lower half.
    """
    if count == 0:
        return []
    slot_bits = ((last - first) // count).bit_length() - 1
    most = slot_bits - 1
    assert most >= 0, f"there is no room for {count} ranges"
    ranges = []
    for slot in rng.sample(range((last - first) >> slot_bits), count):
        host_bits = min(most, width - rng.choice(prefixes))
        offset = rng.randrange(1 << (most - host_bits)) << host_bits
        ranges.append(((slot << slot_bits) + first + offset, host_bits))
    return ranges


class App:
    """An application: what the policy allows it, and its part of the record, ready to paste."""

    __slots__ = ("app_id", "name", "v4", "v6", "countries", "places", "app", "principal")

    def __init__(self, rng, number, ranges):
        self.app_id = guid(rng.getrandbits(128))
        self.name = f"workload-{number:05}"
        v6 = ranges // 4
        self.v4 = disjoint_ranges(rng, ranges - v6, V4_FIRST, V4_LAST, 32, (20, 22, 24, 26))
        self.v6 = disjoint_ranges(rng, v6, V6_FIRST, V6_LAST, 128, (48, 56, 64))
        self.countries = rng.sample(sorted(ALLOWED), 2)
        self.places = [place for country in self.countries for place in ALLOWED[country]]
        self.app = f'"appId":"{self.app_id}","appDisplayName":"{self.name}"'
        self.principal = (
            f'"servicePrincipalId":"{guid(rng.getrandbits(128))}","servicePrincipalName":"{self.name}",'
            f'"servicePrincipalCredentialKeyId":"{guid(rng.getrandbits(128))}"'
        )

    def range_texts(self, rng):
        """Its ranges as the policy has them: in no order."""
        texts = [f"{v4_text(base)}/{32 - bits}" for base, bits in self.v4]
        texts += [f"{v6_text(base)}/{128 - bits}" for base, bits in self.v6]
        rng.shuffle(texts)
        return texts


def write_policies(rng, apps, out):
    """Writes both policies, app by app: a million ranges are not held as text."""
    with open(out / "policy.toml", "w") as toml, open(out / "policy.json", "w") as everybody:
        toml.write("version = 1\n")
        everybody.write("{")
        for number, app in enumerate(apps):
            ranges = json.dumps(app.range_texts(rng))
            countries = json.dumps(app.countries)
            toml.write(
                f'\n[[app]]\nname = "{app.name}"\napp_id = "{app.app_id}"\n'
                f"allow.ips = {ranges}\nallow.places = {countries}\n"
            )
            everybody.write(",\n" if number else "\n")
            everybody.write(f'"{app.app_id}": {{"ranges": {ranges}, "countries": {countries}}}')
        everybody.write("\n}\n")


def place_text(place):
    country, state, city, latitude, longitude = place
    return (
        f'{{"city":"{city}","state":"{state}","countryOrRegion":"{country}",'
        f'"geoCoordinates":{{"latitude":{latitude},"longitude":{longitude}}}}}'
    )


def records(rng, apps, count):
    """Yields `count` records in order of time, each as (id, its reasons, its text)."""
    # Bound once: this loop runs ten million times.
    uniform, bits = rng.random, rng.getrandbits
    tenant = guid(bits(128))
    resources = [
        (
            f'"resourceDisplayName":"{name}","resourceId":"{app_id}"',
            f'"resourceServicePrincipalId":"{guid(bits(128))}"',
        )
        for name, app_id in RESOURCES
    ]
    places = {place: place_text(place) for group in (*ALLOWED.values(), FOREIGN) for place in group}
    # An odd factor makes the record's number a number of 64 bits that looks random and never repeats.
    factor = bits(64) | 1
    clock_ms, clock_s, second = 0, -1, ""
    for number in range(count):
        app = apps[int(uniform() * len(apps))]
        kind = uniform()
        bad_ip = kind < BOTH
        bad_place = IP_ONLY <= kind < PLACE_ONLY
        v6 = uniform() < V6_SHARE
        if bad_ip:
            reasons = f"{IP},{PLACE}" if bad_place else IP
            if v6:
                ip = v6_text(FOREIGN_V6_FIRST | bits(112))
            else:
                ip = v4_text(FOREIGN_V4_FIRST + int(uniform() * (FOREIGN_V4_LAST - FOREIGN_V4_FIRST)))
        else:
            reasons = PLACE if bad_place else ""
            if v6 and app.v6:
                base, host_bits = app.v6[int(uniform() * len(app.v6))]
                ip = v6_text(base | bits(host_bits))
            else:
                base, host_bits = app.v4[int(uniform() * len(app.v4))]
                ip = v4_text(base | bits(host_bits))
        candidates = FOREIGN if bad_place else app.places
        place = candidates[int(uniform() * len(candidates))]
        resource, resource_principal = resources[int(uniform() * len(resources))]

        clock_ms += 1 + int(uniform() * 399)
        if clock_ms // 1000 != clock_s:
            clock_s = clock_ms // 1000
            # 1 November 2026 and what follows; after 30 days it starts again.
            second = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(1793491200 + clock_s % 2592000))
        record_id = guid(((number + 1) * factor & 0xFFFFFFFFFFFFFFFF) << 64 | bits(64))
        token = bits(128)
        yield record_id, reasons, RECORD % {
            "time": "%s%03d%04dZ" % (second, clock_ms % 1000, token & 4095),
            "tenant": tenant,
            "ip": ip,
            "correlation": guid(token),
            "country": place[0],
            "id": record_id,
            "app": app.app,
            "place": places[place],
            "library": LIBRARY if token & 0x10000 else "",
            "milliseconds": 20 + (token >> 20 & 255),
            "resource": resource,
            "principal": app.principal,
            "token": record_id[:8] + record_id[-12:],
            "resource_principal": resource_principal,
        }


def write_log(rng, apps, count, batch, out):
    """Writes the log and the truth, some megabytes at a time. Gives the number of violations."""
    violations = 0
    with open(out / "data.ndjson", "wb", buffering=1 << 22) as log, open(out / "truth.tsv", "w") as truth:
        texts = []
        for record_id, reasons, text in records(rng, apps, count):
            if reasons:
                violations += 1
                truth.write(f"{record_id}\t{reasons}\n")
            texts.append(text)
            if len(texts) == batch:
                log.write(('{"records":[' + ",".join(texts) + "]}\n").encode())
                texts.clear()
        if texts:
            log.write(('{"records":[' + ",".join(texts) + "]}\n").encode())
    return violations


def generate(out, count=200_000, apps=1_000, ranges=4, batch=100, seed=1):
    """Makes everything in the folder `out`, unless it is there already."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    made_from = {
        "records": count,
        "apps": apps,
        "ranges": ranges,
        "batch": batch,
        "seed": seed,
        "generator": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
    }
    note = out / "made-from.json"
    if note.exists() and json.loads(note.read_text()) == made_from:
        print(f"{out}: already there")
        return
    note.unlink(missing_ok=True)
    start = time.monotonic()
    rng = random.Random(seed)
    all_apps = [App(rng, number, ranges) for number in range(apps)]
    write_policies(rng, all_apps, out)
    violations = write_log(rng, all_apps, count, batch, out)
    size = (out / "data.ndjson").stat().st_size
    note.write_text(json.dumps(made_from, indent=2) + "\n")
    print(
        f"{out}: {count:,} records of {size / max(count, 1):,.0f} bytes, {violations:,} outside the policy, "
        f"in {time.monotonic() - start:.1f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--apps", type=int, default=1_000)
    parser.add_argument("--ranges", type=int, default=4, help="ranges per app; a quarter of them IPv6")
    parser.add_argument("--batch", type=int, default=100, help="records per line")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if min(options.records, options.apps, options.ranges, options.batch) < 1:
        parser.error("every number must be at least 1")
    generate(options.out, options.records, options.apps, options.ranges, options.batch, options.seed)


if __name__ == "__main__":
    main()
