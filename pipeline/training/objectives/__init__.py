"""What heads are trained by: losses, sums and shares over batches."""
