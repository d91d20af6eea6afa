"""Looking at corpora: what they hold, whether it is right, and what one will hold before it is made."""
