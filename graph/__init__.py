"""The agent graph: dispatcher, analysts, debate, manager, trader, risk team, judge.

- `analysis` builds the graph and runs it; its nodes are in `dispatcher`, `analysts`, `discussions`
  and `deciders`, each an `agent` with `prompts` and `tool_calls`.
- Decisions: `decisions` (their fields), `decision_parser` (what models write), `evidence` (what one
  stands on), `undecided` (the HOLD where no model decided).
- `chat` holds the language models, `offline_model` the one that needs no key.
"""
