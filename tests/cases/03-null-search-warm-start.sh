#!/bin/bash
# A section or key left empty in YAML (`search:` with every line commented out) beside --warm-start: one line.
. "$(dirname "$0")/lib.sh"
cat > "$W/in" <<'J'
["sweep","arrows4","--dry-run","--warm-start","/nowhere","--set","search=null"]
["sweep","arrows4","--dry-run","--warm-start","/nowhere","--set","search.warm_start=null"]
["sweep","arrows4","--warm-start","/nowhere","--set","search=null","--out","/dev/null/x"]
["sweep","arrows4","--warm-start","/nowhere","--set","search.warm_start=null","--out","/dev/null/x"]
J
lines 2 4
