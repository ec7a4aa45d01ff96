"""How algorithms compare: what may be compared, statistics over seeds and environments, tables and a figure."""
