"""What a trained model is worth: its losses, its guesses, and tables of them."""
