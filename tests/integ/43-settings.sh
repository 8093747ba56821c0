#!/bin/bash
# settings get, set, delete: exact outputs, values, and the global ones that lock those of sandboxes.
. "$(dirname "$0")/lib.sh"
daemon_start
sandbox demo ''
s() { openshell settings "$@" >"$W/out" 2>"$W/err"; }
rc() { local want=$1; shift; "$@"; local got=$?; [ $got = "$want" ] || { echo "--- exit code $got, expected $want"; tail "$W/out" "$W/err"; return 1; }; }
matches() { grep -qE -- "$1" "$2" || { echo "--- no match: $1"; cat "$2"; return 1; }; }
said() { cat "$W/out" "$W/err" >"$W/both"; matches "$1" "$W/both"; }
check "get" rc 0 s get demo
check "exactly" is "$(sed -E 's/[0-9a-f]{64}/H/; s/(Config Rev: +)[0-9]+/\1N/' "$W/out")" "Sandbox:       demo
Config Rev:    N
Policy Source: sandbox
Policy Hash:   H
Settings:
  agent_policy_proposals_enabled = <unset> (unset)
  ocsf_json_enabled = <unset> (unset)
  proposal_approval_mode = <unset> (unset)
  providers_v2_enabled = <unset> (unset)"
check "get --json" rc 0 s get demo --json
check "keys" is "$($PY -c 'import json,sys; d=json.load(open(sys.argv[1])); print(list(d), d["settings"]["ocsf_json_enabled"])' "$W/out")" \
	"['config_revision', 'policy_hash', 'policy_source', 'sandbox', 'settings', 'workspace'] {'scope': 'unset', 'value': '<unset>'}"
check "set" rc 0 s set demo --key ocsf_json_enabled --value ' YES '
check "exactly" said '^✓ Set sandbox setting ocsf_json_enabled=.* for demo \(revision [0-9]+\)$'
check "get again" rc 0 s get demo
check "normalised" matches '^  ocsf_json_enabled = true \(sandbox\)$' "$W/out"
check "unknown key" rc 1 s set demo --key nonsense --value 1
check "exactly" said "unknown setting key 'nonsense'\. Allowed keys: agent_policy_proposals_enabled, ?ocsf_json_enabled, ?proposal_approval_mode, ?providers_v2_enabled"
check "bad bool" rc 1 s set demo --key ocsf_json_enabled --value maybe
check "exactly" said "invalid bool value 'maybe' for key 'ocsf_json_enabled'; expected one of: true,false,yes,no,1,0"
check "bad word" rc 1 s set demo --key proposal_approval_mode --value Auto
check "exactly" said "invalid value 'Auto' for key 'proposal_approval_mode'; expected one of: manual, auto"
check "reserved" rc 1 s set demo --key policy --value x
check "exactly" said "reserved key 'policy' must be set via policy commands"
check "reserved globally" rc 1 s set --global --yes --key policy --value x
check "exactly" said "reserved key 'policy' must be set via the policy field"
check "global needs a yes" rc 1 s set --global --key ocsf_json_enabled --value false
check "exactly" said 'global setting updates require confirmation; pass --yes in non-interactive mode'
check "global" rc 0 s set --global --yes --key ocsf_json_enabled --value false
check "exactly" said '^✓ Set global setting ocsf_json_enabled=false \(revision [0-9]+\)$'
check "it wins" eval 's get demo; grep -q "^  ocsf_json_enabled = false (global)$" "$W/out"'
check "get --global" rc 0 s get --global
check "exactly" is "$(sed -E 's/(Rev: +)[0-9]+/\1N/' "$W/out" | head -3)" "Scope:         global
Settings Rev:  N
Settings:"
check "a sandbox cannot set it" rc 1 s set demo --key ocsf_json_enabled --value true
check "exactly" said "setting 'ocsf_json_enabled' is managed globally; delete the global setting before sandbox update"
check "nor delete it" rc 1 s delete demo --key ocsf_json_enabled
check "exactly" said "setting 'ocsf_json_enabled' is managed globally; delete the global setting first"
check "delete global" rc 0 s delete --global --yes --key ocsf_json_enabled
check "exactly" said '^✓ Deleted global setting ocsf_json_enabled \(revision [0-9]+\)$'
check "the sandbox's own is back" eval 's get demo; grep -q "^  ocsf_json_enabled = true (sandbox)$" "$W/out"'
check "delete" rc 0 s delete demo --key ocsf_json_enabled
check "exactly" said '^✓ Deleted sandbox setting ocsf_json_enabled for demo \(revision [0-9]+\)$'
check "delete again" rc 0 s delete demo --key ocsf_json_enabled
check "exactly" said '^! Sandbox setting ocsf_json_enabled not found for demo$'
daemon_kill; daemon_start
s set demo --key proposal_approval_mode --value auto
daemon_kill; daemon_start
check "survives a crash" eval 's get demo; grep -q "^  proposal_approval_mode = auto (sandbox)$" "$W/out"'
