"""The parts of the architecture explorer, in the order in which the page shows them."""
