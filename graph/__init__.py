"""The agent graph: dispatcher, analysts, debate, manager, trader, risk team, judge."""
