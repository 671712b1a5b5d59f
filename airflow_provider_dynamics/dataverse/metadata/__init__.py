"""What tables, columns and keys there are, as the environment describes them."""
