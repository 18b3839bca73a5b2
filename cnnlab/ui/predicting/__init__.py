"""The parts of the page that asks a net about a picture."""
