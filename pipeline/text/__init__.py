"""Reading, cleaning and splitting text: no Beam, no TensorFlow."""
