"""How likely images are under a model: estimators that families share."""
