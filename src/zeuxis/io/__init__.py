"""Files on disk: written so that a crash loses nothing, read without trusting them; images and animations."""
