"""The Grad-CAM viewer: what is asked of which net, the maps that answer, and what tells whether to trust them."""
