"""Networks that two families or more use: plain modules, no game."""
