"""PTransforms that wrap the pure layers, and the jobs made of them."""
