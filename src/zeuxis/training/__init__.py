"""Training: the step and the loop, and a run from its first step to its last in its folder."""
