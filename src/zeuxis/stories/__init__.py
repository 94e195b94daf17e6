"""The story of a run: the same samples from noise to pictures, with its curves and captions, as a film or a page."""
