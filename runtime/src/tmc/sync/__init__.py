"""The sync engine: a pure planner, and a thin layer around it that reads, writes and tells."""
