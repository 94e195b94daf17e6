"""Models to begin with: each folder is one, read by Zeuxis as data; nothing here is imported."""
