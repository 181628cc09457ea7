"""The TaskQueue controller: a pure planner and scheduler, and a thin layer around them that claims, runs, records."""
