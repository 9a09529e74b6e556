"""Files of data sets: where they are, how they are fetched, listed and checked."""
