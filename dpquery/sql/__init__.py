"""Text to a LogicalPlan. The only home of sqlglot besides nothing: engines render from our own plan."""
