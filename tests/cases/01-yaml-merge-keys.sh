#!/bin/bash
# `<<: *base` merges: the mapping's own keys win, those of the base come after them.
. "$(dirname "$0")/lib.sh"
cat > "$W/m.yaml" <<'Y'
name: merged
task: {name: arrows, size: 4}
model: &base {mixer: mlp_t, hidden_size: 32, L_layers: 2, puzzle_emb_len: 1, H_cycles: 2, L_cycles: 2, halt_max_steps: 4}
optimizer: {name: adamw, lr: {loguniform: [5.0e-3, 2.0e-2]}}
curriculum:
  choice:
    - &c {name: cgar}
    - {<<: *c, label: same_again}
train: {batch_size: 64, budget: {steps: 30}}
Y
"$PY" -c "
import sys
from search.config.config import read_config
config = read_config(sys.argv[1])
print(config.tree['curriculum'], config.space.size_text)
" "$W/m.yaml" > "$W/o" 2>&1
tail -1 "$W/o"
grep -qF "{'choice': [{'name': 'cgar'}, {'name': 'cgar', 'label': 'same_again'}]}" "$W/o"
