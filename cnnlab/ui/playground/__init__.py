"""The parts of the kernel playground, in the order in which the page shows them."""
