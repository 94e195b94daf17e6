"""The page in the browser: a model behind one socket on this machine, and the files of the page."""
