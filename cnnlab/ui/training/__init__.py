"""What the training dashboard is made of."""
