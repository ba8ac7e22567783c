# The policy as $policy[0], envelopes as inputs: prints id and reasons of what is outside the policy.

def hex:
    reduce (ascii_downcase | explode[]) as $digit (0; . * 16 + (if $digit > 57 then $digit - 87 else $digit - 48 end));

# An address as the array of its parts: arrays compare part by part. `::` stands for the groups that are not there.
def address:
    if contains(":") then
        (split("::") | map(split(":") | map(hex))) as $halves
        | if ($halves | length) == 1 then $halves[0]
          else $halves[0] + [range(8 - ($halves | map(length) | add)) | 0] + $halves[1] end
    else split(".") | map(tonumber) end;

# First and last address of a CIDR.
def bounds:
    split("/") as [$base, $prefix]
    | ($base | address) as $first
    | (if ($first | length) == 4 then 8 else 16 end) as $width
    | {
        first: $first,
        last: [
            range($first | length)
            | ([[($prefix | tonumber) - . * $width, 0] | max, $width] | min) as $fixed
            | $first[.] + pow(2; $width - $fixed) - 1
        ]
    };

($policy[0] | map_values(.countries as $countries | {ranges: (.ranges | map(bounds)), $countries})) as $apps
| inputs.records[].properties
| $apps[.appId] as $app
| (.ipAddress | address) as $ip
| .location.countryOrRegion as $country
| [
    (if any($app.ranges[]; (.first | length) == ($ip | length) and .first <= $ip and $ip <= .last)
     then empty else "ip-not-allowed" end),
    (if any($app.countries[]; . == $country) then empty else "place-not-allowed" end)
] as $reasons
| select($reasons | length > 0)
| "\(.id)\t\($reasons | join(","))"
