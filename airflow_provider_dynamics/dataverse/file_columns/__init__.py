"""What files and images hold, sent and read in blocks."""
