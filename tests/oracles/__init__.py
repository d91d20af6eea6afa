"""What compiled loops must give, in numpy passes or plain Python: tests compare the two."""
