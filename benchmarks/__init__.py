"""Speed and memory against plainly written baselines, measured in one run, numbers compared first."""
