#!/usr/bin/python3
"""Check OCSF JSON lines field by field: usage: ocsf_check.py FILE

Every line is one object with its keys in alphabetical order at every level, has the members that all
classes need, those of its own class, values of the enumerations, and names that fit the numbers.
Prints "N records, classes ..." and exits 0, or every finding and 1.
"""
import json
import sys

SEVERITY = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal"}
ACTION = {1: "Allowed", 2: "Denied", 3: "Observed", 4: "Modified", 99: "Other"}
DISPOSITION = {1: "Allowed", 2: "Blocked", 6: "Dropped", 15: "Detected", 17: "Logged", 25: "Rejected", 99: "Other"}
STATUS = {1: "Success", 2: "Failure"}
NETWORK = {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse", 6: "Traffic", 7: "Listen", 99: "Other"}
HTTP = {1: "Connect", 2: "Delete", 3: "Get", 4: "Head", 5: "Options", 6: "Post", 7: "Put", 8: "Trace", 9: "Patch", 99: "Other"}
CLASSES = {
    4001: ("Network Activity", 4, "Network Activity", NETWORK, ["connection_info"]),
    4002: ("HTTP Activity", 4, "Network Activity", HTTP, ["http_request"]),
    4007: ("SSH Activity", 4, "Network Activity", NETWORK, ["dst_endpoint"]),
    1007: ("Process Activity", 1, "System Activity", {1: "Launch", 2: "Terminate", 99: "Other"}, ["process", "device"]),
    2004: ("Detection Finding", 2, "Findings", {1: "Create", 2: "Update", 3: "Close", 99: "Other"}, ["finding_info"]),
    5019: ("Device Config State Change", 5, "Discovery", {1: "Log", 2: "Collect", 99: "Other"}, ["device", "state", "state_id"]),
    6002: ("Application Lifecycle", 6, "Application Activity", {1: "Install", 2: "Remove", 3: "Start", 4: "Stop", 99: "Other"}, ["app"]),
    0: ("Base Event", 0, "Uncategorized", {0: "Unknown", 99: "Other"}, []),
}
ALL = ["activity_id", "activity_name", "category_name", "category_uid", "class_name", "class_uid", "device", "message",
       "metadata", "severity", "severity_id", "status", "status_id", "time", "type_name", "type_uid", "unmapped"]
KNOWN = set(ALL) | {"action", "action_id", "actor", "app", "connection_info", "container", "count", "disposition",
                    "disposition_id", "dst_endpoint", "duration", "exit_code", "finding_info", "firewall_rule",
                    "http_request", "http_response", "process", "proxy_endpoint", "src_endpoint", "state", "state_id",
                    "status_detail", "traffic"}
findings = 0


def bad(number, text):
    global findings
    findings += 1
    print(f"line {number}: {text}")


def unique(pairs):
    d = {}
    for k, v in pairs:
        if k in d:
            raise ValueError(f"key {k} twice")
        d[k] = v
    if list(d) != sorted(d):
        raise ValueError(f"keys not in order: {list(d)}")
    return d


def enum(n, d, what, table):
    if (what in d) != (what + "_id" in d):
        bad(n, f"{what} without {what}_id or the reverse")
    elif what in d and table.get(d[what + "_id"]) != d[what]:
        bad(n, f"{what} {d[what]!r} is not {what}_id {d[what + '_id']}")


def typed(n, d, path, kind, required=True):
    for key in path.split("."):
        if not isinstance(d, dict) or key not in d:
            if required:
                bad(n, f"{path} is missing")
            return
        d = d[key]
    if not isinstance(d, kind) or isinstance(d, bool):
        bad(n, f"{path} is a {type(d).__name__}")


def check(n, d):
    for key in ALL:
        if key not in d:
            bad(n, f"{key} is missing")
    for key in set(d) - KNOWN:
        bad(n, f"unknown member {key}")
    uid = d.get("class_uid")
    if uid not in CLASSES:
        bad(n, f"unknown class {uid}")
        return uid
    name, category, category_name, activities, needs = CLASSES[uid]
    for key, value in (("class_name", name), ("category_uid", category), ("category_name", category_name),
                       ("activity_name", activities.get(d["activity_id"])),
                       ("type_uid", uid * 100 + d["activity_id"]), ("type_name", f"{name}: {d['activity_name']}")):
        if d[key] != value:
            bad(n, f"{key} is {d[key]!r}, not {value!r}")
    for key in needs:
        if key not in d:
            bad(n, f"{key} is missing in class {uid}")
    enum(n, d, "severity", SEVERITY)
    enum(n, d, "status", STATUS)
    enum(n, d, "action", ACTION)
    enum(n, d, "disposition", DISPOSITION)
    typed(n, d, "time", int)
    typed(n, d, "message", str)
    if not 10**12 < d["time"] < 10**13:
        bad(n, "time is not in milliseconds")
    for path in ("metadata.product.name", "metadata.product.vendor_name", "metadata.product.version", "device.hostname",
                 "device.os.name", "metadata.version"):
        typed(n, d, path, str)
    if d["metadata"]["version"] != "1.8.0" or not isinstance(d["metadata"]["profiles"], list):
        bad(n, "metadata.version or profiles")
    if uid in (4001, 4002):
        # what was refused before it named a destination has none
        if "dst_endpoint" in d:
            typed(n, d, "dst_endpoint.port", int, False)
            typed(n, d, "dst_endpoint.domain", str, False)
            typed(n, d, "dst_endpoint.ip", str, False)
            if not {"domain", "ip", "port"} & set(d["dst_endpoint"]):
                bad(n, "an empty dst_endpoint")
        elif d.get("action") != "Denied":
            bad(n, "dst_endpoint is missing in what was not refused")
        if d.get("action") == "Denied" and (d["status"], d["disposition"]) != ("Failure", "Blocked"):
            bad(n, "a denial that is neither Failure nor Blocked")
        if d.get("action") == "Denied" and d["severity_id"] < 3:
            bad(n, "a denial below Medium")
        typed(n, d, "firewall_rule.name", str, "firewall_rule" in d)
        typed(n, d, "firewall_rule.type", str, "firewall_rule" in d)
        typed(n, d, "connection_info.protocol_name", str)
    if uid == 4002:
        for path in ("http_request.http_method", "http_request.url.hostname", "http_request.url.path",
                     "http_request.url.scheme"):
            typed(n, d, path, str)
        typed(n, d, "http_request.url.port", int)
        if "?" in d["http_request"]["url"]["path"]:
            bad(n, "a query string")
    if "actor" in d:
        typed(n, d, "actor.process.name", str)
        typed(n, d, "actor.process.pid", int)
    return uid


def main():
    classes = {}
    with open(sys.argv[1], "rb") as f:
        lines = f.read().split(b"\n")
    if lines.pop() != b"":
        bad(len(lines), "the last line has no end")
    for n, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8")
            if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
                bad(n, "control characters")
            d = json.loads(text, object_pairs_hook=unique)
        except ValueError as e:
            bad(n, f"{e}: {raw[:200]!r}")
            continue
        uid = check(n, d)
        classes[uid] = classes.get(uid, 0) + 1
    print(f"{len(lines)} records, classes " + " ".join(f"{k}:{v}" for k, v in sorted(classes.items())))
    sys.exit(1 if findings or not lines else 0)


main()
