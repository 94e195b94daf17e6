"""Charts of training, drawn with Pillow in the style of the figures: small multiples of metrics against steps."""
