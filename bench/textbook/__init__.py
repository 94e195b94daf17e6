"""What Zeuxis is measured against: models and steps written plainly, as the well-known repositories write them."""
